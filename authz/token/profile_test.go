package token

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/dpop"
	"github.com/countersign-io/countersign/authz/token/jose"
)

// profiled is a configuration whose issuer has a profile, and nothing that tightens it.
func profiled(name string) Config {
	cfg := goodConfig()
	cfg.Issuers[0].Profile, cfg.Issuers[0].Algorithms = name, nil
	cfg.APIs[accounts] = API{Audiences: []string{audience}, DPoP: &dpop.Config{Origins: []string{"https://rs.example"}}}
	return cfg
}

// TestProfilesTakeTheirAlgorithms sends a token of each algorithm, bound as every
// profile wants it.
func TestProfilesTakeTheirAlgorithms(t *testing.T) {
	certificate := &authz.Certificate{Thumbprint: sha256.Sum256([]byte("certificate"))}
	bound := with(goodClaims(), "cnf", object{"x5t#S256": encode(certificate.Thumbprint[:])})
	keys := newFakeKeys(allKeys()...)
	taken := map[string][]string{
		"oauth": {"PS256", "ES256", "EdDSA"}, "fapi1-advanced": {"PS256", "ES256"}, "fapi2": {"PS256", "ES256", "EdDSA"},
	}
	if len(taken) != len(profiles) {
		t.Fatalf("%d profiles are held, want all %d", len(taken), len(profiles))
	}
	for name, algorithms := range taken {
		verifier := newVerifier(t, profiled(name), keys)
		for _, algorithm := range jose.Algorithms {
			t.Run("H2 "+name+" and "+algorithm, func(t *testing.T) {
				want := authz.TokenAlgorithm
				if slices.Contains(algorithms, algorithm) {
					want = authz.Internal
				}
				credential := sign(with(goodHeader(), "alg", algorithm, "kid", absent), bound)
				token, err := verifier.Verify(context.Background(), authz.Match{API: accounts}, bearing(credential), certificate, now)
				wantReason(t, token, err, want)
			})
		}
	}
}

// TestProfilesAskForABinding holds how each profile has tokens bound, whoever sends them,
// the first time and from the cache.
func TestProfilesAskForABinding(t *testing.T) {
	certificate := &authz.Certificate{Thumbprint: sha256.Sum256([]byte("certificate"))}
	thumbprint := encode(certificate.Thumbprint[:])
	mtls, key, both := object{"x5t#S256": thumbprint}, object{"jkt": thumbprint}, object{"x5t#S256": thumbprint, "jkt": thumbprint}
	yes := true
	tight := profiled("oauth")
	tight.Issuers[0].SenderConstrained = &yes
	tests := []struct {
		name string
		cfg  Config
		cnf  any
		want authz.Reason
	}{
		{"B4 oauth takes a token that is bound to nothing", profiled("oauth"), absent, authz.Internal},
		{"oauth takes one that is bound to a certificate", profiled("oauth"), mtls, authz.Internal},
		{"B4 oauth, tightened, does not", tight, absent, authz.TokenUnbound},
		{"oauth, tightened, takes a certificate", tight, mtls, authz.Internal},
		{"oauth, tightened, takes a key, with a proof", tight, key, authz.ProofDowngraded},
		{"B4 fapi2 takes none that is bound to nothing", profiled("fapi2"), absent, authz.TokenUnbound},
		{"fapi2 takes a certificate", profiled("fapi2"), mtls, authz.Internal},
		{"fapi2 takes a key, with a proof", profiled("fapi2"), key, authz.ProofDowngraded},
		{"fapi2 takes both, with a proof", profiled("fapi2"), both, authz.ProofDowngraded},
		{"B5 fapi2 takes no binding that is not known", profiled("fapi2"), object{"kid": "1"}, authz.BindingUnsupported},
		{"B5 fapi2 takes no empty cnf", profiled("fapi2"), object{}, authz.BindingUnsupported},
		{"B4 fapi1-advanced takes none that is bound to nothing", profiled("fapi1-advanced"), absent, authz.TokenUnbound},
		{"fapi1-advanced takes a certificate", profiled("fapi1-advanced"), mtls, authz.Internal},
		{"fapi1-advanced takes no key", profiled("fapi1-advanced"), key, authz.BindingUnsupported},
		{"fapi1-advanced takes a key beside a certificate, with a proof", profiled("fapi1-advanced"), both, authz.ProofDowngraded},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			verifier := newVerifier(t, test.cfg, newFakeKeys(allKeys()...))
			credential := sign(goodHeader(), with(goodClaims(), "cnf", test.cnf))
			for range 2 {
				token, err := verifier.Verify(context.Background(), authz.Match{API: accounts}, bearing(credential), certificate, now)
				wantReason(t, token, err, test.want)
			}
		})
	}
}

