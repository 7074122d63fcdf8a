package checks

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token"
)

// fails has the check at its place in Order fail.
type fails struct {
	name string
	with func(a *attempt)
	want authz.Reason
	// instead says that this fault leaves no room for that of the check before it.
	instead bool
}

// faulty has a fault for each check, in the order of Order.
var faulty = []fails{
	{name: "certificate", want: authz.CertificateMalformed, with: func(a *attempt) { a.certificate = []byte("no certificate") }},

	{name: "two credentials", want: authz.RepeatedCredentials, with: func(a *attempt) {
		a.headers = append(a.headers, authz.Header{Name: "authorization", Value: "Bearer x"})
	}},
	{name: "scheme", want: authz.UnsupportedScheme, with: func(a *attempt) { a.scheme = "Basic" }},
	{name: "size", want: authz.TokenTooLarge, with: func(a *attempt) { a.more += strings.Repeat("a", 8<<10) }},
	{name: "alphabet", want: authz.MalformedCredentials, with: func(a *attempt) { a.more += "!" }},
	{name: "no proofs here", want: authz.UnsupportedScheme, with: func(a *attempt) { a.api = plain }},

	{name: "parts", want: authz.TokenMalformed, with: func(a *attempt) { a.more += ".x" }},
	{name: "header twice", want: authz.TokenMalformed, with: func(a *attempt) { a.token.headerText = twice }},
	{name: "crit", want: authz.TokenMalformed, with: func(a *attempt) { a.token.header["crit"] = []string{"exp"} }},
	{name: "payload twice", want: authz.TokenMalformed, with: func(a *attempt) { a.token.payloadText = twice }},
	{name: "signature's bits", want: authz.TokenMalformed, with: func(a *attempt) {
		a.token.signatureText = func(text string) string { return text[:len(text)-1] + "B" }
	}},
	{name: "jwk", want: authz.TokenMalformed, with: func(a *attempt) { a.token.header["jwk"] = jwk(strangerKey) }},

	{name: "issuer", want: authz.TokenIssuer, with: func(a *attempt) { a.token.claims["iss"] = issuer + "/" }},
	{name: "typ", want: authz.TokenType, with: func(a *attempt) { a.token.header["typ"] = "JWT" }},
	{name: "alg", want: authz.TokenAlgorithm, with: func(a *attempt) { a.token.header["alg"] = "HS256" }},
	{name: "kid", want: authz.TokenKey, with: func(a *attempt) { a.token.header["kid"] = "k2" }},
	{name: "signature", want: authz.TokenSignature, with: func(a *attempt) { a.token.key = strangerKey }},

	{name: "jti", want: authz.TokenClaims, with: func(a *attempt) { delete(a.token.claims, "jti") }},
	{name: "cnf", want: authz.TokenClaims, with: func(a *attempt) { a.cnf()["x5t#S256"] = "short" }},
	{name: "kind", want: authz.TokenClaims, with: func(a *attempt) { a.token.claims["kind"] = "robot" }},
	{name: "scope", want: authz.TokenClaims, with: func(a *attempt) { a.token.claims["scope"] = []string{"accounts"} }},
	{name: "auth_time", want: authz.TokenClaims, with: func(a *attempt) { a.token.claims["auth_time"] = now.Add(time.Hour).Unix() }},
	{name: "environment", want: authz.TokenEnvironment, with: func(a *attempt) { a.token.claims["environment"] = "test" }},
	{name: "exp", want: authz.TokenExpired, with: func(a *attempt) { a.token.claims["exp"] = now.Add(-time.Minute).Unix() }},
	{name: "nbf", want: authz.TokenNotYetValid, with: func(a *attempt) { a.token.claims["nbf"] = now.Add(time.Minute).Unix() }},
	{name: "lifetime", want: authz.TokenLifetime, with: func(a *attempt) { a.token.claims["exp"] = now.Add(4 * time.Hour).Unix() }},
	{name: "age", want: authz.TokenAge, with: func(a *attempt) { a.token.claims["iat"] = now.Add(-2 * time.Hour).Unix() }},
	{name: "aud", want: authz.TokenAudience, with: func(a *attempt) { a.token.claims["aud"] = "https://rs.example/" }},

	{name: "no cnf", want: authz.TokenUnbound, with: func(a *attempt) { delete(a.token.claims, "cnf") }},
	{name: "unknown cnf", want: authz.BindingUnsupported, instead: true, with: func(a *attempt) { a.token.claims["cnf"] = object{"kid": "k1"} }},
	{name: "no jkt", want: authz.ProofUnbound, with: func(a *attempt) { delete(a.cnf(), "jkt") }},
	{name: "downgraded", want: authz.ProofDowngraded, instead: true, with: func(a *attempt) { a.scheme = "Bearer" }},
	{name: "no certificate", want: authz.CertificateMissing, with: func(a *attempt) { a.certificate = nil }},
	{name: "another certificate", want: authz.CertificateMismatch, instead: true, with: func(a *attempt) { a.certificate = strangerCertificate }},

	{name: "two proofs", want: authz.ProofMalformed, with: func(a *attempt) { a.moreProof += ",x" }},
	{name: "proof's parts", want: authz.ProofMalformed, with: func(a *attempt) { a.moreProof += ".x" }},
	{name: "proof's jti", want: authz.ProofMalformed, with: func(a *attempt) { delete(a.proof.claims, "jti") }},
	{name: "proof's typ", want: authz.ProofMalformed, with: func(a *attempt) { a.proof.header["typ"] = "JWT" }},
	{name: "proof's alg", want: authz.ProofAlgorithm, with: func(a *attempt) { a.proof.header["alg"] = "HS256" }},
	{name: "private jwk", want: authz.ProofMalformed, with: func(a *attempt) { a.proof.header["jwk"].(object)["d"] = "AQ" }},
	{name: "alg of another kind", want: authz.ProofAlgorithm, with: func(a *attempt) { a.proof.header["alg"] = "EdDSA" }},
	{name: "proof's signature", want: authz.ProofSignature, with: func(a *attempt) { a.proof.key = strangerKey }},
	{name: "htm", want: authz.ProofMethod, with: func(a *attempt) { a.proof.claims["htm"] = "get" }},
	{name: "htu", want: authz.ProofURL, with: func(a *attempt) { a.proof.claims["htu"] = "https://rs.example/payments" }},
	{name: "nonce", want: authz.ProofNonce, with: func(a *attempt) { a.proof.claims["nonce"] = "k1.x" }},
	{name: "proof's iat", want: authz.ProofTime, with: func(a *attempt) { a.proof.claims["iat"] = now.Add(-time.Hour).Unix() }},
	{name: "ath", want: authz.ProofToken, with: func(a *attempt) { a.ath = "x" }},
	{name: "another key", want: authz.ProofKey, with: func(a *attempt) {
		a.proof.key, a.proof.header["jwk"] = strangerKey, jwk(strangerKey)
	}},
	{name: "replayed", want: authz.ProofReplayed, with: func(a *attempt) { a.replayed = true }},

	{name: "address", want: authz.ClientAddress, with: func(a *attempt) { a.address = "198.51.100.7" }},
	{name: "revoked", want: authz.TokenRevoked, with: func(a *attempt) { a.revoked = true }},
	{name: "details", want: authz.AuthorizationDetails, with: func(a *attempt) { a.token.claims["authorization_details"] = "x" }},
}

