package envoy

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
)

const (
	realmOnly = `Bearer realm="accounts"`
	invalid   = realmOnly + `, error="invalid_token", error_description=`

	ofProof      = `DPoP realm="accounts", error=`
	invalidProof = ofProof + `"invalid_dpop_proof", error_description=`
	algs         = `, algs="ES256 PS256"`
)

// golden is what a caller is answered for each reason: standards.md's response
// table. A new reason needs a row.
var golden = map[authz.Reason]struct {
	status    int
	code      string
	challenge string
}{
	authz.Internal:             {500, "internal", ""},
	authz.RequestTooLarge:      {413, "request_too_large", ""},
	authz.PathNotCanonical:     {400, "path_not_canonical", ""},
	authz.QueryMalformed:       {400, "query_malformed", ""},
	authz.NoContract:           {403, "no_contract", ""},
	authz.NoCredentials:        {401, "no_credentials", realmOnly},
	authz.UnsupportedScheme:    {401, "unsupported_scheme", realmOnly},
	authz.MalformedCredentials: {400, "malformed_credentials", realmOnly + `, error="invalid_request", error_description="The access token must be sent once, in a well-formed Authorization header"`},
	authz.RepeatedCredentials:  {400, "repeated_credentials", realmOnly + `, error="invalid_request", error_description="Multiple methods used to include access token"`},
	authz.CertificateMalformed: {401, "certificate_malformed", realmOnly},
	authz.TokenMalformed:       {401, "token_malformed", invalid + `"The access token is malformed"`},
	authz.TokenTooLarge:        {401, "token_too_large", invalid + `"The access token is too large"`},
	authz.TokenType:            {401, "token_type", invalid + `"The token is not an access token"`},
	authz.TokenAlgorithm:       {401, "token_algorithm", invalid + `"The access token is signed with an algorithm that is not accepted"`},
	authz.TokenIssuer:          {401, "token_issuer", invalid + `"The access token's issuer is not accepted"`},
	authz.TokenKey:             {401, "token_key", invalid + `"The access token's key is not known"`},
	authz.TokenSignature:       {401, "token_signature", invalid + `"The access token's signature is not valid"`},
	authz.TokenClaims:          {401, "token_claims", invalid + `"The access token lacks a required claim"`},
	authz.TokenAudience:        {401, "token_audience", invalid + `"The access token is for another audience"`},
	authz.TokenExpired:         {401, "token_expired", invalid + `"The access token has expired"`},
	authz.TokenNotYetValid:     {401, "token_not_yet_valid", invalid + `"The access token is not valid yet"`},
	authz.KeysUnavailable:      {503, "keys_unavailable", ""},
	authz.BindingUnsupported:   {401, "binding_unsupported", invalid + `"The access token is bound in a way that is not accepted"`},
	authz.CertificateMissing:   {401, "certificate_missing", invalid + `"The access token is bound to a client certificate, and none was presented"`},
	authz.CertificateMismatch:  {401, "certificate_mismatch", invalid + `"The access token is bound to another client certificate"`},
	authz.UnknownPath:          {404, "unknown_path", ""},
	authz.UnknownMethod:        {405, "unknown_method", ""},
	authz.CallerKind:           {403, "caller_kind", realmOnly + `, error="insufficient_scope", error_description="The access token was issued to another kind of caller"`},
	authz.InsufficientScope:    {403, "insufficient_scope", realmOnly + `, error="insufficient_scope", error_description="The access token lacks a required scope"`},
	authz.ContentType:          {415, "content_type", ""},
	authz.BodyTruncated:        {413, "body_truncated", ""},
	authz.BodyMalformed:        {400, "body_malformed", ""},
	authz.ObjectMissing:        {400, "object_missing", ""},
	authz.ObjectMalformed:      {400, "object_malformed", ""},
	authz.TooManyObjects:       {400, "too_many_objects", ""},
	authz.ConsentUnavailable:   {503, "consent_unavailable", ""},
	authz.OwnershipUnavailable: {503, "ownership_unavailable", ""},
	authz.PolicyDenied:         {403, "policy_denied", ""},
	authz.StepUpRequired:       {401, "step_up", realmOnly + `, error="insufficient_user_authentication", error_description="A stronger or more recent authentication is required"`},
	authz.PolicyError:          {403, "policy_error", ""},
	authz.DeadlineExceeded:     {503, "deadline_exceeded", ""},
	authz.NotRecorded:          {503, "not_recorded", ""},
	authz.Overloaded:           {503, "overloaded", ""},
	authz.LimitReached:         {429, "limit_reached", ""},
	authz.LimitsUnavailable:    {503, "limits_unavailable", ""},
	authz.ProofUnbound:         {401, "proof_unbound", ofProof + `"invalid_token", error_description="The access token is not bound to a DPoP key"` + algs},
	authz.ProofDowngraded:      {401, "proof_downgraded", invalid + `"The access token is bound to a DPoP key, and must be sent with the DPoP scheme"`},
	authz.ProofMissing:         {401, "proof_missing", invalidProof + `"A DPoP proof is required"` + algs},
	authz.ProofMalformed:       {401, "proof_malformed", invalidProof + `"The DPoP proof is malformed"` + algs},
	authz.ProofAlgorithm:       {401, "proof_algorithm", invalidProof + `"The DPoP proof is signed with an algorithm that is not accepted"` + algs},
	authz.ProofSignature:       {401, "proof_signature", invalidProof + `"The DPoP proof's signature is not valid"` + algs},
	authz.ProofMethod:          {401, "proof_method", invalidProof + `"The DPoP proof is for another method"` + algs},
	authz.ProofURL:             {401, "proof_url", invalidProof + `"The DPoP proof is for another URL"` + algs},
	authz.ProofNonce:           {401, "proof_nonce", ofProof + `"use_dpop_nonce", error_description="Resource server requires nonce in DPoP proof"` + algs},
	authz.ProofTime:            {401, "proof_time", invalidProof + `"The DPoP proof is too old, or not valid yet"` + algs},
	authz.ProofToken:           {401, "proof_token", invalidProof + `"The DPoP proof is for another access token"` + algs},
	authz.ProofKey:             {401, "proof_key", ofProof + `"invalid_token", error_description="Invalid DPoP key binding"` + algs},
	authz.ProofReplayed:        {401, "proof_replayed", invalidProof + `"The DPoP proof was used before"` + algs},
	authz.ReplaysUnavailable:   {503, "replays_unavailable", ""},
	authz.CertificateRequired:  {401, "certificate_required", realmOnly},
	authz.CertificateExpired:   {401, "certificate_expired", realmOnly},
	authz.CertificateConflict:  {400, "certificate_conflict", ""},
	authz.CertificateRole:      {403, "certificate_role", ""},
	authz.AuthorizationDetails: {403, "authorization_details", realmOnly + `, error="insufficient_scope", error_description="The access token's authorization details do not allow this"`},

	authz.TokenRevoked:           {401, "token_revoked", invalid + `"The access token was revoked"`},
	authz.RevocationsUnavailable: {503, "revocations_unavailable", ""},
	authz.TokenUnbound:           {401, "token_unbound", invalid + `"The access token is bound to no certificate and no key"`},
	authz.TokenLifetime:          {401, "token_lifetime", invalid + `"The access token was issued for too long"`},
	authz.TokenAge:               {401, "token_age", invalid + `"The access token was issued too long ago"`},
	authz.TokenEnvironment:       {401, "token_environment", invalid + `"The access token is for another environment"`},
	authz.ClientAddress:          {403, "client_address", ""},
	authz.PolicyUnavailable:      {503, "policy_unavailable", ""},
}

