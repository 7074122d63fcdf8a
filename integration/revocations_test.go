package integration

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/countersign-io/countersign/authz/replay/redis/redistest"
	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// Reasons of what is revoked.
var (
	tokenRevoked = refusal(http.StatusUnauthorized, "token_revoked")
	notKnown     = refusal(http.StatusServiceUnavailable, "revocations_unavailable")
)

// Paths of what asks for nothing of Redis, and of what requires to know what is revoked.
const (
	asksNothing = "/accounts/22289/balances"
	requires    = "/accounts/22289"
)

// TestRevokedOnBothWithinASecond has a token revoked by the command, and asks two processes
// of Countersign that share a Redis, one of them through Envoy: both refuse it, though they
// know it. While there is no Redis they go on doing so, and refuse what requires to know
// more; when it is back, they take it again.
func TestRevokedOnBothWithinASecond(t *testing.T) {
	server := redistest.Start(t)
	both := startRevoking(t, server.Address)
	stolen, kept := both.token(t, "stolen"), both.token(t, "kept")
	for range 2 { // the second time it is known
		both.hold(t, stolen, asksNothing, granted)
		both.hold(t, kept, requires, granted)
	}
	both.revoke(t, "--jti-file", "-")
	returned := time.Now()
	both.await(t, stolen, asksNothing, tokenRevoked)
	t.Logf("both refused it %v after the command had returned", time.Since(returned).Round(time.Millisecond))
	both.hold(t, kept, asksNothing, granted)
	both.hold(t, kept, requires, granted)

	server.Kill()
	both.await(t, kept, requires, notKnown)
	both.hold(t, stolen, asksNothing, tokenRevoked)
	both.hold(t, stolen, requires, tokenRevoked)
	both.hold(t, kept, asksNothing, granted)

	server.Restart(t) // which has forgotten everything
	both.await(t, kept, requires, granted)
	both.hold(t, stolen, asksNothing, tokenRevoked)
	for _, admin := range both.admins {
		eventually(t, "the loss to be told", func() bool { return strings.Contains(page(t, admin+"/metrics"), "\ncountersign_revocations_lost 1\n") })
	}
	both.revoke(t, "--client", bank.Acme)
	both.await(t, kept, asksNothing, tokenRevoked)
}

// TestRevokedWhileAsked has tokens revoked one by one while both are asked for all of
// them: what was refused once is never granted again.
func TestRevokedWhileAsked(t *testing.T) {
	const tokens = 8
	both := startRevoking(t, redistest.Start(t).Address)
	clients := both.clients(t)
	var asked [tokens]*authv3.CheckRequest
	for n := range asked {
		asked[n] = both.check(t, both.token(t, fmt.Sprint("token ", n)), asksNothing)
	}
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for _, client := range clients {
		for n := range asked {
			asking.Go(func() {
				refused := false
				for {
					got, err := client.ask(t.Context(), asked[n])
					if err != nil || got != granted && got != tokenRevoked || refused && got == granted {
						t.Errorf("token %d: %+v, %v; refused before: %t", n, got, err, refused)
						return
					}
					refused = got == tokenRevoked
					select {
					case <-stop:
						return
					default:
					}
				}
			})
		}
	}
	for n := range tokens / 2 {
		both.revokes(t, fmt.Sprint("token ", n), "--jti-file", "-")
	}
	for n := range asked {
		want := granted
		if n < tokens/2 {
			want = tokenRevoked
		}
		for _, client := range clients {
			eventually(t, want.code, func() bool { got, err := client.ask(t.Context(), asked[n]); return err == nil && got == want })
		}
	}
	close(stop)
	asking.Wait()
}

// revoking are two Countersigns of one bank that share a Redis, the first behind Envoy.
type revoking struct {
	*replicas
	stack  *bank.Stack
	second replica
	admins [2]string
}

