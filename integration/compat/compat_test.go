package compat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/envoy"
	"github.com/countersign-io/countersign/rego"
)

// maxDiffering is how many rows may differ.
const maxDiffering = 25

// A row is one case: a request, a policy and what comes of them.
type row struct {
	Row string `yaml:"row"`
	// Peer is what opa-envoy-plugin answers, where that is a defect, and Ours what is done
	// in its place, where that is not a denial.
	Peer string `yaml:"peer"`
	// What is such a row in words.
	What string `yaml:"what"`
	Ours string `yaml:"ours"`
	// Request is a CheckRequest as protojson writes it.
	Request map[string]any `yaml:"request"`

	// A policy is a file of the folder policies, or text, or the value of its rule, or
	// made here: it allows where the input has these values and lacks those.
	Policy string `yaml:"policy"`
	Rego   string `yaml:"rego"`
	Result string `yaml:"result"`
	// Results are several, in place of Result, all of which are answered so.
	Results []string       `yaml:"results"`
	Input   map[string]any `yaml:"input"`
	Absent  []string       `yaml:"absent"`

	Decision    string `yaml:"decision"`
	DryRun      bool   `yaml:"dry_run"`
	SkipBody    bool   `yaml:"skip_body"`
	Descriptors bool   `yaml:"descriptors"`
	// Expired has the call's time be over before it is decided, which no client of gRPC
	// can see, and RecordFails the record.
	Expired     bool `yaml:"expired"`
	RecordFails bool `yaml:"record_fails"`
	// Asks lets the policy ask a server, whose address stands for SERVER in it and whose
	// every answer has how often it was asked. Times is how often the request comes.
	Asks  bool `yaml:"asks"`
	Times int  `yaml:"times"`
	// Written is what only gRPC shows.
	Written bool `yaml:"written"`

	Want answer `yaml:"want"`
}

// answer is what Envoy is told. What is listed is in order, but for values of one name.
type answer struct {
	Allowed bool `yaml:"allowed"`
	Status  int  `yaml:"status"`
	// Reason is Countersign's own; of its denials nothing else is compared.
	Reason          string         `yaml:"reason"`
	Headers         []string       `yaml:"headers"`
	ResponseHeaders []string       `yaml:"response_headers"`
	RemoveHeaders   []string       `yaml:"remove_headers"`
	SetQuery        []string       `yaml:"set_query"`
	RemoveQuery     []string       `yaml:"remove_query"`
	Body            string         `yaml:"body"`
	Metadata        map[string]any `yaml:"metadata"`
}

func read(t *testing.T, file string) []row {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var rows []row
	if err := decoder.Decode(&rows); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	rows = eachResult(rows)
	for i := range rows {
		if rows[i].Input != nil || rows[i].Absent != nil {
			rows[i].Want = answer{Allowed: true}
		}
		if rows[i].Want.Allowed {
			rows[i].Want.Status = 200
		}
	}
	return rows
}

// eachResult makes a row of each of several results.
func eachResult(rows []row) []row {
	var each []row
	for _, r := range rows {
		if len(r.Results) == 0 {
			each = append(each, r)
		}
		for _, result := range r.Results {
			one := r
			one.Result = result
			each = append(each, one)
		}
	}
	return each
}

func all(t *testing.T) []row {
	t.Helper()
	files, err := filepath.Glob("cases/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("cases: %v, %v", files, err)
	}
	var rows []row
	for _, file := range files {
		rows = append(rows, read(t, file)...)
	}
	return append(rows, read(t, "differs.yaml")...)
}

// TestDifferingRowsAreDefects holds that what is answered in another way is denied, for a
// reason that is told, or says what is done in its place.
func TestDifferingRowsAreDefects(t *testing.T) {
	names := map[string]bool{}
	for _, r := range read(t, "differs.yaml") {
		names[r.Row] = true
		if denied := !r.Want.Allowed && r.Want.Reason != ""; r.Peer == "" || r.What == "" || denied == (r.Ours != "") {
			t.Errorf("%s: want it in words, what the peer does, and a denial with its reason or what is done in its place", r.Row)
		}
	}
	if len(names) > maxDiffering {
		t.Errorf("%d rows differ, want at most %d", len(names), maxDiffering)
	}
}

