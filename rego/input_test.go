package rego

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

// whole builds every key there is.
var whole = newDocument(reach{whole: &ast.Location{}})

func built(t testing.TB, d *document, facts *authz.Facts) any {
	t.Helper()
	value, err := d.of(facts)
	if err != nil {
		t.Fatal(err)
	}
	document, err := ast.JSON(value)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func parsed(t testing.TB, text string) any {
	t.Helper()
	document, err := authz.ParseJSON([]byte(text), 64)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func TestInputOfEverythingKnown(t *testing.T) {
	want := parsed(t, `{
		"request": {"method": "GET", "path": "/accounts/22289/balances", "host": "api.example",
			"address": "192.0.2.1", "time": 1795251600000000000},
		"operation": {"id": "GetAccountsAccountIdBalances", "api": "accounts", "method": "GET",
			"path": "/accounts/{AccountId}/balances", "parameters": {"AccountId": "22289"},
			"scopes": [["accounts"], ["admin", "read"]], "permission": "read_balances",
			"consent": [["ReadBalances"]], "regions": ["GB", "IE"], "grant": "scope",
			"step_up": {"acr_values": ["urn:example:sca"], "max_age": 300000000000},
			"audiences": ["https://rs.example"], "limits": [{"per": "client", "max": 100, "window": 60000000000}],
			"public": false, "stream": false},
		"caller": {"kind": "customer", "issuer": "https://as.example", "subject": "ann", "client": "acme",
			"tenant": "retail", "roles": ["customer"], "scopes": ["openid", "accounts"], "actor": "app"},
		"token": {"issuer": "https://as.example", "claims": {"sub": "ann", "exp": 1795000000,
				"big": 12345678901234567890, "nested": {"list": ["a", null, true]},
				"authorization_details": [{"type": "account_information", "actions": ["read"],
					"locations": ["https://rs.example"], "limit": 10.00000000000000000001}]},
			"authorization_details": [{"type": "account_information", "actions": ["read"],
				"locations": ["https://rs.example"], "limit": 10.00000000000000000001}],
			"issued_at": 1795251540000000000, "expires_at": 1795251840000000000, "lifetime": 300000000000,
			"auth_time": 1795251480000000000, "acr": "urn:example:sca", "amr": ["pwd", "otp"], "binding": ["mtls"], "environment": "production"},
		"certificate": {"thumbprint": "-_8AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "subject": "CN=Acme",
			"uris": ["spiffe://acme/tpp"], "dns": ["acme.example"], "spiffe": "spiffe://acme/tpp", "country": "GB",
			"not_before": 1795248000000000000, "not_after": 1795255200000000000, "qualified": true,
			"psd2": {"roles": ["PSP_AI", "PSP_PI"], "authority": "GB-FCA", "id": "PSDGB-FCA-123456"}},
		"objects": [{"type": "account", "id": "22289", "where": "path", "owned": true, "relation": "owner", "region": "GB"}],
		"consent": {"id": "c-1", "status": "AUTH", "client": "acme", "subject": "ann",
			"permissions": ["ReadBalances", "ReadAccountsBasic"], "objects": [{"type": "account", "id": "22289"}],
			"expires_at": 1795255200000000000, "open_ended": false},
		"region": {"service": "GB", "caller": "GB", "objects": ["GB"]},
		"environment": "production",
		"attributes": {"request": {"http": {"method": "GET", "size": -1}}},
		"parsed_path": ["accounts", "22289", "balances"],
		"parsed_query": {"q": ["1", "2"]},
		"parsed_body": {"Amount": 10.00000000000000000001},
		"truncated_body": false,
		"version": {"ext_authz": "v3", "encoding": "protojson"},
		"source_principal": "spiffe://acme/tpp"
	}`)
	if diff := cmp.Diff(want, built(t, whole, fullFacts())); diff != "" {
		t.Errorf("input (-want +got):\n%s", diff)
	}
}

func TestInputOfNothingKnownHasNoNulls(t *testing.T) {
	want := parsed(t, `{
		"caller": {"kind": "anonymous"},
		"objects": [],
		"parsed_path": [""],
		"parsed_query": {},
		"truncated_body": false,
		"version": {"ext_authz": "v3", "encoding": "protojson"}
	}`)
	got := built(t, whole, &authz.Facts{Request: &authz.Request{}})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("input (-want +got):\n%s", diff)
	}
}

func TestInputOfWhatIsKnownToBeEmpty(t *testing.T) {
	facts := &authz.Facts{
		Request: &authz.Request{},
		Match:   authz.Match{Operation: &authz.Operation{StepUp: &authz.StepUp{}}},
		Token:   &authz.Token{}, Certificate: &authz.Certificate{}, Consent: &authz.Consent{},
		Inspection: authz.Inspection{Parsed: true},
	}
	got := built(t, whole, facts).(map[string]any)
	want := map[string]any{
		"operation":   parsed(t, `{"public": true, "stream": false, "step_up": {}, "scopes": []}`),
		"token":       parsed(t, `{"binding": []}`),
		"certificate": parsed(t, `{"thumbprint": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`),
		"consent":     parsed(t, `{"objects": [], "open_ended": false}`),
		"parsed_body": nil,
	}
	for key, value := range want {
		if diff := cmp.Diff(value, got[key]); diff != "" {
			t.Errorf("input.%s (-want +got):\n%s", key, diff)
		}
	}
}

// TestCertificateSaysNothingOutsideItsDates holds that names and roles are facts only
// while the certificate stands; its thumbprint, to which a token is bound, always is.
func TestCertificateSaysNothingOutsideItsDates(t *testing.T) {
	bare := parsed(t, `{"thumbprint": "-_8AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`)
	tests := []struct {
		name   string
		change func(*authz.Facts)
		stands bool
	}{
		{"its first moment", func(f *authz.Facts) { f.Time = f.Certificate.Identity.NotBefore }, true},
		{"its last moment", func(f *authz.Facts) { f.Time = f.Certificate.Identity.NotAfter }, true},
		{"not yet valid", func(f *authz.Facts) { f.Time = f.Certificate.Identity.NotBefore.Add(-1) }, false},
		{"expired", func(f *authz.Facts) { f.Time = f.Certificate.Identity.NotAfter.Add(1) }, false},
		{"only the thumbprint is known", func(f *authz.Facts) { f.Certificate.Identity = nil }, false},
	}
	for _, test := range tests {
		facts := fullFacts()
		test.change(facts)
		got := built(t, whole, facts).(map[string]any)["certificate"]
		if stands := !cmp.Equal(got, bare); stands != test.stands {
			t.Errorf("%s: input.certificate = %v, want names and roles: %v", test.name, got, test.stands)
		}
	}
}

func TestPreparedClaimsAreUsedAsTheyAre(t *testing.T) {
	facts := fullFacts()
	want := built(t, whole, facts)
	facts.Token.Prepared = PrepareClaims(facts.Token.Claims)
	facts.Token.Claims = nil
	if diff := cmp.Diff(want, built(t, whole, facts)); diff != "" {
		t.Errorf("input (-converted +prepared):\n%s", diff)
	}
}

func TestClaimsArePreparedAsFarAsTheyAreRead(t *testing.T) {
	claims := map[string]any{"a": "1", "b": map[string]any{"c": "2", "d": "3"}, "e": "4"}
	for condition, want := range map[string]string{
		`input.token.claims.a == "1"`:                                    `{"a": "1"}`,
		`input.token.claims.b.c; input.token["claims"].absent`:           `{"b": {"c": "2", "d": "3"}}`,
		`input.token.claims.absent`:                                      `{}`,
		`input.token.claims[input.caller.kind]`:                          `{"a": "1", "b": {"c": "2", "d": "3"}, "e": "4"}`,
		`input.token.claims[0]; input.token.claims.a`:                    `{"a": "1"}`,
		`some name; input.token.claims[name] == "4"`:                     `{"a": "1", "b": {"c": "2", "d": "3"}, "e": "4"}`,
		`c := input.token.claims; c.e`:                                   `{"a": "1", "b": {"c": "2", "d": "3"}, "e": "4"}`,
		`t := input.token; t.claims.e`:                                   `{"a": "1", "b": {"c": "2", "d": "3"}, "e": "4"}`,
		`input.token[input.caller.kind]`:                                 `{"a": "1", "b": {"c": "2", "d": "3"}, "e": "4"}`,
		`count(input) > 0`:                                               `{"a": "1", "b": {"c": "2", "d": "3"}, "e": "4"}`,
		`input.token.claims.a with input.token.claims as {"a": "other"}`: `{"a": "1", "b": {"c": "2", "d": "3"}, "e": "4"}`,
		`input.token.acr == "loa3"`:                                      ``,
		`input.caller.kind == "customer"`:                                ``,
	} {
		e := own(t, "package site\ndecision if { "+condition+" }\n")
		got := ""
		if prepare := e.Preparation(false); prepare != nil {
			got = prepare(claims).(ast.Value).String()
		}
		if got != want {
			t.Errorf("Preparation(false) for %s makes %s, want %s", condition, got, want)
		}
		if diff := cmp.Diff(PrepareClaims(claims), e.Preparation(true)(claims)); diff != "" {
			t.Errorf("Preparation(true) for %s (-all +got):\n%s", condition, diff)
		}
	}
}

// TestDetailsDoNotDependOnWhatIsPrepared holds a policy that reads them to the same ones,
// whether the claim is among what was prepared or not.
func TestDetailsDoNotDependOnWhatIsPrepared(t *testing.T) {
	e := own(t, "package site\ndecision if { input.token.claims.tier; input.token.authorization_details[0].type == \"account_information\" }\n")
	facts := fullFacts()
	facts.Token.Claims["tier"] = "gold"
	for _, prepare := range []func(map[string]any) any{e.Preparation(false), e.Preparation(true), func(map[string]any) any { return nil }} {
		facts.Token.Prepared = prepare(facts.Token.Claims)
		if verdict, err := e.Decide(t.Context(), facts); err != nil || !verdict.Allowed {
			t.Errorf("Decide with %v prepared = %v, %v, want allowed", facts.Token.Prepared, verdict.Allowed, err)
		}
	}
}

// TestDetailsThatAreDeniedAreSeen holds that a policy which refuses by a detail sees it,
// though it names a claim as well, and so not all of them are prepared.
func TestDetailsThatAreDeniedAreSeen(t *testing.T) {
	const byDetail = "package site\ndefault decision := false\ndecision if not deny\ndeny if { some d in input.token.authorization_details; d.type == \"account_information\" }\n"
	for _, more := range []string{"", "deny if input.token.claims.tier == \"bronze\"\n"} {
		e := own(t, byDetail+more)
		facts := fullFacts()
		if prepare := e.Preparation(false); prepare != nil { // nil where no claim is named
			facts.Token.Prepared = prepare(facts.Token.Claims)
		}
		if verdict, err := e.Decide(t.Context(), facts); err != nil || verdict.Allowed {
			t.Errorf("Decide with %q = %v, %v, want refused", more, verdict.Allowed, err)
		}
	}
}

func TestFactsThatAreNotJSONAreAnError(t *testing.T) {
	facts := fullFacts()
	facts.Token.Claims = map[string]any{"f": func() {}}
	facts.Token.Prepared = PrepareClaims(facts.Token.Claims)
	if facts.Token.Prepared != nil {
		t.Error("PrepareClaims = something, want nil")
	}
	e := own(t, "package site\ndecision if not input.token.claims.blocked\n")
	if verdict, err := e.Decide(t.Context(), facts); err == nil || verdict.Allowed {
		t.Errorf("Decide = %v, %v, want an error", verdict.Allowed, err)
	}
}

func TestAttributesAreAskedForOnlyWhenReached(t *testing.T) {
	facts := fullFacts()
	asked := 0
	facts.Request.Attributes = func() map[string]any { asked++; return nil }
	for _, c := range []struct {
		module string
		want   int
	}{
		{"package site\ndecision if input.caller.kind == \"customer\"\n", 0},
		{"package site\ndecision := is_null(input.attributes)\n", 1},
	} {
		asked = 0
		e := own(t, c.module)
		if _, err := e.Decide(t.Context(), facts); err != nil || asked != c.want {
			t.Errorf("Decide asked %d times, want %d, %v", asked, c.want, err)
		}
		if _, err := e.Inputs(false).Input(facts); err != nil || asked != 2*c.want {
			t.Errorf("Decide and Input asked %d times, want %d, %v", asked, 2*c.want, err)
		}
	}
}

func TestInstants(t *testing.T) {
	for name, c := range map[string]struct {
		at   time.Time
		want string
	}{
		"a date that int64 holds": {time.Unix(1795251600, 5), "1795251600000000005"},
		"the end of time":         {time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), "253402300799000000000"},
		"before 1970":             {time.Unix(-1, 0), "-1000000000"},
		"long before":             {time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), "-62135596799000000000"},
	} {
		if got := instant(c.at); got.Value.Compare(ast.Number(c.want)) != 0 {
			t.Errorf("%s: instant = %v, want %s", name, got, c.want)
		}
	}
}

