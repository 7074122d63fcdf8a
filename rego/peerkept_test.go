package rego

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

// askedOf are facts of a request with much in it.
func askedOf() *authz.Facts {
	facts := peerFacts("application/json", `{"item": "tea", "count": 12345678901234567890}`)
	attributes := facts.Request.Attributes()
	http := attributes["request"].(map[string]any)["http"].(map[string]any)
	http["headers"].(map[string]any)["authorization"], http["method"] = "Bearer s3cr3t", "POST"
	attributes["contextExtensions"] = map[string]any{"countersign.api": "legacy"}
	facts.Request.Principal = "spiffe://a.example/b"
	facts.ID, facts.Time = authz.NewDecisionID(), time.Date(2026, 11, 21, 9, 0, 0, 1, time.UTC)
	return facts
}

// TestPeerReplaysWhatIsKept holds that each policy decides on what is kept for it as it
// did on the request, and on what is kept for another the same, or not at all.
func TestPeerReplaysWhatIsKept(t *testing.T) {
	policies := map[string]string{
		"all":         "allow := {\"allowed\": false, \"body\": json.marshal(object.remove(input, [\"attributes\"]))}",
		"path":        "allow if input.parsed_path == [\"a\", \"b\"]",
		"body":        "allow := {\"allowed\": input.parsed_body.item == \"tea\", \"headers\": {\"x\": format_int(input.parsed_body.count, 10)}}",
		"method":      "allow if input.attributes.request.http.method == \"POST\"",
		"any header":  "allow if input.attributes.request.http.headers[_] == \"application/json\"",
		"one header":  "allow if input.attributes.request.http.headers[\"content-type\"] == \"application/json\"",
		"a token":     "allow if startswith(input.attributes.request.http.headers.authorization, \"Bearer\")",
		"principal":   "allow if input.source_principal == \"spiffe://a.example/b\"",
		"what is not": "allow if not input.token",
		"luck":        "allow := {\"allowed\": rand.intn(\"a\", 2) == 1, \"headers\": {\"x\": uuid.rfc4122(\"b\"), \"y\": format_int(time.now_ns(), 10)}}",
		"undefined":   "allow if input.parsed_query.none",
	}
	withheld := map[string]bool{"all": true, "any header": true, "a token": true}
	for keeps, text := range policies {
		for _, whole := range []bool{false, true} {
			facts := askedOf()
			input, err := peerOf(t, "package envoy.authz\n\n"+text).Inputs(whole).Input(facts)
			if err != nil || strings.Contains(string(input.Document), "s3cr3t") {
				t.Fatalf("%s: Input() = %s, %v", keeps, input.Document, err)
			}
			for decides, text := range policies {
				peer := peerOf(t, "package envoy.authz\n\n"+text)
				want, wantErr := peer.Decide(t.Context(), facts)
				got, err := peer.Replay(t.Context(), *input, facts.Time, facts.ID)
				if lacking := (*Undetermined)(nil); errors.As(err, &lacking) {
					if !withheld[decides] && (whole || keeps == decides) {
						t.Errorf("%s, whole %v, decided by %s: %v", keeps, whole, decides, err)
					}
					continue
				}
				if withheld[decides] && len(input.Withheld) > 0 {
					t.Errorf("%s decided by %s, which reads a credential", keeps, decides)
				}
				if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (wantErr == nil) {
					t.Errorf("%s, whole %v, decided by %s: %v, want %v (-decided +replayed):\n%s", keeps, whole, decides, err, wantErr, diff)
				}
			}
		}
	}
}

// TestPeerLeavesKeptBodiesAlone holds that a policy that is told nothing of bodies is told
// nothing of one that was kept.
func TestPeerLeavesKeptBodiesAlone(t *testing.T) {
	facts := askedOf()
	const text = "package envoy.authz\n\nallow if not input.parsed_body"
	input, err := peerOf(t, text).Inputs(true).Input(facts)
	if err != nil {
		t.Fatal(err)
	}
	skipping, err := NewPeer(PeerConfig{Paths: []string{peerFile(t, "policy.rego", text)}, SkipBody: true})
	if err != nil {
		t.Fatal(err)
	}
	if verdict, err := skipping.Replay(t.Context(), *input, facts.Time, facts.ID); err != nil || !verdict.Allowed {
		t.Errorf("Replay() = %+v, %v, want an allow", verdict, err)
	}
	bare, err := skipping.Inputs(true).Input(facts)
	if err != nil {
		t.Fatal(err)
	}
	_, err = peerOf(t, text).Replay(t.Context(), *bare, facts.Time, facts.ID)
	if lacking := (*Undetermined)(nil); !errors.As(err, &lacking) {
		t.Errorf("of what was kept without bodies: %v, want undetermined", err)
	}
}