// takesProofs is an API that takes proofs of possession, and demands a nonce.
var takesProofs = &authz.Proofs{Algorithms: []string{"ES256", "PS256"}, Nonce: "n-1"}

// headersOf are a denial's, name to values.
func headersOf(refusal *authv3.DeniedHttpResponse) map[string][]string {
	fields := map[string][]string{}
	for _, field := range refusal.GetHeaders() {
		fields[field.Header.Key] = append(fields[field.Header.Key], field.Header.Value)
	}
	return fields
}

// refuse is the answer to a request that is decided so.
func refuse(t *testing.T, cfg Config, check *authv3.CheckRequest, d authz.Decision) *authv3.CheckResponse {
	t.Helper()
	_, connection := start(t, cfg, answers(d))
	response := call(t, connection, check)
	if response.GetDeniedResponse() == nil {
		t.Fatalf("response = %v, want a denial", response)
	}
	return response
}

func TestEveryReasonHasItsAnswer(t *testing.T) {
	for number := range 256 {
		reason := authz.Reason(number)
		if reason == authz.Granted || reason != authz.Internal && reason.String() == authz.Internal.String() {
			continue
		}
		t.Run(reason.String(), func(t *testing.T) {
			row, ok := golden[reason]
			if !ok {
				t.Fatal("no golden answer")
			}
			d := authz.Decision{ID: authz.NewDecisionID(), Reason: reason, Detail: "key 17 of the store at 10.0.0.1"}
			check := httpCheck("GET", "/accounts", nil)
			ofProof := strings.HasPrefix(row.challenge, "DPoP ")
			if ofProof { // which was sent to an API that takes it
				check, d.Proofs = httpCheck("GET", "/accounts", map[string]string{"authorization": "DPoP x"}), takesProofs
			}
			response := refuse(t, Config{}, check, d)
			refusal := response.GetDeniedResponse()
			if got := int(refusal.GetStatus().GetCode()); got != row.status {
				t.Errorf("status = %d, want %d", got, row.status)
			}
			want := map[string][]string{"cache-control": {"no-store"}, "content-type": {"application/problem+json"}}
			if row.challenge != "" {
				want["www-authenticate"] = []string{row.challenge}
			}
			if ofProof {
				want["www-authenticate"] = []string{row.challenge, realmOnly}
				want["dpop-nonce"] = []string{"n-1"}
			}
			switch row.status {
			case 405:
				want["allow"] = []string{""}
			case 429, 503:
				want["retry-after"] = []string{"1"}
			}
			if diff := cmp.Diff(want, headersOf(refusal)); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
			wantCode := codes.PermissionDenied
			if row.status == 401 {
				wantCode = codes.Unauthenticated
			}
			if got := codes.Code(response.GetStatus().GetCode()); got != wantCode || response.GetStatus().GetMessage() != "" {
				t.Errorf("gRPC status = %v %q, want %v without a message", got, response.GetStatus().GetMessage(), wantCode)
			}
			wantProblem(t, refusal.GetBody(), d, row.status, row.code)
		})
	}
}

