package integration

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
	"github.com/countersign-io/countersign/integration/oidc"
)

// identified is the bank with a real OpenID provider for its issuer. Acme's tokens there
// are bound to its certificate and signed by PS256, Zeta's are bound to its key and
// signed by ES256.
type identified struct {
	stack      *bank.Stack
	provider   *oidc.Provider
	acme, zeta *oidc.Client
}

// everything is what a client can be allowed at the bank.
const everything = "accounts payments"

func startIdentified(t *testing.T) *identified {
	t.Helper()
	dir, key := t.TempDir(), oidc.NewKey(t)
	// What Countersign trusts the provider by: no key of the configuration's names it.
	t.Setenv("SSL_CERT_FILE", filepath.Join(dir, "ca.pem"))
	b := &identified{
		acme: &oidc.Client{ID: bank.Acme, Redirect: "https://acme.example/callback"},
		zeta: &oidc.Client{ID: bank.Zeta, Redirect: "https://zeta.example/callback", Key: key},
	}
	b.stack = startBank(t, patient(bank.Options{Dir: dir, Silent: true, ConfigureEnvoy: untraced, Configure: func(configuration string) string {
		// The bank has made its certificates, and Countersign does not run yet.
		b.provider = oidc.Start(t, settings(t, dir, key))
		moveCustomers(t, filepath.Join(dir, "bank.db"), b.provider.Issuer)
		copyFile(t, filepath.Join("oidc", "payment.rego"), filepath.Join(dir, "policy", "payment.rego"))
		return withIssuer(t, configuration, b.provider.Issuer)
	}}))
	b.acme.HTTP, b.zeta.HTTP = b.stack.Client(bank.Acme), b.stack.Client("")
	return b
}

// settings are those of the provider, whose clients are the bank's: each with its way of
// authenticating, and of binding its tokens.
func settings(t *testing.T, dir string, key *oidc.Key) oidc.Settings {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("oidc", "clients.json"))
	if err != nil {
		t.Fatal(err)
	}
	var clients []map[string]any
	if err := json.Unmarshal(text, &clients); err != nil {
		t.Fatal(err)
	}
	for _, client := range clients {
		if client["client_id"] == bank.Zeta {
			client["jwks"] = map[string]any{"keys": []any{key.JWK(t)}}
		}
	}
	return oidc.Settings{
		Certificate: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server.key"), Authority: filepath.Join(dir, "ca.pem"),
		Audience: bank.Origin, Scope: everything, ACR: "urn:openbanking:psd2:sca", Clients: clients,
	}
}