// others are further faults, by the name of the one that fails the same check.
var others = []fails{
	{name: "certificate", want: authz.CertificateConflict, with: func(a *attempt) {
		a.certifyFault = fmt.Errorf("certificate: %w", authz.CertificateConflict)
	}},
	{name: "two credentials", want: authz.NoCredentials, with: func(a *attempt) { a.without["authorization"] = true }},
	{name: "two credentials", want: authz.RepeatedCredentials, with: func(a *attempt) { a.target = "/accounts?access_token=x" }},
	{name: "two credentials", want: authz.MalformedCredentials, with: func(a *attempt) {
		a.without["authorization"], a.target = true, "/accounts?access_token=x"
	}},
	{name: "scheme", want: authz.MalformedCredentials, with: func(a *attempt) { a.scheme = "" }},
	{name: "header twice", want: authz.TokenMalformed, with: func(a *attempt) { a.token.headerText = list }},
	{name: "header twice", want: authz.TokenTooLarge, with: func(a *attempt) { a.token.header["x"] = strings.Repeat("a", 2<<10) }},
	{name: "crit", want: authz.TokenMalformed, with: func(a *attempt) { a.token.header["jku"] = issuer }},
	{name: "crit", want: authz.TokenMalformed, with: func(a *attempt) { a.token.header["alg"] = 1 }},
	{name: "crit", want: authz.TokenMalformed, with: func(a *attempt) { a.token.header["typ"] = "" }},
	{name: "crit", want: authz.TokenMalformed, with: func(a *attempt) { a.token.header["kid"] = 1 }},
	{name: "crit", want: authz.TokenMalformed, with: func(a *attempt) { a.token.header["kid"] = strings.Repeat("k", 300) }},
	{name: "crit", want: authz.TokenMalformed, with: func(a *attempt) { a.token.header["jwk"] = "x" }},
	{name: "payload twice", want: authz.TokenMalformed, with: func(a *attempt) { a.token.payloadText = list }},
	{name: "issuer", want: authz.TokenClaims, with: func(a *attempt) { delete(a.token.claims, "iss") }},
	{name: "kid", want: authz.KeysUnavailable, with: func(a *attempt) { a.keysFault = fmt.Errorf("keys: %w", authz.KeysUnavailable) }},
	{name: "jti", want: authz.TokenClaims, with: func(a *attempt) { a.token.claims["exp"] = "soon" }},
	{name: "jti", want: authz.TokenClaims, with: func(a *attempt) { a.token.claims["aud"] = 1 }},
	{name: "jti", want: authz.TokenClaims, with: func(a *attempt) { a.token.claims["sub"] = "" }},
	{name: "jti", want: authz.TokenClaims, with: func(a *attempt) { a.token.claims["client_id"] = 1 }},
	{name: "jti", want: authz.TokenClaims, with: func(a *attempt) { a.token.claims["iat"] = true }},
	{name: "jti", want: authz.TokenClaims, with: func(a *attempt) { a.token.claims["nbf"] = "x" }},
	{name: "jti", want: authz.TokenClaims, with: func(a *attempt) { a.token.claims["auth_time"] = "x" }},
	{name: "jti", want: authz.TokenClaims, with: func(a *attempt) { a.token.claims["acr"] = 1 }},
	{name: "jti", want: authz.TokenClaims, with: func(a *attempt) { a.token.claims["amr"] = "pwd" }},
	{name: "cnf", want: authz.TokenClaims, with: func(a *attempt) { a.token.claims["cnf"] = "x" }},
	{name: "scope", want: authz.TokenClaims, with: func(a *attempt) { a.token.claims["act"] = "x" }},
	{name: "nbf", want: authz.TokenNotYetValid, with: func(a *attempt) { a.token.claims["iat"] = now.Add(time.Minute).Unix() }},
	{name: "two proofs", want: authz.ProofMissing, with: func(a *attempt) { a.without["dpop"] = true }},
	{name: "proof's parts", want: authz.ProofMalformed, with: func(a *attempt) { a.proof.header["crit"] = []string{"exp"} }},
	{name: "replayed", want: authz.ReplaysUnavailable, with: func(a *attempt) { a.replayFault = errDown }},
}

