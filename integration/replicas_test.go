package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/countersign-io/countersign/authz/replay/redis/redistest"
	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// sharedTimes is how many proofs are sent to both replicas, and how often the limit that
// they share lets a client do something.
const sharedTimes = 1000

// Reasons of what two that share a server refuse.
var (
	replayed      = refusal(http.StatusUnauthorized, "proof_replayed")
	overLimit     = refusal(http.StatusTooManyRequests, "limit_reached")
	cannotReplay  = refusal(http.StatusServiceUnavailable, "replays_unavailable")
	cannotBeSpent = refusal(http.StatusServiceUnavailable, "limits_unavailable")
)

// TestTwoProcessesOnOneRedis asks two processes of Countersign that share a Redis the same
// at once: each proof is taken by one of them, and a limit holds for both together. While
// there is no Redis, neither takes anything that needs it; when it is back, both do.
func TestTwoProcessesOnOneRedis(t *testing.T) {
	server := redistest.Start(t)
	both := startReplicas(t, server.Address)
	t.Run("each proof is good once", func(t *testing.T) {
		proofs := make(chan *authv3.CheckRequest, sharedTimes)
		for range sharedTimes {
			proofs <- both.proof(t)
		}
		told := both.askMany(t, func() *authv3.CheckRequest { return <-proofs })
		if diff := cmp.Diff(map[pair]int{{granted, replayed}: sharedTimes}, told); diff != "" {
			t.Errorf("of each proof the two say (-want +got):\n%s", diff)
		}
	})
	t.Run("a limit is for both", func(t *testing.T) {
		check := both.limited(t)
		each := map[verdict]int{}
		for two, count := range both.askMany(t, func() *authv3.CheckRequest { return check }) {
			each[two[0]] += count
			each[two[1]] += count
		}
		if diff := cmp.Diff(map[verdict]int{granted: sharedTimes, overLimit: sharedTimes}, each); diff != "" {
			t.Errorf("the two together say (-want +got):\n%s", diff)
		}
	})
	server.Kill()
	t.Run("without Redis nothing passes that needs it", func(t *testing.T) {
		both.awaitReadiness(t, "replay: redis: ")
		both.hold(t, "a proof", both.proof(t), pair{cannotReplay, cannotReplay})
		both.hold(t, "a limit", both.limited(t), pair{cannotBeSpent, cannotBeSpent})
		both.hold(t, "neither", both.unlimited(t), pair{granted, granted})
	})
	server.Restart(t)
	t.Run("with Redis again", func(t *testing.T) {
		both.awaitReadiness(t, "ready\n")
		both.hold(t, "a proof", both.proof(t), pair{granted, replayed})
		// The server kept nothing on disk, so that all of the limit is free again.
		both.hold(t, "a limit", both.limited(t), pair{granted, granted})
	})
}

// replica is one of several Countersigns that share a Redis.
type replica struct {
	client authv3.AuthorizationClient
	admin  string // base URL
}

// replicas are two, of one bank.
type replicas struct {
	bank  *bank.Bank
	each  [2]replica
	nonce string
}

// pair is what the two answer to one check, whichever says which: the lesser status first.
type pair [2]verdict

// startReplicas starts two processes that share a Redis, each with records and a state
// folder of its own, but for the key of nonces: replicas must have the same.
func startReplicas(t *testing.T, redis string) *replicas {
	t.Helper()
	r := &replicas{bank: limitedBank(t, sharedTimes)}
	key := func(name string) string { return filepath.Join(r.bank.Dir, "state-"+name, "nonce.key") }
	r.each[0] = r.start(t, "one", redis)
	text, err := os.ReadFile(key("one"))
	if err := errors.Join(err, os.Mkdir(filepath.Dir(key("two")), 0o700), os.WriteFile(key("two"), text, 0o600)); err != nil {
		t.Fatal(err)
	}
	r.each[1] = r.start(t, "two", redis)
	r.awaitReadiness(t, "ready\n")
	r.nonce = r.demanded(t)
	return r
}

// start starts a process that ends with the test, which fails if it ends badly, or had to
// be killed.
func (r *replicas) start(t *testing.T, name, redis string) replica {
	t.Helper()
	found, err := find()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(r.bank.Dir, name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	process := exec.CommandContext(t.Context(), found.countersign, "serve", "--config", r.configure(t, name, redis))
	process.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none", "OTEL_LOGS_EXPORTER=none")
	process.Stdout, process.Stderr = log, log
	process.Cancel = func() error { return process.Process.Signal(syscall.SIGTERM) }
	process.WaitDelay = longest
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := process.Wait() // which tells that it was asked to end, too
		if !process.ProcessState.Success() {
			text, unread := os.ReadFile(log.Name())
			t.Errorf("%s: %v, %v\n%s", name, errors.Join(err, unread), process.ProcessState, text)
		}
		log.Close()
	})
	return connect(t, log.Name())
}

var listening = regexp.MustCompile(`msg=(console|serving) address=(\S+)`)