// The rows are those of opa-envoy-plugin, as observed.
func TestPeerPathAndQuery(t *testing.T) {
	for _, c := range []struct{ target, path, query string }{
		{"", `[""]`, `{}`},
		{"/", `[""]`, `{}`},
		{"/a/", `["a", ""]`, `{}`},
		{"/a/b%2Fc//d/?q=1&q=2&e", `["a", "b", "c", "", "d", ""]`, `{"q": ["1", "2"], "e": [""]}`},
		{"//x/people?a=1", `["x", "people"]`, `{"a": ["1"]}`},
		{"//admin/dashboard", `["admin", "dashboard"]`, `{}`},
		{"%2Fmy%2Ftest%2Fpath?a=1&a=new%0aline", `["my", "test", "path"]`, `{"a": ["1", "new\nline"]}`},
		{"/a/../b/./c", `["a", "..", "b", ".", "c"]`, `{}`},
		{"/a%3Fb?c=d", `["a?b"]`, `{"c": ["d"]}`},
		{"/a#frag?x=1", `["a#frag"]`, `{"x": ["1"]}`},
		{"/a+b?x=a+b", `["a+b"]`, `{"x": ["a b"]}`},
		{"http://h/a/b?x=1", `["http:", "", "h", "a", "b"]`, `{"x": ["1"]}`},
		{"/%ff%fe", `["\ufffd\ufffd"]`, `{}`},
		{"/a%zz", `null`, `{}`},
		{"/a?x=%zz", `["a"]`, `null`},
		{"/a?x=1;y=2", `["a"]`, `null`},
	} {
		got := built(t, whole, &authz.Facts{Request: &authz.Request{Target: c.target}}).(map[string]any)
		if diff := cmp.Diff(parsed(t, c.path), got["parsed_path"]); diff != "" {
			t.Errorf("parsed_path of %q (-want +got):\n%s", c.target, diff)
		}
		if diff := cmp.Diff(parsed(t, c.query), got["parsed_query"]); diff != "" {
			t.Errorf("parsed_query of %q (-want +got):\n%s", c.target, diff)
		}
	}
}

