package rego

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

// asked is a server, and how often it was asked.
type asked struct {
	*httptest.Server
	count  atomic.Int32
	header http.Header
}

func askable(t *testing.T, answer http.HandlerFunc) *asked {
	t.Helper()
	a := &asked{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.count.Add(1)
		a.header = r.Header
		answer(w, r)
	}))
	t.Cleanup(a.Close)
	return a
}

func replies(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// asker may ask the network, of anybody.
func asker(t *testing.T, text string, hosts ...string) *Peer {
	t.Helper()
	peer, err := NewPeer(PeerConfig{Paths: []string{peerFile(t, "policy.rego", text)}, Builtins: []string{httpSend, lookupAddress}, Hosts: hosts})
	if err != nil {
		t.Fatal(err)
	}
	return peer
}

// decidedAndKept decides, and returns what is kept of it as a PolicyOnly keeps it.
func decidedAndKept(t *testing.T, peer *Peer, facts *authz.Facts) (authz.Verdict, *authz.Input, error) {
	t.Helper()
	var err error
	if facts.Input, err = peer.Inputs(false).Input(facts); err != nil {
		t.Fatal(err)
	}
	verdict, err := peer.Decide(t.Context(), facts)
	if verdict.Lookups != nil {
		facts.Input.Answers = verdict.Lookups.Answers
	}
	return verdict, facts.Input, err
}

const allowsBy = `package envoy.authz

allow := {"allowed": answer.body.ok, "headers": {"x-by": answer.body.by}, "body": "no"}

answer := http.send({"method": "POST", "url": "URL/ask?token=s3cr3t", "headers": {"Authorization": "Bearer s3cr3t"},
	"raw_body": "token=s3cr3t"})
`

// TestPeerAsksTheNetwork holds that what was answered decides, and is kept so that it
// decides again when nobody is there to be asked; and that no secret of the request is.
func TestPeerAsksTheNetwork(t *testing.T) {
	server := askable(t, replies(200, `{"ok": true, "by": "directory"}`))
	peer := asker(t, strings.ReplaceAll(allowsBy, "URL", server.URL), "127.0.0.1")
	facts := peerFacts("", "")
	facts.ID, facts.Time = authz.NewDecisionID(), time.Now()
	facts.Request.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	verdict, input, err := decidedAndKept(t, peer, facts)
	if err != nil || !verdict.Allowed || server.header.Get("Traceparent") != facts.Request.Traceparent {
		t.Fatalf("Decide() = %+v, %v, asked with %v", verdict, err, server.header)
	}
	if !cmp.Equal(verdict.Lookups.Builtins, []string{"http.send"}) || strings.Contains(string(input.Answers), "s3cr3t") ||
		!strings.Contains(string(input.Answers), `directory`) || !strings.Contains(string(input.Answers), "/ask hidden ") {
		t.Errorf("kept %q of %v", input.Answers, verdict.Lookups.Builtins)
	}
	server.Close()
	again, err := peer.Replay(t.Context(), *input, facts.Time, facts.ID)
	verdict.Lookups = nil
	if diff := cmp.Diff(verdict, again); err != nil || diff != "" || server.count.Load() != 1 {
		t.Errorf("Replay: %v, after %d requests (-decided +replayed):\n%s", err, server.count.Load(), diff)
	}
	for name, candidate := range map[string]string{
		"another path":  strings.ReplaceAll(allowsBy, "URL/ask", server.URL+"/other"),
		"another query": strings.ReplaceAll(allowsBy, "URL/ask?token=s3cr3t", server.URL+"/ask?token=other"),
		"a lookup":      "package envoy.authz\n\nallow if count(net.lookup_ip_addr(\"localhost\")) > 0",
	} {
		_, err := asker(t, candidate).Replay(t.Context(), *input, facts.Time, facts.ID)
		if lacking := (*Undetermined)(nil); !errors.As(err, &lacking) || server.count.Load() != 1 {
			t.Errorf("%s: Replay() = %v after %d requests, want undetermined after 1", name, err, server.count.Load())
		}
	}
}

// TestPeerNetworkFaultsAreThePolicys holds that what cannot be asked is the policy's to
// see, and decides again as it did.
func TestPeerNetworkFaultsAreThePolicys(t *testing.T) {
	gone := askable(t, replies(200, "{}"))
	gone.Close()
	large := askable(t, replies(200, `"`+strings.Repeat("a", maxAnswer)+`"`))
	heads := askable(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("x", strings.Repeat("a", maxAnswerHeader))
	})
	tests := []struct {
		name, policy string
		allowed      bool
		want         error
	}{
		{"nobody is there, and it goes on", `default allow := {"allowed": true, "headers": {"x": "else"}}

allow := false if http.send({"method": "GET", "url": "` + gone.URL + `"})`, true, nil},
		{"nobody is there, and it asks why", `allow if http.send({"method": "GET", "url": "` + gone.URL + `", "raise_error": false}).error.code == "eval_http_send_network_error"`, true, nil},
		{"nobody is there", `allow if http.send({"method": "GET", "url": "` + gone.URL + `"})`, false, errUndefined},
		{"too much", `allow if http.send({"method": "GET", "url": "` + large.URL + `"})`, false, errUndefined},
		{"too much of a header", `allow if http.send({"method": "GET", "url": "` + heads.URL + `"})`, false, errUndefined},
		{"too much of a header, on a connection of its own", `allow if http.send({"method": "GET", "url": "` + heads.URL + `", "tls_use_system_certs": true})`, false, errUndefined},
		{"a host that is not allowed", `allow if http.send({"method": "GET", "url": "http://other.example"})`, false, errUndefined},
	}
	for _, test := range tests {
		peer := asker(t, "package envoy.authz\n\n"+test.policy, "127.0.0.1")
		facts := peerFacts("", "")
		verdict, input, err := decidedAndKept(t, peer, facts)
		if !errors.Is(err, test.want) || verdict.Allowed != test.allowed {
			t.Errorf("%s: Decide() = %+v, %v, want allowed %v and %v", test.name, verdict, err, test.allowed, test.want)
		}
		again, err := peer.Replay(t.Context(), *input, facts.Time, facts.ID)
		if !errors.Is(err, test.want) || again.Allowed != test.allowed {
			t.Errorf("%s: Replay() = %+v, %v, want the same", test.name, again, err)
		}
	}
}

