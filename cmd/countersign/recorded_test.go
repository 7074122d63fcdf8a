package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit/segment"
	"github.com/countersign-io/countersign/authz/audit/vault"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
	"github.com/countersign-io/countersign/examples/openbanking/bank"
	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
	"github.com/countersign-io/countersign/rego"
)

// decided has a Countersign decide a request, made as by ask, at scriptTime and record
// that, and sets ID to the decision's.
func decided(script *testscript.TestScript, _ bool, args []string) {
	story := bank.Story{Ask: bank.Ask{Listener: bank.MTLS}}
	script.Check(json.Unmarshal([]byte(script.ReadFile(args[0])), &story.Ask))
	request, err := story.Request(script.Value("bank").(*bank.Bank), "")
	script.Check(err)
	cfg, err := config.Load(script.MkAbs("countersign.yaml"), os.LookupEnv)
	script.Check(err)
	loaded, err := wire.Load(cfg)
	script.Check(err)
	system, err := loaded.Start(noop.NewTracerProvider().Tracer(""), slog.New(slog.DiscardHandler))
	script.Check(err)
	system.Pipeline.Now = func() time.Time { return scriptTime }
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	decision := system.Pipeline.Check(ctx, request)
	script.Check(system.Close())
	script.Setenv("ID", decision.ID.String())
}

// abandon takes the decision of ID back, as the log does.
func abandon(script *testscript.TestScript, _ bool, _ []string) {
	records, _, err := segment.Open(segment.Config{Folder: script.MkAbs("records"), Name: "decisions", MaxBytes: 64 << 20})
	script.Check(err)
	line := `{"abandoned":true,"allowed":false,"id":"` + script.Getenv("ID") + `","reason":"not_recorded","status":503,"time":"2026-11-21T10:00:00.000000000Z"}`
	script.Check(records.Append([]byte(line+"\n"), true))
	script.Check(records.Close())
}

// swap puts a text in place of another in a file.
func swap(script *testscript.TestScript, _ bool, args []string) {
	text := script.ReadFile(args[0])
	changed := strings.Replace(text, args[1], args[2], 1)
	if changed == text {
		script.Fatalf("%s does not have %q", args[0], args[1])
	}
	script.Check(os.WriteFile(script.MkAbs(args[0]), []byte(changed), 0o600))
}

// askServed has a served Countersign decide request.json, and returns the decision's id.
func askServed(t *testing.T, s *served, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "request.json"))
	if err != nil {
		t.Fatal(err)
	}
	request := &authv3.CheckRequest{}
	if err := protojson.Unmarshal(text, request); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	response, err := authv3.NewAuthorizationClient(s.connection).Check(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	return response.GetDynamicMetadata().GetFields()["decision_id"].GetStringValue()
}