// twice puts a member that is there into the JSON once more.
func twice(text string) string {
	name, _, _ := strings.Cut(text, ":")
	return name + ":1," + text[1:]
}

func list(text string) string { return "[" + text + "]" }

// TestGoodTokenPassesEveryCheck holds the good twin of all faults.
func TestGoodTokenPassesEveryCheck(t *testing.T) {
	report := run(t, good())
	for _, result := range report.Results {
		if result.Outcome != Passed {
			t.Errorf("%s = %v %s, want %v", result.What, result.Outcome, result.Because, Passed)
		}
	}
	if report.Failed != nil || report.Facts.Token == nil || report.Facts.Certificate == nil {
		t.Errorf("Run() = %+v, want the token and the certificate", report)
	}
}

func TestEachCheckFails(t *testing.T) {
	if len(faulty) != len(Order) {
		t.Fatalf("%d faults for %d checks", len(faulty), len(Order))
	}
	for i, fault := range faulty {
		t.Run(fault.name, func(t *testing.T) { wantFailed(t, fault, i) })
	}
	for _, fault := range others {
		t.Run(fault.name+" "+fault.want.String(), func(t *testing.T) {
			wantFailed(t, fault, slices.IndexFunc(faulty, func(f fails) bool { return f.name == fault.name }))
		})
	}
}