// TestPeerAsksNoSocketsOfTheMachine holds that a URL comes to nothing but the host that it
// names, whatever socket it names besides.
func TestPeerAsksNoSocketsOfTheMachine(t *testing.T) {
	server := askable(t, replies(200, `{"ok": true, "by": "directory"}`))
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	local := &http.Server{Handler: replies(200, `{"ok": true, "by": "the machine"}`)}
	go func() { _ = local.Serve(listener) }()
	defer func() { _ = local.Close() }()
	policy := strings.ReplaceAll(allowsBy, "URL/ask?token=s3cr3t", strings.Replace(server.URL, "http:", "unix:", 1)+"/ask?socket="+url.QueryEscape(path))
	for _, hosts := range [][]string{nil, {"127.0.0.1"}} {
		verdict, _, err := decidedAndKept(t, asker(t, policy, hosts...), peerFacts("", ""))
		if by := verdict.Reply.Headers; err != nil || !verdict.Allowed || len(by) != 1 || by[0].Value != "directory" {
			t.Errorf("hosts %q: Decide() = %+v, %v, want what the host says", hosts, verdict, err)
		}
	}
}

// TestPeerAskingEndsWithTheCheck holds that whoever does not answer is not waited for once
// the time of the check is over, whatever the policy makes of it.
func TestPeerAskingEndsWithTheCheck(t *testing.T) {
	held := make(chan struct{})
	server := askable(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-held:
		case <-r.Context().Done():
		}
	})
	defer close(held)
	for _, more := range []string{"", `, "raise_error": false`, `, "max_retry_attempts": 9`, `, "timeout": "1h"`} {
		peer := asker(t, "package envoy.authz\n\ndefault allow := true\n\nallow := false if http.send({\"method\": \"GET\", \"url\": \""+server.URL+"\""+more+"}).body")
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		d := (&authz.PolicyOnly{Policy: peer, Recorder: forgetful{}}).Check(ctx, peerFacts("", "").Request)
		// On a busy machine the time that is kept for the record may be over, too.
		if d.Allowed || d.Reason != authz.DeadlineExceeded && d.Reason != authz.NotRecorded {
			t.Errorf("with %q: %+v, want %v", more, d, authz.DeadlineExceeded)
		}
		cancel()
	}
}