// TestExplainRecordedBesideServe explains what another Countersign has just decided, and
// what one has that is gone. It writes nothing, and tells no credential, though all that
// was decided on is asked for.
func TestExplainRecordedBesideServe(t *testing.T) {
	ask := annAsks
	ask.Token.Claims = map[string]any{"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	file, made, request := asked(t, ask)
	rewrite(t, file, "audit: {folder: records}", "audit: {folder: records, inputs: full}")
	token, _ := request.Headers.Value("authorization")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s := start(ctx, t, file, world{})
	eventually(t, "it is ready", func() bool { return status(t, s.console+"/readyz") == http.StatusOK })
	id := askServed(t, s, made.Dir)
	eventually(t, "its input is written", func() bool {
		text, err := os.ReadFile(filepath.Join(made.Dir, "records", "inputs-00000001.jsonl"))
		return err == nil && bytes.Contains(text, []byte(id+`"`)) && bytes.HasSuffix(text, []byte("}}\n"))
	})
	check := func(when string) {
		t.Helper()
		before := tree(t, made.Dir)
		var out, faults bytes.Buffer
		code := run(t.Context(), []string{"explain", "--config", file, "--all", "--decision", id, "--input"}, world{environ: os.LookupEnv, stdout: &out, stderr: &faults})
		if told := out.String(); code != exitOK || faults.Len() > 0 || !strings.Contains(told, id) ||
			!strings.Contains(told, ", as now\n") || !strings.Contains(told, "the same as then\n") || !strings.Contains(told, `"headers": {`) {
			t.Errorf("%s, explain exits %d and tells\n%s%s", when, code, told, faults.String())
		}
		for _, secret := range []string{strings.TrimPrefix(token, "Bearer "), "session-of-ann", "proof-header"} {
			if strings.Contains(out.String(), secret) {
				t.Errorf("%s, %q is told:\n%s", when, secret, out.String())
			}
		}
		if diff := cmp.Diff(before, tree(t, made.Dir)); diff != "" {
			t.Errorf("%s, files (-before +after):\n%s", when, diff)
		}
	}
	check("while it serves")
	stop()
	s.wantEnd(t)
	check("when it has ended")
}

// policyOf is a policy that decides by an expression.
func policyOf(t *testing.T, decision string) *wire.Policies {
	t.Helper()
	file := filepath.Join(t.TempDir(), "site.rego")
	write(t, file, "package site\n\ndecision := "+decision+"\n")
	policy, err := rego.New(rego.Config{Path: filepath.Dir(file), Decision: "site.decision"})
	if err != nil {
		t.Fatal(err)
	}
	return &wire.Policies{Policy: policy}
}

// TestPolicyDecidesAgainAsOfThen holds that time and chance are the decision's own.
func TestPolicyDecidesAgainAsOfThen(t *testing.T) {
	policy := policyOf(t, `{"allowed": true, "detail": sprintf("%d %d", [time.now_ns(), rand.intn("a", 1000000000)])}`)
	said := map[string]bool{}
	for _, entry := range []vault.Entry{{Time: scriptTime}, {Time: scriptTime, ID: authz.DecisionID{1}}, {Time: scriptTime.Add(1)}, {Time: scriptTime}} {
		entry.Input.Document = []byte(`{}`)
		r := &recording{before: &decisionv1.Decision{}}
		r.again(t.Context(), policy, &entry, r, r.before)
		said[r.Now.Detail] = true
	}
	if len(said) != 3 {
		t.Errorf("three different decisions are decided again as %v", said)
	}
}

// TestPolicyThatIsTooSlowIsNoVerdict holds that what time ended is not told as a denial.
func TestPolicyThatIsTooSlowIsNoVerdict(t *testing.T) {
	policy := policyOf(t, "true")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for ctx, want := range map[context.Context]string{t.Context(): "", over: "it did not decide within 10s"} {
		r := &recording{before: &decisionv1.Decision{}}
		r.again(ctx, policy, &vault.Entry{Input: authz.Input{Document: []byte(`{}`)}}, r, r.before)
		if r.NotAsked != want || (r.Now == nil) != (want != "") {
			t.Errorf("it is told %+v, and %q; want %q", r.Now, r.NotAsked, want)
		}
	}
}

// TestInputsAreShownAsTheyAre holds that no value in a kept input moves the cursor.
func TestInputsAreShownAsTheyAre(t *testing.T) {
	for document, want := range map[string]string{
		`{"a":["é山",{"b":1}]}`:               "{\n  \"a\": [\n    \"é山\",\n    {\n      \"b\": 1\n    }\n  ]\n}",
		"{\"a\":\"\u202e\u009b\U000e0001\"}": "{\n  \"a\": \"\\u202e\\u009b\\udb40\\udc01\"\n}",
		"no\x1bJSON":                         `"no\x1bJSON"`,
	} {
		if got := indented([]byte(document)); got != want {
			t.Errorf("indented(%q) = %q, want %q", document, got, want)
		}
	}
}

// TestWhatWasNotThePolicysIsNotCompared holds that a check that time ended is not told to
// be decided otherwise now.
func TestWhatWasNotThePolicysIsNotCompared(t *testing.T) {
	for reason, want := range map[authz.Reason]string{
		authz.DeadlineExceeded: "then it was not the policy that had the last word",
		authz.Internal:         "then it was not the policy that had the last word",
		authz.Granted:          "the same as then",
		authz.PolicyError:      "not the same as then",
	} {
		now := decidedAgain(authz.Verdict{Allowed: true}, nil, observedThen(&decisionv1.Decision{}))
		now.Same = now.as(&decisionv1.Decision{Reason: reason.String()})
		if got := now.compared(); got != want {
			t.Errorf("%v is compared: %q, want %q", reason, got, want)
		}
	}
}

// TestSpentLimitsAreTold tells of a record which limits refused.
func TestSpentLimitsAreTold(t *testing.T) {
	for _, g := range groupsOf(&decisionv1.Decision{Reason: "limit_reached", LimitsReached: []string{"client_60", "payments"}}) {
		for _, f := range g.Facts {
			if g.About == "decision" && f.Name == "limits reached" && cmp.Equal(f.Values, []string{"client_60", "payments"}) {
				return
			}
		}
	}
	t.Error("the limits of the record are not told")
}
