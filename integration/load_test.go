package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

// loadAddress names an environment variable that makes this test program a client
// which asks the server at that address, in place of running tests: what a client
// costs is then not counted with the server.
const loadAddress = "COUNTERSIGN_LOAD_ADDRESS"

const (
	// inFlight is how many checks are asked for at once.
	inFlight = 100
	// loadPatience bounds one call of the client's.
	loadPatience = 20 * time.Second
)

// order asks a client for Count calls of CheckRequests, serialised, in turn: inFlight at
// once, or, where Every is not 0, one each time that has passed, whatever became of the
// others.
type order struct {
	Checks [][]byte
	Count  int
	Every  time.Duration
}

// outcome is what became of an order: the first call that was not allowed, or ""; how
// long all took; and, of those that were made at their times, how long after its time the
// slowest but one in a hundred was answered.
type outcome struct {
	Fault     string
	Took, P99 time.Duration
}

// load answers orders until there are no more. It returns an exit code.
func load(address string, orders io.Reader, outcomes io.Writer) int {
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer connection.Close()
	client := authv3.NewAuthorizationClient(connection)
	decoder, encoder := json.NewDecoder(orders), json.NewEncoder(outcomes)
	for {
		var next order
		if err := decoder.Decode(&next); err == io.EOF {
			return 0
		} else if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		var got outcome
		began := time.Now()
		if err := askAll(client, next, &got); err != nil {
			got.Fault = err.Error()
		}
		got.Took = time.Since(began)
		if err := encoder.Encode(got); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
}

func askAll(client authv3.AuthorizationClient, all order, got *outcome) (err error) {
	checks := make([]*authv3.CheckRequest, len(all.Checks))
	for i, serialised := range all.Checks {
		checks[i] = &authv3.CheckRequest{}
		if err := proto.Unmarshal(serialised, checks[i]); err != nil {
			return err
		}
	}
	var asked atomic.Int64
	ask := func() error { return askAllowed(client, checks[int(asked.Add(1))%len(checks)]) }
	if all.Every == 0 {
		return together(all.Count, ask)
	}
	got.P99, err = paced(all.Count, all.Every, ask)
	return err
}

func askAllowed(client authv3.AuthorizationClient, check *authv3.CheckRequest) error {
	ctx, cancel := context.WithTimeout(context.Background(), loadPatience)
	defer cancel()
	response, err := client.Check(ctx, check)
	if err != nil {
		return err
	}
	if code := codes.Code(response.GetStatus().GetCode()); code != codes.OK {
		return fmt.Errorf("answered %v: %s", code, response.GetDeniedResponse().GetBody())
	}
	return nil
}

// paced calls a function so many times, each at its time, and returns how long after it
// the slowest but one in a hundred came back: a call that is begun late is late.
func paced(count int, every time.Duration, call func() error) (time.Duration, error) {
	late, faults := make([]time.Duration, count), make([]error, count)
	began := time.Now()
	var all sync.WaitGroup
	for i := range count {
		due := began.Add(time.Duration(i) * every)
		time.Sleep(time.Until(due))
		all.Go(func() {
			faults[i] = call()
			late[i] = time.Since(due)
		})
	}
	all.Wait()
	slices.Sort(late)
	faults = slices.DeleteFunc(faults, func(fault error) bool { return fault == nil })
	if len(faults) > 0 {
		return 0, fmt.Errorf("%d of %d failed, such as: %w", len(faults), count, faults[0])
	}
	return late[count*99/100], nil
}

// together calls a function so many times, inFlight at once, and returns the first
// error, after which it calls no more.
func together(count int, call func() error) error {
	var begun atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	for range min(count, inFlight) {
		all.Go(func() {
			for failed.Load() == nil && begun.Add(1) <= int64(count) {
				if err := call(); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// startLoad starts a client of the server at address, in a process of its own, which
// ends with the test. The function that it returns has the client ask so many times.
func startLoad(t testing.TB, address string, check *authv3.CheckRequest) func(count int) error {
	t.Helper()
	client := startClient(t, address)
	serialised := serialised(t, check)
	return func(count int) error {
		_, err := client(order{Checks: serialised, Count: count})
		return err
	}
}

func serialised(t testing.TB, checks ...*authv3.CheckRequest) [][]byte {
	t.Helper()
	texts := make([][]byte, len(checks))
	for i, check := range checks {
		var err error
		if texts[i], err = proto.Marshal(check); err != nil {
			t.Fatal(err)
		}
	}
	return texts
}

// startClient is startLoad, for orders of all kinds.
func startClient(t testing.TB, address string) func(order) (outcome, error) {
	t.Helper()
	client := exec.Command(os.Args[0])
	client.Env = append(os.Environ(), loadAddress+"="+address)
	client.Stderr = os.Stderr
	orders, err := client.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	outcomes, err := client.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		orders.Close()
		if err := client.Wait(); err != nil {
			t.Errorf("the client: %v", err)
		}
	})
	encoder, decoder := json.NewEncoder(orders), json.NewDecoder(outcomes)
	return func(next order) (got outcome, err error) {
		if err := encoder.Encode(next); err != nil {
			return got, err
		}
		if err := decoder.Decode(&got); err != nil {
			return got, err
		}
		if got.Fault != "" {
			return got, fmt.Errorf("a check: %s", got.Fault)
		}
		return got, nil
	}
}
