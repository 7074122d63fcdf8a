package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
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

// order asks a client for Count calls of one CheckRequest, serialised.
type order struct {
	Check []byte
	Count int
}

// outcome is what became of an order: the first call that was not allowed, or "".
type outcome struct{ Fault string }

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
		if err := askAll(client, next); err != nil {
			got.Fault = err.Error()
		}
		if err := encoder.Encode(got); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
}

func askAll(client authv3.AuthorizationClient, all order) error {
	check := &authv3.CheckRequest{}
	if err := proto.Unmarshal(all.Check, check); err != nil {
		return err
	}
	return together(all.Count, func() error {
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
	})
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
	serialised, err := proto.Marshal(check)
	if err != nil {
		t.Fatal(err)
	}
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
	return func(count int) error {
		if err := encoder.Encode(order{Check: serialised, Count: count}); err != nil {
			return err
		}
		var got outcome
		if err := decoder.Decode(&got); err != nil {
			return err
		}
		if got.Fault != "" {
			return fmt.Errorf("a check: %s", got.Fault)
		}
		return nil
	}
}