// TestPeerInputsTooLarge holds that a document that cannot be kept says so, and is decided
// on all the same.
func TestPeerInputsTooLarge(t *testing.T) {
	facts := peerFacts("application/json", `"`+strings.Repeat("a", maxDocument)+`"`)
	peer := peerOf(t, "package envoy.authz\n\nallow if input.parsed_body")
	input, err := peer.Inputs(false).Input(facts)
	if err != nil || !input.TooLarge || input.Document != nil {
		t.Fatalf("Input() = %d bytes, too large %v, %v", len(input.Document), input.TooLarge, err)
	}
	facts.Input = input
	if verdict, err := peer.Decide(t.Context(), facts); err != nil || !verdict.Allowed {
		t.Errorf("Decide() = %+v, %v, want an allow", verdict, err)
	}
}

// FuzzPeerInput holds that no attributes are too much for what makes documents of them:
// what is kept is bounded and holds no credential, and is decided on as the request was.
func FuzzPeerInput(f *testing.F) {
	all := peerOf(f, "package envoy.authz\n\nallow := {\"allowed\": true, \"headers\": {\"x\": crypto.sha256(json.marshal(input))}}")
	some := peerOf(f, "package envoy.authz\n\ndefault allow := false\n\nallow if input.parsed_path[0] == input.attributes.request.http.headers.a")
	for _, attributes := range []string{
		`{}`, `{"request": 1}`, `{"request": {"http": {"path": "/a/b?c=%zz", "headers": {"Authorization": "x", "authorization": "hunter2", "a": "b"}}}}`,
		`{"request": {"http": {"path": "//%2F", "headerMap": {"headers": [{"key": "cookie", "value": "hunter2"}, {"value": "x"}, 1]}}}}`,
		`{"request": {"http": {"headers": {"content-type": "application/json"}, "body": "{\"a\": 1e400}", "rawBody": "e30="}}}`,
		`{"source": {"principal": "\ud800"}, "metadataContext": {"filterMetadata": {"a": [[[[1]]]]}}}`,
	} {
		f.Add(attributes, "{}", "spiffe://a")
	}
	f.Fuzz(func(t *testing.T, text, body, principal string) {
		parsed, err := authz.ParseJSON([]byte(text), maxDepth)
		attributes, ok := parsed.(map[string]any)
		if err != nil || !ok || !utf8.ValidString(principal) { // which protobuf holds of each text
			return
		}
		facts := &authz.Facts{ID: authz.DecisionID{1}, Time: time.Unix(0, 1), Request: &authz.Request{
			Body: []byte(body), Principal: principal, Attributes: func() map[string]any { return attributes },
			Headers: authz.Headers{{Name: "cookie", Value: "hunter2"}, {Name: "a", Value: principal}},
		}}
		for _, peer := range []*Peer{all, some} {
			decided, wantErr := peer.Decide(t.Context(), facts)
			input, err := peer.Inputs(false).Input(facts)
			if err != nil {
				if authz.ReasonOf(err) != authz.ReasonOf(wantErr) {
					t.Fatalf("Input() fails with %v, Decide() with %v", err, wantErr)
				}
				continue
			}
			if len(input.Document) > maxDocument {
				t.Fatalf("%d bytes are kept", len(input.Document))
			}
			if input.TooLarge {
				continue
			}
			got, err := peer.Replay(t.Context(), *input, facts.Time, facts.ID)
			if lacking := (*Undetermined)(nil); errors.As(err, &lacking) {
				continue
			}
			if diff := cmp.Diff(decided, got); diff != "" || (err == nil) != (wantErr == nil) {
				t.Fatalf("Replay() fails with %v, Decide() with %v (-decided +replayed):\n%s", err, wantErr, diff)
			}
		}
	})
}