func startRevoking(t *testing.T, redis string) *revoking {
	t.Helper()
	dir := t.TempDir()
	stack := startBank(t, bank.Options{Dir: dir, Configure: func(text string) string {
		requireRevocations(t, filepath.Join(dir, "openapi.yaml"))
		return text + fmt.Sprintf("replay: {engine: redis, redis: {address: %q}}\ntimeout: 20s\n", redis)
	}})
	r := &revoking{replicas: &replicas{bank: stack.Bank}, stack: stack}
	r.second = r.start(t, "two", redis)
	r.admins = [2]string{stack.Admin, r.second.admin}
	r.each = [2]replica{r.second, r.second}
	r.awaitReadiness(t, "ready\n")
	return r
}

// requireRevocations has the bank's contract require to know what is revoked, of one
// operation.
func requireRevocations(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := strings.Cut(string(text), "operationId: GetAccountsAccountId\n")
	rules, rest, there := strings.Cut(after, "x-countersign:\n")
	if !found || !there {
		t.Fatal("the bank's contract has no operation to change")
	}
	changed := before + "operationId: GetAccountsAccountId\n" + rules + "x-countersign:\n        revocation: required\n" + rest
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}

// token is one of ann's, by its id.
func (r *revoking) token(t *testing.T, id string) string {
	t.Helper()
	token, err := r.bank.Sign(bank.Token{As: "ann", Claims: map[string]any{"jti": id}})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func asking(path, token string) bank.Story {
	return bank.Story{Ask: bank.Ask{Method: http.MethodGet, Path: path, Listener: bank.MTLS, Certificate: bank.Acme,
		Headers: map[string]string{"authorization": "Bearer " + token}}}
}

// answers are what the first says through Envoy, and what the second says.
func (r *revoking) answers(t *testing.T, token, path string) (first, second verdict, err error) {
	t.Helper()
	got, err := ask(t.Context(), r.stack, asking(path, token))
	if err != nil {
		return verdict{}, verdict{}, err
	}
	if got.status == http.StatusServiceUnavailable && got.retryAfter == "" {
		err = errors.New("503 without Retry-After")
	}
	second, asked := r.second.ask(t.Context(), r.check(t, token, path))
	return verdict{got.status, got.code}, second, errors.Join(err, asked)
}

func (r *revoking) check(t *testing.T, token, path string) *authv3.CheckRequest {
	t.Helper()
	story := asking(path, token)
	request, err := story.Request(r.bank, "")
	if err != nil {
		t.Fatal(err)
	}
	return checkRequest(request)
}

func (r *revoking) hold(t *testing.T, token, path string, want verdict) {
	t.Helper()
	if first, second, err := r.answers(t, token, path); err != nil || first != want || second != want {
		t.Errorf("%s: told %+v and %+v, %v, want %+v", path, first, second, err, want)
	}
}

func (r *revoking) await(t *testing.T, token, path string, want verdict) {
	t.Helper()
	eventually(t, fmt.Sprintf("both to answer %+v", want), func() bool {
		first, second, err := r.answers(t, token, path)
		return err == nil && first == want && second == want
	})
}

// clients ask one, without Envoy, and the other.
func (r *revoking) clients(t *testing.T) []replica {
	t.Helper()
	connection, err := grpc.NewClient(r.stack.Authz, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return []replica{{client: authv3.NewAuthorizationClient(connection)}, r.second}
}

// revoke runs the command, with the id of the stolen token at its standard input.
func (r *revoking) revoke(t *testing.T, args ...string) {
	t.Helper()
	r.revokes(t, "stolen", args...)
}

func (r *revoking) revokes(t *testing.T, stdin string, args ...string) {
	t.Helper()
	found, err := find()
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"revoke", "--config", filepath.Join(r.bank.Dir, "countersign-two.yaml"), "--issuer", bank.IssuerName}, args...)
	command := exec.CommandContext(t.Context(), found.countersign, args...)
	command.Stdin = strings.NewReader(stdin + "\n")
	told, err := command.CombinedOutput()
	if err != nil || !bytes.HasPrefix(told, []byte("revoked: ")) || bytes.Contains(told, []byte(stdin)) {
		t.Fatalf("countersign %s: %v\n%s", args, err, told)
	}
}
