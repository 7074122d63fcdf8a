package standards

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
	"github.com/countersign-io/countersign/envoy"
	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
)

// world is all that cases are asked in.
type world struct {
	// now is when everything happens, unless it is said to be later.
	now          time.Time
	certificates map[string]forwarded
	// bank takes certificates from Envoy's connection, proxied from the header.
	bank, proxied *system
}

// system is Countersign as it is put together to serve, in this process.
type system struct {
	*wire.System
	clock time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{now: time.Now().Truncate(time.Second)}
	w.certificates = issueAll(w.now)
	w.bank = w.open(t, "")
	w.proxied = w.open(t, "client_certificate: xfcc\n")
	return w
}

// open starts a Countersign with the configuration in testdata and more in front of it.
func (w *world) open(t *testing.T, more string) *system {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "bank"))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "countersign.yaml")
	for name, text := range map[string][]byte{
		file:                             append([]byte(more), must(os.ReadFile(file))...),
		filepath.Join(dir, "jwks.json"):  marshal(object{"keys": []object{jwk("es256"), jwk("es384"), jwk("ps256"), jwk("eddsa")}}),
		filepath.Join(dir, "staff.json"): marshal(object{"keys": []object{jwk("staff")}}),
	} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(file, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := wire.Load(cfg)
	if err != nil {
		t.Fatal(err)
	}
	started, err := loaded.Start(nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := started.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &system{System: started, clock: w.now}
	started.Pipeline.Now = func() time.Time { return s.clock }
	return s
}

// nonceAt is what clients are told to put into their proofs, so long after now.
func (w *world) nonceAt(later time.Duration) string {
	w.bank.clock = w.now.Add(later)
	told := w.bank.Pipeline.Check(context.Background(), &authz.Request{API: "nonce", Method: "GET", Host: "api.example", Target: "/accounts"})
	return told.Proofs.Nonce
}

// patience is for a machine that has much else to do.
const patience = 20 * time.Second

// decided keeps the decision that a checker makes.
type decided struct {
	authz.Checker
	decision authz.Decision
}

func (d *decided) Check(ctx context.Context, request *authz.Request) authz.Decision {
	d.decision = d.Checker.Check(ctx, request)
	return d.decision
}

// send has the request decided and answered as Envoy would be, and holds that the
// answer tells nothing of what is secret.
func (a *ask) send(t *testing.T) (authz.Decision, envoy.Answer) {
	t.Helper()
	for _, first := range a.before {
		if got, _ := first.send(t); got.Reason != first.want {
			t.Errorf("before: %s (%s), want %s", got.Reason, got.Detail, first.want)
		}
	}
	fields, secrets := a.fields()
	call, err := envoy.ParseCall(a.check(fields))
	if err != nil {
		t.Fatal(err)
	}
	checker := &decided{Checker: a.system.Pipeline}
	var answer envoy.Answer
	for range max(a.times, 1) {
		a.system.clock = a.now.Add(a.later)
		if answer, err = call.Answer(t.Context(), a.system.Config.Server, patience, checker); err != nil {
			t.Fatal(err)
		}
	}
	told := answer.Body
	for _, field := range answer.Headers {
		told += "\n" + field.Name + ": " + field.Value
	}
	for _, secret := range secrets {
		if strings.Contains(told+checker.decision.Detail, secret) {
			t.Errorf("the answer or its record holds %.8s… of what was sent", secret)
		}
	}
	if strings.Contains(told, "use_dpop_nonce") && !strings.Contains(told, "\ndpop-nonce: ") {
		t.Error("a nonce is demanded, and none is told")
	}
	if a.recorded != nil {
		a.recorded(t, a.system.record(t, checker.decision.ID))
	}
	return checker.decision, answer
}

// record is that of a decision, which may be written after the answer.
func (s *system) record(t *testing.T, id authz.DecisionID) *decisionv1.Decision {
	t.Helper()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(patience); ; <-poll.C {
		found, err := audit.Find(s.Config.Audit, id)
		if err == nil {
			return found.Records[0]
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