// TestDenialStatusesAreEnvoys holds authz's list of statuses against Envoy's own.
func TestDenialStatusesAreEnvoys(t *testing.T) {
	for status := range 1000 {
		_, listed := typev3.StatusCode_name[int32(status)]
		if want := listed && status >= 300; authz.DenialStatus(status) != want {
			t.Errorf("DenialStatus(%d) = %v, want %v", status, !want, want)
		}
	}
}

func wantProblem(t *testing.T, body string, d authz.Decision, status int, code string) {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("body: %v", err)
	}
	want := map[string]any{
		"type":  "urn:countersign:reason:" + code,
		"title": d.Reason.Title(), "status": float64(status),
		"code": code, "decision_id": d.ID.String(),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func TestChallenge(t *testing.T) {
	stepUp := func(s authz.StepUp) authz.Decision {
		return authz.Decision{Reason: authz.StepUpRequired, Verdict: authz.Verdict{Reason: "too_old", StepUp: &s}}
	}
	const weak = realmOnly + `, error="insufficient_user_authentication", error_description="A stronger or more recent authentication is required"`
	const lacks = realmOnly + `, error="insufficient_scope", error_description="The access token lacks a required scope"`
	for name, row := range map[string]struct {
		decision authz.Decision
		realm    string
		want     []string
	}{
		"step-up names how recent and how strong": {
			stepUp(authz.StepUp{ACRValues: []string{"urn:sca", "loa3"}, MaxAge: time.Hour}), "",
			[]string{weak + `, acr_values="urn:sca loa3", max_age="3600"`},
		},
		"step-up by age alone": {stepUp(authz.StepUp{MaxAge: time.Minute}), "", []string{weak + `, max_age="60"`}},
		"step-up with hostile values": {
			stepUp(authz.StepUp{ACRValues: []string{"a\"b", "c\r\nd", "e f", "ok"}}), "", []string{weak + `, acr_values="ok"`},
		},
		"needed scopes are named": {
			authz.Decision{Reason: authz.InsufficientScope, Scopes: []string{"accounts", "payments:write"}}, "",
			[]string{lacks + `, scope="accounts payments:write"`},
		},
		"a scope outside the grammar is not named": {
			authz.Decision{Reason: authz.InsufficientScope, Scopes: []string{"acc\"ounts", `a\b`, "", "é"}}, "", []string{lacks},
		},
		"the configured realm": {authz.Decision{Reason: authz.NoCredentials}, "Open Banking", []string{`Bearer realm="Open Banking"`}},
		"the realm does not tell that the path is known": {
			authz.Decision{Reason: authz.NoCredentials, Operation: &authz.Operation{API: "secret", ID: "x"}}, "", []string{realmOnly},
		},
		"a policy's 401 has a challenge": {
			authz.Decision{Reason: authz.PolicyDenied, Verdict: authz.Verdict{Reply: authz.Reply{Status: 401}}}, "", []string{realmOnly},
		},
		"a step-up that the policy turned into a redirect has none": {
			authz.Decision{Reason: authz.StepUpRequired, Verdict: authz.Verdict{StepUp: &authz.StepUp{}, Reply: authz.Reply{Status: 302}}}, "", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			response := refuse(t, Config{Realm: row.realm}, httpCheck("GET", "/accounts", nil), row.decision)
			if diff := cmp.Diff(row.want, headersOf(response.GetDeniedResponse())["www-authenticate"]); diff != "" {
				t.Errorf("www-authenticate (-want +got):\n%s", diff)
			}
		})
	}
}