// policy writes the row's policy.
func (r *row) policy(t *testing.T) string {
	t.Helper()
	switch {
	case r.Policy != "":
		return filepath.Join("policies", r.Policy+".rego")
	case r.Rego == "" && r.Result != "":
		r.Rego = "package envoy.authz\n\nallow := " + r.Result
	case r.Rego == "":
		r.Rego = sees(t, r.Input, r.Absent)
	case r.Asks:
		r.Rego = strings.ReplaceAll(r.Rego, "SERVER", server(t))
	}
	file := filepath.Join(t.TempDir(), "policy.rego")
	if err := os.WriteFile(file, []byte(r.Rego), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// sees allows what has these values; its denial has the input as its body.
func sees(t *testing.T, has map[string]any, lacks []string) string {
	t.Helper()
	var text strings.Builder
	text.WriteString("package envoy.authz\n\nallow := {\"allowed\": seen, \"body\": json.marshal(input)}\n\ndefault seen := false\n\nseen if {\n\tinput.version\n")
	for ref, value := range has {
		literal, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "\tinput.%s == %s\n", ref, literal)
	}
	var helpers strings.Builder
	for i, ref := range lacks {
		fmt.Fprintf(&text, "\tnot has_%d\n", i)
		fmt.Fprintf(&helpers, "\nhas_%d if input.%s != \"no such value\"\n", i, ref)
	}
	text.WriteString("}\n")
	return text.String() + helpers.String()
}

// recorder counts what it is offered.
type recorder struct {
	offers int
	err    error
	// over is the error of a context that had ended when a record was offered.
	over error
	last authz.Record
}

func (r *recorder) Record(ctx context.Context, record authz.Record) error {
	r.offers++
	r.over, r.last = ctx.Err(), record
	return r.err
}
func (r *recorder) Abandon(authz.Record) {}

// server answers how often it was asked.
func server(t *testing.T) string {
	t.Helper()
	var count atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, count.Add(1))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func (r *row) checker(t *testing.T) (*authz.PolicyOnly, *recorder) {
	t.Helper()
	cfg := rego.PeerConfig{Paths: []string{r.policy(t)}, Decision: r.Decision, SkipBody: r.SkipBody}
	if r.Descriptors {
		cfg.Descriptors = descriptors(t)
	}
	if r.Asks {
		cfg.Builtins = []string{"http.send"}
	}
	policy, err := rego.NewPeer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	log := &recorder{}
	if r.RecordFails {
		log.err = errors.New("Bad Logger Error")
	}
	return &authz.PolicyOnly{Policy: policy, Recorder: log, DryRun: r.DryRun}, log
}

func (r *row) isHTTP() bool {
	attributes, _ := r.Request["attributes"].(map[string]any)
	request, _ := attributes["request"].(map[string]any)
	return r.Request == nil || request["http"] != nil
}

func (r *row) call(t *testing.T) []byte {
	t.Helper()
	if r.Request == nil {
		r.Request = map[string]any{"attributes": map[string]any{"request": map[string]any{"http": map[string]any{}}}}
	}
	text, err := json.Marshal(r.Request)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// kept is a checker that remembers what was decided.
type kept struct {
	authz.Checker
	decision authz.Decision
}

func (k *kept) Check(ctx context.Context, request *authz.Request) authz.Decision {
	k.decision = k.Checker.Check(ctx, request)
	return k.decision
}

func TestRowsInProcess(t *testing.T) {
	for _, r := range all(t) {
		if !r.isHTTP() || r.Written {
			continue // Only gRPC can send, or shows, that.
		}
		t.Run(r.Row, func(t *testing.T) {
			checker, log := r.checker(t)
			asked := &kept{Checker: checker}
			call, err := envoy.ParseCall(r.call(t))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if r.Expired {
				cancel()
			}
			for range max(1, r.Times) {
				if _, err := call.Answer(ctx, envoy.Config{}, time.Minute, asked); err != nil {
					t.Fatal(err)
				}
			}
			r.compare(t, decided(&asked.decision), log)
		})
	}
}

func TestRowsOverGRPC(t *testing.T) {
	for _, r := range all(t) {
		if r.Expired {
			continue // The client would be gone.
		}
		t.Run(r.Row, func(t *testing.T) {
			checker, log := r.checker(t)
			check := &authv3.CheckRequest{}
			if err := protojson.Unmarshal(r.call(t), check); err != nil {
				t.Fatal(err)
			}
			var response *authv3.CheckResponse
			asks := client(t, checker)
			for range max(1, r.Times) {
				var err error
				if response, err = asks.Check(t.Context(), check); err != nil {
					t.Fatal(err)
				}
			}
			r.compare(t, answered(t, response), log)
		})
	}
}

func client(t *testing.T, checker authz.Checker) authv3.AuthorizationClient {
	t.Helper()
	server, err := envoy.New(envoy.Config{Listen: "127.0.0.1:0", Timeout: time.Minute}, checker)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Listen(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	connection, err := grpc.NewClient(server.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		connection.Close()
		if err := server.Drain(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return authv3.NewAuthorizationClient(connection)
}

func (r *row) compare(t *testing.T, got answer, log *recorder) {
	t.Helper()
	want := r.Want
	if want.Reason != "" {
		got = answer{Allowed: got.Allowed, Status: got.Status, Reason: got.Reason}
	}
	for _, a := range []*answer{&want, &got} {
		a.Metadata = asJSON(t, a.Metadata)
		for _, list := range [][]string{a.Headers, a.ResponseHeaders, a.RemoveHeaders, a.SetQuery, a.RemoveQuery} {
			slices.SortStableFunc(list, func(a, b string) int { return strings.Compare(name(a), name(b)) })
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if log.offers != max(1, r.Times) || log.over != nil {
		t.Errorf("%d records, want one of each check, and time to keep it: %v", log.offers, log.over)
	}
	if (log.last.Facts.Lookups != nil) != r.Asks {
		t.Errorf("recorded with lookups %+v, asks %v", log.last.Facts.Lookups, r.Asks)
	}
}

func name(line string) string {
	return strings.FieldsFunc(line, func(c rune) bool { return c == ':' || c == '=' })[0]
}

// asJSON makes numbers of one kind of them all.
func asJSON(t *testing.T, metadata map[string]any) map[string]any {
	t.Helper()
	text, err := json.Marshal(metadata)
	if err != nil {
		t.Fatal(err)
	}
	var value map[string]any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	return value
}