// TestUnboundIsToldWhateverTheScheme sends a token that is bound to nothing as if it were
// bound to a key.
func TestUnboundIsToldWhateverTheScheme(t *testing.T) {
	verifier := newVerifier(t, profiled("fapi2"), newFakeKeys(allKeys()...))
	request := bearing(sign(goodHeader(), goodClaims()))
	request.Headers[0].Value = strings.Replace(request.Headers[0].Value, "Bearer", "DPoP", 1)
	token, err := verifier.Verify(context.Background(), authz.Match{API: accounts}, request, nil, now)
	wantReason(t, token, err, authz.TokenUnbound)
}

func TestLegacyIsTakenByNameOnly(t *testing.T) {
	untypedHeader := with(goodHeader(), "typ", absent)
	scp := func(members ...any) object { return with(goodClaims(), append([]any{"scope", absent}, members...)...) }
	tests := []struct {
		name   string
		legacy []string
		header object
		claims object
		scopes []string
		want   authz.Reason
	}{
		{"J1 no typ", nil, untypedHeader, goodClaims(), nil, authz.TokenType},
		{"J1 no typ, where scp is named", []string{"scp"}, untypedHeader, goodClaims(), nil, authz.TokenType},
		{"J1 no typ, where it is named", []string{"untyped"}, untypedHeader, goodClaims(), []string{"accounts", "payments"}, authz.Internal},
		{"J1 the right typ, where none will do", []string{"untyped"}, goodHeader(), goodClaims(), []string{"accounts", "payments"}, authz.Internal},
		{"J1 another typ, where none will do", []string{"untyped"}, with(goodHeader(), "typ", "JWT"), goodClaims(), nil, authz.TokenType},
		{"J1 an empty typ, where none will do", []string{"untyped"}, with(goodHeader(), "typ", ""), goodClaims(), nil, authz.TokenMalformed},
		{"J8 scp is not read", nil, goodHeader(), scp("scp", []string{"accounts"}), nil, authz.Internal},
		{"J8 scp is not read where no typ is named", []string{"untyped"}, goodHeader(), scp("scp", []string{"accounts"}), nil, authz.Internal},
		{"J8 scp, where it is named", []string{"scp"}, goodHeader(), scp("scp", []string{"accounts", "payments"}), []string{"accounts", "payments"}, authz.Internal},
		{"J8 scope stands before scp", []string{"scp"}, goodHeader(), with(goodClaims(), "scp", []string{"admin"}), []string{"accounts", "payments"}, authz.Internal},
		{"J8 an empty scope stands before scp", []string{"scp"}, goodHeader(), with(goodClaims(), "scope", "", "scp", []string{"admin"}), nil, authz.Internal},
		{"J8 scope as an array, where scp is named", []string{"scp"}, goodHeader(), scp("scope", []string{"accounts"}), nil, authz.TokenClaims},
		{"J8 scp as a string", []string{"scp"}, goodHeader(), scp("scp", "accounts"), nil, authz.TokenClaims},
		{"J8 scp with two scopes in one", []string{"scp"}, goodHeader(), scp("scp", []string{"accounts admin"}), nil, authz.TokenClaims},
		{"J8 scp with an empty scope", []string{"scp"}, goodHeader(), scp("scp", []string{""}), nil, authz.TokenClaims},
		{"J8 scp with a number", []string{"scp"}, goodHeader(), scp("scp", []any{1}), nil, authz.TokenClaims},
		{"J8 neither", []string{"scp"}, goodHeader(), scp(), nil, authz.Internal},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := goodConfig()
			cfg.Issuers[0].Legacy = test.legacy
			token, err := verify(newVerifier(t, cfg, newFakeKeys(allKeys()...)), sign(test.header, test.claims))
			wantReason(t, token, err, test.want)
			if err != nil {
				return
			}
			if diff := cmp.Diff(test.scopes, token.Caller.Scopes); diff != "" {
				t.Errorf("scopes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestIssuersOfFAPI1AreForgivenByNameOnly holds that what FAPI 1.0 says nothing of is
// taken where it is named, and told, and that the token must be bound all the same.
func TestIssuersOfFAPI1AreForgivenByNameOnly(t *testing.T) {
	certificate := &authz.Certificate{Thumbprint: sha256.Sum256([]byte("certificate"))}
	cnf := object{"x5t#S256": encode(certificate.Thumbprint[:])}
	strict, named := profiled("fapi1-advanced"), profiled("fapi1-advanced")
	named.Issuers[0].Legacy, named.Issuers[0].Types = []string{"untyped", "scp"}, []string{"at+jwt", "JWT"}
	untypedHeader, old := with(goodHeader(), "typ", absent), with(goodClaims(), "scope", absent, "scp", []string{"accounts"})
	for _, test := range []struct {
		name   string
		cfg    Config
		header object
		claims object
		want   authz.Reason
	}{
		{"J1 no typ", strict, untypedHeader, with(old, "cnf", cnf), authz.TokenType},
		{"J1 another typ", strict, with(goodHeader(), "typ", "JWT"), with(old, "cnf", cnf), authz.TokenType},
		{"J1 no typ, where it is named", named, untypedHeader, with(old, "cnf", cnf), authz.Internal},
		{"J1 another typ, where it is named", named, with(goodHeader(), "typ", "JWT"), with(old, "cnf", cnf), authz.Internal},
		{"B4 no typ, where it is named, and no binding", named, untypedHeader, old, authz.TokenUnbound},
	} {
		credential := sign(test.header, test.claims)
		token, err := newVerifier(t, test.cfg, newFakeKeys(allKeys()...)).Verify(context.Background(), authz.Match{API: accounts}, bearing(credential), certificate, now)
		wantReason(t, token, err, test.want)
		if err == nil && !slices.Equal(token.Caller.Scopes, []string{"accounts"}) {
			t.Errorf("%s: scopes are %q, want those of scp", test.name, token.Caller.Scopes)
		}
	}
	if told := strict.Issuers[0].Leniencies(); len(told) > 0 {
		t.Errorf("Leniencies() of none = %q", told)
	}
	want := []string{leniencies[untyped], leniencies[scopeArray], "tokens of type JWT, which other JWTs of the issuer may have too"}
	if diff := cmp.Diff(want, named.Issuers[0].Leniencies()); diff != "" {
		t.Errorf("Leniencies() (-want +got):\n%s", diff)
	}
}

// TestProfilesAreTightenedOnly holds every setting of an issuer against every profile.
func TestProfilesAreTightenedOnly(t *testing.T) {
	yes, no := true, false
	settings := []struct {
		name   string
		change func(*Issuer)
		keys   []string
		// wide are the profiles that are not widened by it.
		wide []string
	}{
		{"H2 RS256", func(i *Issuer) { i.Algorithms = []string{"RS256"} }, []string{"issuers[0].algorithms[0]"}, []string{"oauth"}},
		{"H2 PS512", func(i *Issuer) { i.Algorithms = []string{"ES256", "PS512"} }, []string{"issuers[0].algorithms[1]"}, []string{"oauth"}},
		{"H2 EdDSA", func(i *Issuer) { i.Algorithms = []string{"EdDSA"} }, []string{"issuers[0].algorithms[0]"}, []string{"oauth", "fapi2"}},
		{"H2 PS256 alone", func(i *Issuer) { i.Algorithms = []string{"PS256"} }, nil, []string{"oauth", "fapi1-advanced", "fapi2"}},
		{"J1 another type", func(i *Issuer) { i.Types = []string{"JWT"} }, []string{"issuers[0].types[0]"}, []string{"oauth", "fapi1-advanced"}},
		{"J1 the type in another case", func(i *Issuer) { i.Types = []string{"AT+JWT"} }, nil, []string{"oauth", "fapi1-advanced", "fapi2"}},
		{"J1 legacy", func(i *Issuer) { i.Legacy = []string{"untyped"} }, []string{"issuers[0].legacy"}, []string{"oauth", "fapi1-advanced"}},
		{"B4 not sender-constrained", func(i *Issuer) { i.SenderConstrained = &no }, []string{"issuers[0].sender_constrained"}, []string{"oauth"}},
		{"B4 sender-constrained", func(i *Issuer) { i.SenderConstrained = &yes }, nil, []string{"oauth", "fapi1-advanced", "fapi2"}},
	}
	for _, setting := range settings {
		for _, p := range profiles {
			t.Run(setting.name+" in "+p.name, func(t *testing.T) {
				cfg := profiled(p.name)
				setting.change(&cfg.Issuers[0])
				want := setting.keys
				if slices.Contains(setting.wide, p.name) {
					want = nil
				}
				if diff := cmp.Diff(want, problemKeys(cfg.Check())); diff != "" {
					t.Errorf("Check() (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestWhoTakesTokensBoundToCertificatesAlone holds every profile with and without proofs.
func TestWhoTakesTokensBoundToCertificatesAlone(t *testing.T) {
	yes := true
	for _, test := range []struct {
		profile string
		tight   *bool
		proofs  bool
		want    bool
	}{
		{"oauth", nil, false, false},
		{"oauth", nil, true, false},
		{"oauth", &yes, false, true},
		{"oauth", &yes, true, false},
		{"fapi1-advanced", nil, false, true},
		{"fapi1-advanced", nil, true, true},
		{"fapi2", nil, false, true},
		{"fapi2", nil, true, false},
	} {
		cfg := profiled(test.profile)
		cfg.Issuers[0].SenderConstrained = test.tight
		other := cfg.Issuers[0]
		other.Issuer = "https://other.example"
		cfg.Issuers = append(cfg.Issuers, other)
		cfg.Issuers[0].Profile, cfg.Issuers[0].SenderConstrained = "oauth", nil
		api := cfg.APIs[accounts]
		if !test.proofs {
			api.DPoP = nil
		}
		cfg.APIs[accounts] = api
		if got := cfg.CertificateBound(accounts); got != test.want {
			t.Errorf("%+v: CertificateBound() = %t", test, got)
		}
		api.Issuers = []string{issuerName}
		cfg.APIs[accounts] = api
		if cfg.CertificateBound(accounts) {
			t.Errorf("%+v: CertificateBound() where that issuer's tokens are not taken = true", test)
		}
	}
}

// TestProofsKeepToTheProfileToo holds the algorithms of an API's proofs against the
// profiles of the issuers that it takes.
func TestProofsKeepToTheProfileToo(t *testing.T) {
	cfg := profiled("fapi2")
	other := cfg.Issuers[0]
	other.Issuer, other.Profile = "https://other.example", "oauth"
	cfg.Issuers = append(cfg.Issuers, other)
	other.Issuer, other.Profile = "https://mtls.example", "fapi1-advanced"
	cfg.Issuers = append(cfg.Issuers, other)
	proofs := &dpop.Config{Origins: []string{"https://rs.example"}, Algorithms: []string{"ES256", "RS256"}}
	for _, test := range []struct {
		name    string
		issuers []string
		want    []string
	}{
		{"H2 of a fapi2 issuer", []string{issuerName}, []string{"apis.accounts.dpop.algorithms[1]"}},
		{"H2 of all issuers, one of them fapi2", nil, []string{"apis.accounts.dpop.algorithms[1]"}},
		{"of an oauth issuer", []string{"https://other.example"}, nil},
		{"of an issuer that binds to no keys", []string{"https://mtls.example"}, nil},
	} {
		cfg.APIs = map[authz.API]API{accounts: {Audiences: []string{audience}, Issuers: test.issuers, DPoP: proofs}}
		if diff := cmp.Diff(test.want, problemKeys(cfg.Check())); diff != "" {
			t.Errorf("%s: Check() (-want +got):\n%s", test.name, diff)
		}
	}
}

// TestProfilesAreAsTold holds the table of the documentation against the one here.
func TestProfilesAreAsTold(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	told := "| |"
	rows := []string{"| From", "| `algorithms`, unless named", "| `algorithms` that can be named", "| `types`", "| A token must be bound", "| `legacy`"}
	for _, p := range profiles {
		told += fmt.Sprintf(" `%s` |", p.name)
		types, bound, legacy := "`at+jwt`, or any that is named", "only with `sender_constrained: true`", "may be named"
		if p.types != nil {
			types = "`" + strings.Join(p.types, "`, `") + "`"
		}
		if p.bindings != nil {
			bound = map[int]string{1: "to a certificate", 2: "to a certificate or a key"}[len(p.bindings)]
		}
		if !p.lenient {
			legacy = "is refused"
		}
		for i, cell := range []string{p.standard, strings.Join(p.usual, ", "), strings.Join(p.algorithms, ", "), types, bound, legacy} {
			rows[i] += " | " + cell
		}
	}
	want := told + "\n|---|" + strings.Repeat("---|", len(profiles)) + "\n" + strings.Join(rows, " |\n") + " |\n"
	if !strings.Contains(string(page), want) {
		t.Errorf("docs/configuration.md lacks the table\n%s", want)
	}
}