// TestChallengesOfProofs holds which schemes are told of, and in which of them the
// error stands (RFC 9449 §7).
func TestChallengesOfProofs(t *testing.T) {
	const (
		dpopOnly = `DPoP realm="accounts"` + algs
		twice    = `, error="invalid_request", error_description="Multiple methods used to include access token"`
		badly    = `, error="invalid_request", error_description="The access token must be sent once, in a well-formed Authorization header"`
		scope    = `, error="insufficient_scope", error_description="The access token lacks a required scope", scope="accounts"`
		expired  = `, error="invalid_token", error_description="The access token has expired"`
		weak     = `, error="insufficient_user_authentication", error_description="A stronger or more recent authentication is required", acr_values="loa3 loa2", max_age="300"`
	)
	stepUp := authz.Decision{Reason: authz.StepUpRequired,
		Verdict: authz.Verdict{Reason: "too_weak", StepUp: &authz.StepUp{ACRValues: []string{"loa3", "loa2"}, MaxAge: 5 * time.Minute}}}
	for name, row := range map[string]struct {
		authorization string
		decision      authz.Decision
		want          []string
		nonce         string
	}{
		"no credentials":        {"", authz.Decision{Reason: authz.NoCredentials}, []string{realmOnly, dpopOnly}, "n-1"},
		"a Bearer token":        {"Bearer x", authz.Decision{Reason: authz.TokenExpired}, []string{realmOnly + expired, dpopOnly}, "n-1"},
		"a DPoP token":          {"dPoP x", authz.Decision{Reason: authz.TokenExpired}, []string{`DPoP realm="accounts"` + expired + algs, realmOnly}, "n-1"},
		"a downgrade":           {"Bearer x", authz.Decision{Reason: authz.ProofDowngraded}, []string{golden[authz.ProofDowngraded].challenge, dpopOnly}, "n-1"},
		"both at once":          {"Bearer x,DPoP y", authz.Decision{Reason: authz.RepeatedCredentials}, []string{realmOnly + twice, `DPoP realm="accounts"` + twice + algs}, ""},
		"no scheme":             {"x", authz.Decision{Reason: authz.MalformedCredentials}, []string{realmOnly + badly, dpopOnly}, ""},
		"a malformed DPoP one":  {"DPoP a b", authz.Decision{Reason: authz.MalformedCredentials}, []string{`DPoP realm="accounts"` + badly + algs, realmOnly}, ""},
		"scope of a DPoP token": {"DPoP x", authz.Decision{Reason: authz.InsufficientScope, Scopes: []string{"accounts"}}, []string{`DPoP realm="accounts"` + scope + algs}, ""},
		"scope of another":      {"Bearer x", authz.Decision{Reason: authz.InsufficientScope, Scopes: []string{"accounts"}}, []string{realmOnly + scope}, ""},
		"U1 step-up, Bearer":    {"Bearer x", stepUp, []string{realmOnly + weak, dpopOnly}, "n-1"},
		"U1 step-up, DPoP":      {"DPoP x", stepUp, []string{`DPoP realm="accounts"` + weak + algs, realmOnly}, "n-1"},
		"a nonce soon refused":  {"DPoP x", authz.Decision{Reason: authz.PolicyDenied, NextNonce: "n-1"}, nil, "n-1"},
		"a nonce that stands":   {"DPoP x", authz.Decision{Reason: authz.PolicyDenied}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			row.decision.Proofs = takesProofs
			fields := map[string]string{}
			if row.authorization != "" {
				fields["authorization"] = row.authorization
			}
			got := headersOf(refuse(t, Config{}, httpCheck("GET", "/accounts", fields), row.decision).GetDeniedResponse())
			if diff := cmp.Diff(row.want, got["www-authenticate"]); diff != "" {
				t.Errorf("www-authenticate (-want +got):\n%s", diff)
			}
			if nonce := strings.Join(got["dpop-nonce"], ","); nonce != row.nonce {
				t.Errorf("dpop-nonce = %q, want %q", nonce, row.nonce)
			}
		})
	}
}

