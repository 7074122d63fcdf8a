package contract

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

// observing is an API whose operations observe what is given.
func observing(t *testing.T, observe string) *Contracts {
	t.Helper()
	document := write(t, t.TempDir(), "openapi.yaml", fmt.Sprintf(`
openapi: 3.1.0
security: []
x-countersign: {observe: %s, objects: [{type: account, parameter: AccountId}]}
paths:
  /payments:
    post:
      operationId: pay
      parameters: [{name: card, in: query, required: true, schema: {type: string}}]
      requestBody: {content: {application/json: {}}}
      x-countersign:
        objects: [{type: card, in: query, name: card}, {type: account, in: body, pointer: /From}, {type: account, in: body, pointer: /To, optional: true}]
    get:
      operationId: payments
      parameters: [{name: AccountId, in: query, required: true, schema: {type: string}}]
`, observe))
	return load(t, Config{APIs: []API{{Name: "bank", Document: document}}})
}

func pay(query, contentType, body string, more ...string) *authz.Request {
	return sent("POST", "/payments"+query, contentType, body, more...)
}

// TestObservedFailuresEndNothing holds that all the rest is read, and that every rule which
// could not be followed names an object that is nobody's.
func TestObservedFailuresEndNothing(t *testing.T) {
	unread := func(kind, where string) authz.Named { return named(kind, string(authz.Unread), where) }
	from, to := unread("account", "body/From"), unread("account", "body/To")
	card, one := named("card", "7", "query"), named("account", "1", "body/From")
	tests := []struct {
		name    string
		request *authz.Request
		want    []authz.Named
		reasons []authz.Reason
	}{
		{"nothing fails", pay("?card=7", jsonType, `{"From":"1"}`), []authz.Named{card, one}, nil},
		{"an object is missing", pay("", jsonType, `{"From":"1"}`), []authz.Named{unread("card", "query"), one}, []authz.Reason{authz.ObjectMissing}},
		{"an object is malformed", pay("?card=7", jsonType, `{"From":{},"To":"2"}`), []authz.Named{card, from, named("account", "2", "body/To")}, []authz.Reason{authz.ObjectMalformed}},
		{"an optional one is malformed", pay("?card=7", jsonType, `{"From":"1","To":""}`), []authz.Named{card, one, to}, []authz.Reason{authz.ObjectMalformed}},
		{"an object that the operation does not declare", pay("?card=7&accountid=9&ACCOUNTID=8", jsonType, `{"From":"1"}`),
			[]authz.Named{unread("account", "query"), card, one}, []authz.Reason{authz.ObjectMalformed}},
		{"the body is malformed", pay("?card=7", jsonType, `{"From":"1"`), []authz.Named{from, to, card}, []authz.Reason{authz.BodyMalformed}},
		{"the body is cut, and what is there would parse", &authz.Request{API: "bank", Method: "POST", Target: "/payments?card=7", Truncated: true, Body: []byte(`{"From":"1"}`),
			Headers: headers("content-type: application/json", "content-length: 12")}, []authz.Named{from, to, card}, []authz.Reason{authz.BodyTruncated}},
		{"a form", pay("?card=7", formType, `From=1&card=9&AccountId=3`),
			[]authz.Named{unread("card", "query"), from, to, unread("account", "query"), card}, []authz.Reason{authz.ContentType}},
		{"a form that is cut", pay("?card=7", formType, `From=1`, "content-length: 9"),
			[]authz.Named{unread("card", "query"), from, to, unread("account", "query"), card}, []authz.Reason{authz.BodyTruncated, authz.ContentType}},
		{"too many objects", pay("?card=7"+strings.Repeat("&card=8", maxObjects), jsonType, `{"From":"1"}`),
			append(slices.Concat([]authz.Named{card}, slices.Repeat([]authz.Named{named("card", "8", "query")}, maxObjects-1)), unread("card", "query"), from),
			[]authz.Reason{authz.TooManyObjects, authz.TooManyObjects}},
	}
	contracts := observing(t, "[all]")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := inspect(t, contracts, test.request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.Objects); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			var reasons []authz.Reason
			for _, err := range got.Observed {
				reasons = append(reasons, authz.ReasonOf(err))
			}
			if diff := cmp.Diff(test.reasons, reasons); diff != "" {
				t.Errorf("observed (-want +got):\n%s", diff)
			}
			if failed := slices.Contains(reasons, authz.BodyTruncated) || slices.Contains(reasons, authz.ContentType) || slices.Contains(reasons, authz.BodyMalformed); failed && (got.Parsed || got.Body != nil) {
				t.Errorf("a body that failed is taken for %v", got.Body)
			}
		})
	}
}