// wantFailed fails unless the fault has the check at that place fail, those before it
// passed or not applicable, and those behind it not reached.
func wantFailed(t *testing.T, fault fails, place int) {
	t.Helper()
	a := good()
	fault.with(a)
	report := run(t, a)
	if report.Failed == nil || report.Failed.Reason != fault.want || report.Failed.Check != &Order[place] {
		t.Fatalf("Failed = %+v, want %v of %q", report.Failed, fault.want, Order[place].What)
	}
	if report.Failed.Advice == "" || report.Facts.Token != nil {
		t.Errorf("advice %q and token %v, want advice and no token", report.Failed.Advice, report.Facts.Token)
	}
	for i, result := range report.Results {
		passed := i < place && (result.Outcome == Passed || result.Outcome == NotApplicable)
		if !passed && !(i == place && result.Outcome == Failed) && !(i > place && result.Outcome == NotReached) {
			t.Errorf("%q = %v, and the one that failed is %q", result.What, result.Outcome, Order[place].What)
		}
	}
}

// TestTheEarlierFaultIsTheReason makes every two neighbours fail at once.
func TestTheEarlierFaultIsTheReason(t *testing.T) {
	for i, later := range faulty {
		if i == 0 || later.instead {
			continue
		}
		earlier := faulty[i-1]
		t.Run(earlier.name+" before "+later.name, func(t *testing.T) {
			a := good()
			earlier.with(a)
			later.with(a)
			if report := run(t, a); report.Failed == nil || report.Failed.Check != &Order[i-1] {
				t.Errorf("Failed = %+v, want %q", report.Failed, Order[i-1].What)
			}
		})
	}
}

// elsewhere are the reasons that no token is refused for.
var elsewhere = []authz.Reason{
	authz.Internal, authz.Granted,
	authz.RequestTooLarge, authz.PathNotCanonical, authz.QueryMalformed, authz.NoContract,
	authz.UnknownPath, authz.UnknownMethod,
	// The token is good, and not for this operation.
	authz.CallerKind, authz.InsufficientScope, authz.StepUpRequired, authz.RevocationsUnavailable, authz.PolicyUnavailable,
	authz.CertificateRequired, authz.CertificateExpired, authz.CertificateRole,
	authz.ContentType, authz.BodyTruncated, authz.BodyMalformed, authz.ObjectMissing, authz.ObjectMalformed, authz.TooManyObjects,
	authz.ConsentUnavailable, authz.OwnershipUnavailable,
	authz.PolicyDenied, authz.PolicyError,
	authz.DeadlineExceeded, authz.NotRecorded, authz.Overloaded,
	authz.LimitReached, authz.LimitsUnavailable,
}

// TestEveryReasonHasItsCheck holds that each reason is one check's, but for what its
// details give to others, or stands elsewhere.
func TestEveryReasonHasItsCheck(t *testing.T) {
	for n := authz.Internal; n == authz.Internal || n.String() != authz.Internal.String(); n++ {
		checks := 0
		for _, check := range Order {
			for _, fault := range check.faults {
				if fault.reason == n && len(fault.details) == 0 {
					checks++
				}
			}
		}
		if slices.Contains(elsewhere, n) {
			checks++
		}
		if checks != 1 {
			t.Errorf("%v is of %d checks, want 1: add it to Order, or to elsewhere", n, checks)
		}
	}
}