// connect waits until a log says where its process listens.
func connect(t *testing.T, log string) replica {
	t.Helper()
	addresses := map[string]string{}
	eventually(t, "addresses in "+log, func() bool {
		text, err := os.ReadFile(log)
		for _, found := range listening.FindAllStringSubmatch(string(text), -1) {
			addresses[found[1]] = found[2]
		}
		return err == nil && len(addresses) == 2
	})
	connection, err := grpc.NewClient(addresses["serving"], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return replica{client: authv3.NewAuthorizationClient(connection), admin: "http://" + addresses["console"]}
}

// configure writes the configuration of one of the processes.
func (r *replicas) configure(t *testing.T, name, redis string) (file string) {
	t.Helper()
	text, err := r.bank.Configuration("", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	text = changed(t, text, "\nstate: state ", "\nstate: state-"+name+" ")
	text = changed(t, text, "{folder: records}", "{folder: records-"+name+"}")
	// However busy the machine is, no proof is too old and no check out of time.
	text = changed(t, text, "nonce: true}", "nonce: true, max_age: 5m}") + "timeout: 20s\n"
	text += fmt.Sprintf("replay: {engine: redis, redis: {address: %q}}\n", redis)
	file = filepath.Join(r.bank.Dir, "countersign-"+name+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// awaitReadiness waits until both say so of themselves.
func (r *replicas) awaitReadiness(t *testing.T, text string) {
	t.Helper()
	for _, one := range r.each {
		eventually(t, text, func() bool { return strings.Contains(page(t, one.admin+"/readyz"), text) })
	}
}

// demanded is the nonce that one of them asks of proofs, and the other must take.
func (r *replicas) demanded(t *testing.T) string {
	t.Helper()
	response, err := r.each[0].client.Check(t.Context(), r.check(t, bank.Ask{Method: http.MethodGet, Path: "/accounts"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, option := range response.GetDeniedResponse().GetHeaders() {
		if strings.EqualFold(option.GetHeader().GetKey(), "DPoP-Nonce") {
			return option.GetHeader().GetValue()
		}
	}
	t.Fatalf("no nonce is demanded: %v", response)
	return ""
}

// check is a request as Envoy sends it, new each time by its token and proof.
func (r *replicas) check(t *testing.T, ask bank.Ask) *authv3.CheckRequest {
	t.Helper()
	story := bank.Story{Ask: ask}
	request, err := story.Request(r.bank, r.nonce)
	if err != nil {
		t.Fatal(err)
	}
	return checkRequest(request)
}

// proof asks, with a new proof, for what has no limit.
func (r *replicas) proof(t *testing.T) *authv3.CheckRequest {
	t.Helper()
	return r.check(t, bank.Ask{Method: http.MethodGet, Path: "/accounts/22289/balances", Token: bank.Token{As: "ann", Bound: "key"}, Proof: &bank.Proof{}})
}

// limited asks, without a proof, for what has a limit.
func (r *replicas) limited(t *testing.T) *authv3.CheckRequest {
	t.Helper()
	return r.byCertificate(t, "/accounts/22289")
}

// unlimited asks for what needs nothing of Redis.
func (r *replicas) unlimited(t *testing.T) *authv3.CheckRequest {
	t.Helper()
	return r.byCertificate(t, "/accounts/22289/balances")
}

func (r *replicas) byCertificate(t *testing.T, path string) *authv3.CheckRequest {
	t.Helper()
	return r.check(t, bank.Ask{Method: http.MethodGet, Path: path, Listener: bank.MTLS, Certificate: bank.Acme, Token: bank.Token{As: "ann"}})
}

// askMany asks both for each of sharedTimes checks, and returns how often they said what.
func (r *replicas) askMany(t *testing.T, next func() *authv3.CheckRequest) map[pair]int {
	t.Helper()
	var mu sync.Mutex
	told := map[pair]int{}
	err := together(sharedTimes, func() error {
		got, err := r.ask(t.Context(), next())
		mu.Lock()
		defer mu.Unlock()
		told[got]++
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return told
}

// hold holds what the two say to a check that is asked of both at once.
func (r *replicas) hold(t *testing.T, name string, check *authv3.CheckRequest, want pair) {
	t.Helper()
	if got, err := r.ask(t.Context(), check); err != nil || got != want {
		t.Errorf("%s: told %+v, %v, want %+v", name, got, err, want)
	}
}

// ask asks both at once.
func (r *replicas) ask(ctx context.Context, check *authv3.CheckRequest) (pair, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	var told pair
	var faults [2]error
	var asking sync.WaitGroup
	for i, one := range r.each {
		asking.Go(func() { told[i], faults[i] = one.ask(ctx, check) })
	}
	asking.Wait()
	if told[0].status > told[1].status {
		told[0], told[1] = told[1], told[0]
	}
	return told, errors.Join(faults[:]...)
}

func (r replica) ask(ctx context.Context, check *authv3.CheckRequest) (verdict, error) {
	response, err := r.client.Check(ctx, check)
	if err != nil {
		return verdict{}, err
	}
	if code := codes.Code(response.GetStatus().GetCode()); code == codes.OK {
		return granted, nil
	}
	var problem struct{ Code string }
	denied := response.GetDeniedResponse()
	err = json.Unmarshal([]byte(denied.GetBody()), &problem)
	return refusal(int(denied.GetStatus().GetCode()), problem.Code), err
}