func FuzzPeerPathAndQuery(f *testing.F) {
	for _, seed := range []string{"", "/a/b%2Fc//d/?q=1", "//x", "/%ff", "/a?x=%zz", "?;", "/%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		value, err := whole.of(&authz.Facts{Request: &authz.Request{Target: target}})
		if err != nil {
			t.Fatal(err)
		}
		document, err := ast.JSON(value)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(document.(map[string]any)["parsed_path"])
		if err != nil || !utf8.Valid(text) {
			t.Errorf("parsed_path is no JSON: %v", err)
		}
	})
}

// Policies that reach different parts of the input, and in different ways.
var reaching = map[string]string{
	"the library": "import data.countersign.standard\ndecision := standard.decision\n",
	"sections": `decision := {"allowed": true, "dynamic_metadata": {
	"caller": object.get(input, ["caller"], null), "path": object.get(input, ["parsed_path"], null)}}
`,
	"single facts": `decision := {"allowed": count(seen) > 2, "dynamic_metadata": {"seen": seen}}
seen contains input.caller.subject
seen contains input.token.claims.sub
seen contains input.operation.id
seen contains input.operation.parameters.AccountId
seen contains input.consent.permissions[_]
seen contains input.region.objects
seen contains input.certificate.thumbprint
seen contains input.parsed_query.q[0]
`,
	"parts of claims and body": `decision := {"allowed": true, "dynamic_metadata": {"seen": seen}}
seen contains input.token.claims.nested.list[0]
seen contains input.token.claims.nested["a.b"]
seen contains object.get(input.parsed_body.Data, "Amount", "none")
seen contains "no list" if not input.token.claims.nested.list
`,
	"other parts of them": `decision := {"allowed": true, "dynamic_metadata": {"seen": seen}}
seen contains input.token.claims.big
seen contains input.parsed_body.Data.Amount
seen contains "no second signer" if not input.token.claims.second_signer
`,
	"parts that are replaced": `decision := {"allowed": true, "dynamic_metadata": {"seen": seen}}
seen contains value if value := data.site.signer with input.token.claims.sub.of as "bob"
seen contains value if value := data.site.signer with input.parsed_body.Data.Amount.Of as 1
signer := [object.get(input.token.claims.nested, "list", "none"), input.parsed_body.Data.Amount.Of]
signer := [input.token.claims.sub.of] if not input.parsed_body.Data.Amount.Of
`,
	"absence": `decision := {"allowed": true, "dynamic_metadata": {"seen": seen}}
seen contains "token" if not input.token
seen contains "certificate" if not input.certificate.country
seen contains "consent" if not input.consent.id
seen contains "actor" if not input.caller.actor
seen contains "step_up" if not input.operation.step_up.max_age
`,
	"local names": `decision := {"allowed": true, "dynamic_metadata": {"seen": seen}}
seen contains [key, value] if {
	caller := input.caller
	some key in ["kind", "roles", "subject"]
	value := caller[key]
}
seen contains known(input.token)
known(token) := token.acr
`,
	"keys from data": `decision := {"allowed": true, "dynamic_metadata": {"seen": seen}}
seen contains input[data.keys[_]][data.keys[_]]
`,
	"walks": `decision := {"allowed": true, "dynamic_metadata": {"seen": {x | walk(input.consent, [_, x]); is_string(x)}}}
`,
	"what with hands on": `decision := {"allowed": true, "dynamic_metadata": {"seen": seen}}
seen contains value if {
	input.operation.id
	value := data.site.inner with data.handed as input.operation
}
seen contains value if value := data.site.again with input as {"attributes": input.caller}
inner := data.handed.permission
again := input.attributes.subject
`,
}