// moveCustomers makes the bank's customers the provider's: subjects mean nothing without
// their issuer.
func moveCustomers(t *testing.T, file, issuer string) {
	t.Helper()
	database, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	for _, table := range []string{"customers", "consents"} {
		if _, err := database.Exec("update "+table+" set issuer = ?", issuer); err != nil {
			t.Fatal(err)
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// issuers is that part of the bank's configuration, which a line without text ends.
var issuers = regexp.MustCompile(`(?s)\nissuers:\n.*?\n\n`)

// withIssuer puts the documented issuer (docs/identity-provider.md) in place of the
// bank's own.
func withIssuer(t *testing.T, configuration, issuer string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("oidc", "issuer.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	own := issuers.FindString(configuration)
	return changed(t, configuration, own, "\n"+strings.ReplaceAll(string(text), "https://as.example", issuer)+"\n")
}

// call is a request with a token of the provider's.
type call struct {
	method, path, body string
	listener           string // "" means mtls
	certificate        string
	authorization      string
	proof              string
}

// ask sends a call once.
func (b *identified) ask(t *testing.T, c call) answer {
	t.Helper()
	listener := bank.MTLS
	if c.listener != "" {
		listener = c.listener
	}
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, c.method, "https://"+b.stack.Address(listener)+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	if c.body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range map[string]string{"Authorization": c.authorization, "DPoP": c.proof} {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	got, err := send(b.stack.Client(c.certificate), request)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// nonce is what a client without a token is told to put into its proofs.
func (b *identified) nonce(t *testing.T) string {
	t.Helper()
	return fetch(t, b.stack, bank.Story{Ask: bank.Ask{Method: http.MethodGet, Path: "/accounts", Listener: bank.MTLS}}).Header.Get("DPoP-Nonce")
}

// identity is what the upstream is told of who calls.
func identity(got answer) map[string]string {
	told := map[string]string{}
	for _, name := range []string{"caller-kind", "subject", "client", "scopes", "consent"} {
		if value, there := got.received.Headers["x-countersign-"+name]; there {
			told[name] = value
		}
	}
	return told
}

// wantSigned fails unless a token's own header has the type of RFC 9068 and the algorithm.
func wantSigned(t *testing.T, token, algorithm string) {
	t.Helper()
	first, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		t.Fatal(err)
	}
	header := map[string]string{}
	if err := json.Unmarshal(text, &header); err != nil {
		t.Fatal(err)
	}
	delete(header, "kid")
	if diff := cmp.Diff(map[string]string{"typ": "at+jwt", "alg": algorithm}, header); diff != "" {
		t.Errorf("the token's header (-want +got):\n%s", diff)
	}
}

// TestProvidersTokens has a customer log in at a real provider, under its FAPI 2.0
// profile, and sends the tokens that clients get from it through Envoy: as they are
// meant to be sent, and as a thief would.
func TestProvidersTokens(t *testing.T) {
	b := startIdentified(t)
	t.Run("bound to a certificate", b.boundToCertificate)
	t.Run("bound to a key", b.boundToKey)
	t.Run("of a client by itself", b.ofClient)
	t.Run("with authorization details", b.withDetails)
}

func (b *identified) boundToCertificate(t *testing.T) {
	token := b.acme.Authorized(t, b.provider, oidc.Login{As: "ann", Scope: everything})
	wantSigned(t, token, "PS256")
	for _, test := range []struct {
		name string
		call call
		want verdict
	}{
		{"its own certificate", call{certificate: bank.Acme}, granted},
		{"another's certificate", call{certificate: bank.Zeta}, refusal(401, "certificate_mismatch")},
		{"no certificate", call{}, refusal(401, "certificate_missing")},
		{"a listener without certificates", call{listener: bank.PlainTLS, certificate: bank.Acme}, refusal(401, "certificate_missing")},
		{"another customer's account", call{certificate: bank.Acme, path: "/accounts/31820"}, refusal(403, "not_owner")},
	} {
		c := test.call
		c.method, c.authorization = http.MethodGet, "Bearer "+token
		if c.path == "" {
			c.path = "/accounts/22289"
		}
		got := b.ask(t, c)
		if toldAs(got) != test.want {
			t.Errorf("%s: told %+v, want %+v", test.name, toldAs(got), test.want)
		}
		if test.want != granted {
			continue
		}
		want := map[string]string{"caller-kind": "customer", "subject": "ann", "client": "acme", "scopes": everything, "consent": "ann-acme"}
		if diff := cmp.Diff(want, identity(got)); diff != "" {
			t.Errorf("the upstream is told (-want +got):\n%s", diff)
		}
	}
}

func (b *identified) boundToKey(t *testing.T) {
	const path, url = "/accounts/22289", bank.Origin + "/accounts/22289"
	token, nonce := b.zeta.Authorized(t, b.provider, oidc.Login{As: "ann", Scope: "accounts"}), b.nonce(t)
	wantSigned(t, token, "ES256")
	prove := func(key *oidc.Key, url string) string {
		return key.Proof(t, http.MethodGet, url, map[string]any{"ath": oidc.Ath(token), "nonce": nonce})
	}
	proof := prove(b.zeta.Key, url)
	for _, test := range []struct {
		name, scheme, proof string
		want                verdict
	}{
		{"its own key", "DPoP", proof, granted},
		{"the same proof again", "DPoP", proof, refusal(401, "proof_replayed")},
		{"another key", "DPoP", prove(oidc.NewKey(t), url), refusal(401, "proof_key")},
		{"another URL", "DPoP", prove(b.zeta.Key, bank.Origin+"/accounts"), refusal(401, "proof_url")},
		{"no proof", "DPoP", "", refusal(401, "proof_missing")},
		{"a bearer token", "Bearer", "", refusal(401, "proof_downgraded")},
		{"a bearer token with a proof", "Bearer", prove(b.zeta.Key, url), refusal(401, "proof_downgraded")},
		{"another proof", "DPoP", prove(b.zeta.Key, url), granted},
	} {
		got := b.ask(t, call{method: http.MethodGet, path: path, listener: bank.PlainTLS, authorization: test.scheme + " " + token, proof: test.proof})
		if toldAs(got) != test.want {
			t.Errorf("%s: told %+v, want %+v", test.name, toldAs(got), test.want)
		}
		if test.want != granted {
			continue
		}
		want := map[string]string{"caller-kind": "customer", "subject": "ann", "client": "zeta", "scopes": "accounts", "consent": "ann-zeta"}
		if diff := cmp.Diff(want, identity(got)); diff != "" {
			t.Errorf("%s: the upstream is told (-want +got):\n%s", test.name, diff)
		}
	}
}

// ofClient sends a client's own token, for which there is no customer.
func (b *identified) ofClient(t *testing.T) {
	token := "Bearer " + b.acme.Token(t, b.provider, "accounts")
	asks := call{method: http.MethodPost, path: "/account-access-consents", body: "{}", certificate: bank.Acme, authorization: token}
	got := b.ask(t, asks)
	want := map[string]string{"caller-kind": "client", "subject": "acme", "client": "acme", "scopes": "accounts"}
	if diff := cmp.Diff(want, identity(got)); got.status != http.StatusCreated || diff != "" {
		t.Errorf("a consent is asked for: told %+v; the upstream is told (-want +got):\n%s", toldAs(got), diff)
	}
	reads := call{method: http.MethodGet, path: "/accounts/22289", certificate: bank.Acme, authorization: token}
	if got := toldAs(b.ask(t, reads)); got.status != http.StatusForbidden {
		t.Errorf("a customer's account is read: told %+v, want 403", got)
	}
}

// withDetails has a payment authorized, and makes it and another.
func (b *identified) withDetails(t *testing.T) {
	token := "Bearer " + b.acme.Authorized(t, b.provider, oidc.Login{As: "ann", Scope: "payments", Details: []map[string]any{{
		"type":             "payment_initiation",
		"instructedAmount": map[string]string{"amount": "165.88", "currency": "GBP"},
		"creditorAccount":  "08080021325698",
	}}})
	for amount, want := range map[string]verdict{"165.88": {status: http.StatusCreated}, "1650.88": refusal(403, "payment_not_authorized")} {
		got := b.ask(t, call{method: http.MethodPost, path: "/domestic-payments", certificate: bank.Acme, authorization: token, body: fmt.Sprintf(
			`{"Data": {"Initiation": {"DebtorAccount": {"Identification": "22289"}, "CreditorAccount": {"Identification": "08080021325698"},
			"InstructedAmount": {"Amount": %q, "Currency": "GBP"}}}}`, amount)})
		if toldAs(got) != want {
			t.Errorf("a payment of %s: told %+v, want %+v", amount, toldAs(got), want)
		}
	}
}