func TestRealmOfAnUnnamedAPI(t *testing.T) {
	for api, want := range map[string]string{"": "api", `"\é`: "api", `a"b`: "ab"} {
		check := httpCheck("GET", "/accounts", nil)
		check.Attributes.ContextExtensions["countersign.api"] = api
		response := refuse(t, Config{}, check, authz.Decision{Reason: authz.NoCredentials})
		want := []string{`Bearer realm="` + want + `"`}
		if got := headersOf(response.GetDeniedResponse())["www-authenticate"]; !slices.Equal(got, want) {
			t.Errorf("www-authenticate for API %q = %q, want %q", api, got, want)
		}
	}
}

func TestAllowNamesTheMethods(t *testing.T) {
	response := refuse(t, Config{}, httpCheck("PATCH", "/accounts", nil),
		authz.Decision{Reason: authz.UnknownMethod, Methods: []string{"GET", "POST"}})
	if got := headersOf(response.GetDeniedResponse())["allow"]; !slices.Equal(got, []string{"GET, POST"}) {
		t.Errorf("allow = %q, want GET, POST", got)
	}
}

func TestPolicysDenial(t *testing.T) {
	plain := map[string][]string{"cache-control": {"no-store"}, "content-type": {"text/plain; charset=utf-8"}}
	ours := map[string][]string{"cache-control": {"no-store"}, "content-type": {"application/problem+json"}}
	for name, row := range map[string]struct {
		reply       authz.Reply
		wantStatus  int32
		wantBody    string // "": a problem
		wantHeaders map[string][]string
	}{
		"status": {authz.Reply{Status: 429}, 429, "", ours},
		"a 429 that nobody may keep": {
			authz.Reply{Status: 429, Headers: []authz.Header{{Name: "Cache-Control", Value: "max-age=60"}}}, 429, "", ours,
		},
		"a status that Envoy does not have": {authz.Reply{Status: 418}, 403, "", ours},
		"a status that means success":       {authz.Reply{Status: 200}, 403, "", ours},
		"a body is text":                    {authz.Reply{Body: "no"}, 403, "no", plain},
		"a body that is not UTF-8":          {authz.Reply{Body: "n\xffo"}, 403, "n\uFFFDo", plain},
		"a body and its type": {
			authz.Reply{Body: "{}", Headers: []authz.Header{{Name: "Content-Type", Value: "application/json"}}}, 403, "{}",
			map[string][]string{"cache-control": {"no-store"}, "content-type": {"application/json"}},
		},
		"a type without a body is not of ours": {
			authz.Reply{Headers: []authz.Header{{Name: "content-type", Value: "text/html"}}}, 403, "", ours,
		},
		"headers, also of one name": {
			authz.Reply{Body: "no", Headers: []authz.Header{
				{Name: "Set-Cookie", Value: "a=1"}, {Name: "set-cookie", Value: "b=2"}, {Name: "cache-control", Value: "private"},
				{Name: "x-latin", Value: "caf\xe9"},
			}}, 403, "no",
			map[string][]string{
				"cache-control": {"private"}, "content-type": plain["content-type"],
				"set-cookie": {"a=1", "b=2"}, "x-latin": {"caf\uFFFD"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			response := refuse(t, Config{}, httpCheck("GET", "/accounts", nil),
				authz.Decision{Reason: authz.PolicyDenied, Verdict: authz.Verdict{Reason: "not_owner", Reply: row.reply}})
			refusal := response.GetDeniedResponse()
			if got := int32(refusal.GetStatus().GetCode()); got != row.wantStatus {
				t.Errorf("status = %d, want %d", got, row.wantStatus)
			}
			if row.wantBody != "" && refusal.GetBody() != row.wantBody {
				t.Errorf("body = %q, want %q", refusal.GetBody(), row.wantBody)
			}
			if row.wantBody == "" && !strings.Contains(refusal.GetBody(), `"code":"not_owner"`) {
				t.Errorf("body = %q, want a problem of code not_owner", refusal.GetBody())
			}
			if diff := cmp.Diff(row.wantHeaders, headersOf(refusal)); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHEADHasNoBody(t *testing.T) {
	response := refuse(t, Config{}, httpCheck("HEAD", "/accounts", nil), authz.Decision{Reason: authz.NoCredentials})
	if body := response.GetDeniedResponse().GetBody(); body != "" {
		t.Errorf("body = %q, want none", body)
	}
}