func reachingEngines(t *testing.T) map[string]*Engine {
	t.Helper()
	engines := map[string]*Engine{}
	for name, module := range reaching {
		engines[name] = engine(t, "site.decision", map[string]string{
			"site.rego": "package site\n" + module,
			"data.json": `{"keys": ["caller", "kind", "region", "service"], "handed": {},
				"roles": {"customer": ["read_balances"]}}`,
		})
	}
	return engines
}

// TestPrunedInputDecidesTheSame holds every policy's decision on what it reaches
// against its decision on everything, for random facts.
func TestPrunedInputDecidesTheSame(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, e := range reachingEngines(t) {
		for range 200 {
			facts := randomFacts(random)
			all, err := whole.of(facts)
			if err != nil {
				t.Fatal(err)
			}
			want, wantErr := e.decide(t.Context(), all, facts.Time, facts.ID)
			got, gotErr := e.Decide(t.Context(), facts)
			if (wantErr == nil) != (gotErr == nil) {
				t.Fatalf("%s: errors differ: %v, with everything %v", name, gotErr, wantErr)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s (-everything +pruned):\n%s", name, diff)
			}
		}
	}
}

// randomFacts are fullFacts without some of what they know.
func randomFacts(random *rand.Rand) *authz.Facts {
	f := fullFacts()
	drop := func(do func()) {
		if random.IntN(3) == 0 {
			do()
		}
	}
	operation, token, consent := *f.Match.Operation, *f.Token, *f.Consent
	f.Match.Operation, f.Token, f.Consent = &operation, &token, &consent
	drop(func() { operation.Permission = "" })
	drop(func() { operation.Consent = nil })
	drop(func() { operation.Regions = nil })
	drop(func() { operation.StepUp = nil })
	drop(func() { operation.Grant = "" })
	drop(func() { f.Match.Parameters = nil })
	drop(func() { token.Caller.Kind = authz.Kind(random.IntN(4)) })
	drop(func() { token.Caller.Subject = "bob" })
	drop(func() { token.Caller.Roles = nil })
	drop(func() { token.Caller.Actor = "" })
	drop(func() { token.ACR = "" })
	drop(func() { token.AuthTime = time.Time{} })
	drop(func() {
		token.Claims = map[string]any{"sub": map[string]any{"of": "bob"}, "nested": "none", "second_signer": true}
	})
	drop(func() { token.Prepared = PrepareClaims(token.Claims) })
	drop(func() { consent.Status = "RVKD" })
	drop(func() { consent.Permissions = nil })
	drop(func() { f.Region.Service = "" })
	drop(func() { f.Certificate = nil })
	drop(func() { f.Owned = nil })
	drop(func() { f.Inspection.Body = map[string]any{"Data": map[string]any{"Amount": "1", "Creditor": "bob"}} })
	drop(func() { f.Inspection.Body = []any{"Data", nil} })
	drop(func() { f.Inspection = authz.Inspection{} })
	drop(func() { f.Consent = nil })
	drop(func() { f.Token = nil })
	drop(func() { f.Request.Target = "/x" })
	return f
}