// TestWhatIsNotObservedRefuses holds that an observed failure hides no other.
func TestWhatIsNotObservedRefuses(t *testing.T) {
	for _, test := range []struct {
		observe string
		request *authz.Request
		want    authz.Reason
	}{
		{"[]", pay("", jsonType, `{"From":"1"}`), authz.ObjectMissing},
		{"[not_owner]", pay("", jsonType, `{"From":"1"}`), authz.ObjectMissing},
		{"[object_missing]", pay("", jsonType, `{"From":{}}`), authz.ObjectMalformed},
		{"[body_truncated]", pay("?card=7", formType, `From=1`, "content-length: 9"), authz.ContentType},
		{"[content_type]", pay("", formType, `From=1`), authz.ObjectMissing},
		{"[body_malformed]", pay("", jsonType, `{`), authz.ObjectMissing},
		{"[content_type, object_missing]", pay("?accountid=1", formType, `From=1`), authz.ObjectMalformed},
	} {
		if _, err := inspect(t, observing(t, test.observe), test.request); authz.ReasonOf(err) != test.want {
			t.Errorf("observe: %s: Inspect() = %v, want %v", test.observe, err, test.want)
		}
	}
}

// TestObserveOfADocument holds that an operation's own list stands in place of the
// document's, an empty one too.
func TestObserveOfADocument(t *testing.T) {
	document := write(t, t.TempDir(), "openapi.yaml", `
openapi: 3.1.0
security: []
x-countersign: {observe: [region, region, object_malformed]}
paths:
  /plain: {get: {operationId: plain}}
  /extended: {get: {operationId: extended, x-countersign: {permission: read}}}
  /own: {get: {operationId: own, x-countersign: {observe: [step_up]}}}
  /not: {get: {operationId: not, x-countersign: {observe: []}}}
`)
	contracts := load(t, Config{APIs: []API{{Name: "bank", Document: document}}})
	wide := []string{"region", "object_malformed"}
	for id, want := range map[string][]string{"plain": wide, "extended": wide, "own": {"step_up"}, "not": nil} {
		for operation := range contracts.Operations() {
			if operation.ID == id && !cmp.Equal(operation.Observe, want) {
				t.Errorf("%s observes %q, want %q", id, operation.Observe, want)
			}
		}
	}
}

// TestWhatCannotBeObserved holds that no document observes what proves who calls, what
// grants, or what could not be decided.
func TestWhatCannotBeObserved(t *testing.T) {
	native := authz.Codes([]authz.Reason{authz.PathNotCanonical, authz.NoCredentials, authz.TokenExpired, authz.CertificateMismatch, authz.ProofReplayed,
		authz.TokenRevoked, authz.CertificateRole, authz.InsufficientScope, authz.AuthorizationDetails, authz.ConsentUnavailable, authz.OwnershipUnavailable,
		authz.PolicyError, authz.PolicyDenied, authz.LimitReached, authz.LimitsUnavailable, authz.NotRecorded, authz.Internal, authz.Granted})
	for _, code := range append(native, "admin", "nothing_grants") {
		document := fmt.Sprintf("openapi: 3.1.0\nsecurity: []\nx-countersign: {observe: [%s]}\npaths: {/a: {get: {operationId: a}}}\n", code)
		_, problems := compile(API{Name: "bank", Document: "openapi.yaml"}, []byte(document), &node{})
		if len(problems) != 1 || problems[0].Key != "x-countersign.observe[0]" || problems[0].Line != 3 {
			t.Errorf("observe: [%s]: %v, want one problem at its line", code, problems)
		}
	}
}