// TestEveryFaultIsTried holds that the tests above make every check fail in each way.
func TestEveryFaultIsTried(t *testing.T) {
	tried := map[string]bool{}
	for _, fault := range slices.Concat(faulty, others) {
		place := slices.IndexFunc(faulty, func(f fails) bool { return f.name == fault.name })
		tried[fmt.Sprint(place, fault.want)] = true
	}
	for i, check := range Order {
		for _, fault := range check.faults {
			if !tried[fmt.Sprint(i, fault.reason)] {
				t.Errorf("nothing makes %q fail for %v", check.What, fault.reason)
			}
		}
	}
}

// TestChecksAreRulesOfTheStandards holds that the rules of each check are among those that
// are tried, for one of its reasons; and where it has none, that an issuer's configuration
// asks for it.
func TestChecksAreRulesOfTheStandards(t *testing.T) {
	rules, keys := rulesOf(t), map[string]bool{}
	for field := range reflect.TypeFor[token.Issuer]().Fields() {
		keys[field.Tag.Get("yaml")] = true
	}
	for _, check := range Order {
		key, _, _ := strings.Cut(check.Section, ".")
		if keys[key] == (len(check.Rules) > 0) {
			t.Errorf("%q is of %q and of rules %q, want either a key or rules", check.What, check.Section, check.Rules)
		}
		for _, rule := range check.Rules {
			refuses := func(f fault) bool { return slices.Contains(rules[rule], f.reason.String()) }
			if !slices.ContainsFunc(check.faults, refuses) {
				t.Errorf("%q is of rule %s, which refuses for %q", check.What, rule, rules[rule])
			}
		}
	}
}

// rulesOf are the reasons to refuse of each rule that is tried.
func rulesOf(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "integration", "standards", "testdata", "rules.txt"))
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, " | "); len(cells) == 5 {
			rules[cells[0]] = strings.Fields(cells[2])
		}
	}
	return rules
}

func TestWhatIsNotSentIsNotApplicable(t *testing.T) {
	idle := map[string]int{}
	for _, result := range run(t, bearer()).Results {
		switch result.Outcome {
		case NotApplicable:
			idle[result.Because]++
		case Passed:
		default:
			t.Errorf("%q = %v", result.What, result.Outcome)
		}
	}
	for _, because := range lacks {
		if (idle[because] == 0) != (because == "") {
			t.Errorf("%d checks are not applicable because %q", idle[because], because)
		}
	}
}

// TestAFaultOfOursIsNoCheck has a store fail in a way that no reason tells of.
func TestAFaultOfOursIsNoCheck(t *testing.T) {
	a := good()
	a.keysFault = context.DeadlineExceeded
	if report, err := tried(t, a); err == nil {
		t.Errorf("Run() = %+v, want an error", report)
	}
}

// TestASignatureIsNotSaid looks for it in what a token says of itself.
func TestASignatureIsNotSaid(t *testing.T) {
	a := good()
	a.token.header["x"] = "y"
	report := run(t, a)
	if report.Said.Claims["sub"] != "ann" || len(report.Said.Header) != 3 {
		t.Errorf("Said = %v, want claims, and typ, alg and kid", report.Said)
	}
}

// TestOnlyATokenIsSaid reads nothing of what is none, or is too large.
func TestOnlyATokenIsSaid(t *testing.T) {
	for _, value := range []string{"", "Bearer", "Bearer a.b", "Bearer a.b.c", "Bearer W10.W10.c", "Bearer e30.e30.c" + strings.Repeat("a", maxSaid)} {
		said := ReadSaid(&authz.Request{Headers: authz.Headers{{Name: "authorization", Value: value}}})
		if said.Header != nil || said.Claims != nil {
			t.Errorf("ReadSaid(%.20q) = %v, want nothing", value, said)
		}
	}
}

// TestFind holds that a decision without its token is found by its reason and detail.
func TestFind(t *testing.T) {
	found := Find(authz.Decision{Reason: authz.TokenMalformed, Detail: "token: token_malformed: header has jwk"})
	if found == nil || found.Check.What != "the header brings no key of its own" || found.Advice != tellIssuer {
		t.Errorf("Find() = %+v, want that the header brings a key", found)
	}
	if found := Find(authz.Decision{Reason: authz.UnknownPath}); found != nil {
		t.Errorf("Find() = %+v of what is no token's", found)
	}
}