func TestReaches(t *testing.T) {
	for name, c := range map[string]struct {
		module string
		want   []string
	}{
		"facts": {"decision if { input.caller.kind == \"staff\"; input.token.claims.a.b }\n",
			[]string{"input.caller.kind", "input.token.claims.a.b"}},
		"a section covers its facts": {"decision if { input.caller.kind; f(input.caller) }\nf(x) if x.subject\n",
			[]string{"input.caller"}},
		"a key that varies covers its section": {"decision if input.caller[data.key]\n", []string{"input.caller"}},
		"a rule that is not reached does not count": {"decision if input.caller.kind\nother if input.consent\n",
			[]string{"input.caller.kind"}},
		"a key that varies at the top is everything": {"decision if input[data.key]\n", []string{"input (site.rego:2)"}},
		"the input as a value is everything":         {"decision if {\n\tf(input)\n}\nf(x) if x.a\n", []string{"input (site.rego:3)"}},
		"a rule by a key that varies is reached": {"decision if data.site.inner[data.key]\ninner.a if input.region\ninner.b if input.objects\n",
			[]string{"input.objects", "input.region"}},
		"what with hands on is reached": {"decision := x if { input.token.acr; x := inner with data.t as input.token }\ninner := data.t.secret\n",
			[]string{"input.token"}},
	} {
		if diff := cmp.Diff(c.want, own(t, "package site\n"+c.module).Reaches()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestPreparationsOfOneNameAreAlike holds that engines which prepare alike say so, and
// that no others do.
func TestPreparationsOfOneNameAreAlike(t *testing.T) {
	var engines []*Engine
	for _, condition := range []string{
		`input.token.claims.a == "1"`, `input.token.claims.a == "2"`, `input.token.claims.b == "1"`,
		`input.token.claims.a == input.token.claims.b`, `input.token.claims["a\" \"b"] == "1"`, `input.token.claims["a b"] == "1"`,
		`input.token.claims[0] == "1"`, `some name; input.token.claims[name] == "1"`, `count(input) > 0`, `input.caller.kind == "client"`,
	} {
		engines = append(engines, own(t, "package site\ndecision if { "+condition+" }\n"))
	}
	claims := map[string]any{"a": "1", "b": "2", "a b": "3", `a" "b`: "4"}
	made := func(e *Engine, whole bool) string {
		if prepare := e.Preparation(whole); prepare != nil {
			return prepare(claims).(ast.Value).String()
		}
		return ""
	}
	for i, one := range engines {
		for j, other := range engines {
			for _, whole := range []bool{false, true} {
				same := one.Prepares(false) == other.Prepares(whole)
				if want := made(one, false) == made(other, whole); same != want {
					t.Errorf("policy %d prepares like %d (whole: %v): %v, want %v", i, j, whole, same, want)
				}
			}
		}
	}
}