// forgetful keeps no record.
type forgetful struct{}

func (forgetful) Record(context.Context, authz.Record) error { return nil }
func (forgetful) Abandon(authz.Record)                       {}

// TestPeerLooksUpAddresses holds that names are looked up where they may be, and that what
// was found is found again.
func TestPeerLooksUpAddresses(t *testing.T) {
	const policy = "package envoy.authz\n\nallow := {\"allowed\": ips[_] == ip, \"headers\": {\"x\": ip}} if {\n\tips := net.lookup_ip_addr(\"localhost\")\n\tsome ip in {\"127.0.0.1\", \"::1\"} & ips\n} else := false"
	facts := peerFacts("", "")
	peer := asker(t, policy, "localhost")
	verdict, input, err := decidedAndKept(t, peer, facts)
	if err != nil {
		t.Fatal(err)
	}
	again, err := peer.Replay(t.Context(), *input, facts.Time, facts.ID)
	verdict.Lookups = nil
	if diff := cmp.Diff(verdict, again); err != nil || diff != "" || !again.Allowed {
		t.Errorf("Replay: %v (-decided +replayed):\n%s", err, diff)
	}
	if verdict, _, err := decidedAndKept(t, asker(t, policy, "other.example"), peerFacts("", "")); verdict.Allowed || err != nil {
		t.Errorf("of a name that may not be looked up: %+v, %v", verdict, err)
	}
}

// TestPeerCachesWhatItIsAsked holds that answers that a policy has cached serve later
// decisions, each of which keeps them.
func TestPeerCachesWhatItIsAsked(t *testing.T) {
	server := askable(t, replies(200, `{"ok": true}`))
	peer := asker(t, "package envoy.authz\n\nallow if http.send({\"method\": \"GET\", \"url\": \""+server.URL+"\", \"force_cache\": true, \"force_cache_duration_seconds\": 10}).body.ok")
	for range 2 {
		facts := peerFacts("", "")
		facts.Time = time.Now()
		verdict, input, err := decidedAndKept(t, peer, facts)
		if err != nil || !verdict.Allowed || !strings.Contains(string(input.Answers), `"ok":true`) {
			t.Errorf("Decide() = %+v, %v, kept %s", verdict, err, input.Answers)
		}
	}
	if server.count.Load() != 1 {
		t.Errorf("asked %d times, want 1", server.count.Load())
	}
}

// TestPeerKeepsOnlySoMuch holds that answers that are too much together are not kept, and
// that nothing is guessed then.
func TestPeerKeepsOnlySoMuch(t *testing.T) {
	server := askable(t, replies(200, `"`+strings.Repeat("a", maxAnswer-2)+`"`))
	peer := asker(t, "package envoy.authz\n\nallow if http.send({\"method\": \"GET\", \"url\": \""+server.URL+"\"}).body")
	facts := peerFacts("", "")
	verdict, input, err := decidedAndKept(t, peer, facts)
	if err != nil || !verdict.Allowed || verdict.Lookups.Answers != nil {
		t.Fatalf("Decide() = %v, %v, with %d bytes of answers", verdict.Allowed, err, len(verdict.Lookups.Answers))
	}
	_, err = peer.Replay(t.Context(), *input, facts.Time, facts.ID)
	if lacking := (*Undetermined)(nil); !errors.As(err, &lacking) {
		t.Errorf("Replay() = %v, want undetermined", err)
	}
}
