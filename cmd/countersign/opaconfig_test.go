package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// TestServeInPlaceOfOPA starts with the files of opa-envoy-plugin alone, answers by its
// policy and data, tells which keys are not heeded, and reloads.
func TestServeInPlaceOfOPA(t *testing.T) {
	dir := t.TempDir()
	configuration, policy, data := filepath.Join(dir, "config.yaml"), filepath.Join(dir, "policy.rego"), filepath.Join(dir, "data.json")
	write(t, configuration, "plugins:\n  envoy_ext_authz_grpc: {addr: '127.0.0.1:0'}\ndecision_logs: {console: true}\n")
	write(t, policy, "package envoy.authz\n\ndefault allow := false\n\nallow if input.parsed_path[0] in data.open\n")
	write(t, data, `{"open": ["status"]}`)
	polls := make(chan time.Time)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s := &served{exit: make(chan int, 1)}
	go func() {
		s.exit <- run(ctx, []string{"serve", "--opa-config", configuration, "--state", filepath.Join(dir, "state"), policy, data},
			world{environ: os.LookupEnv, stdout: &s.log, stderr: &s.log, polls: polls})
	}()
	address := regexp.MustCompile(`msg=serving address=(\S+)`)
	eventually(t, "it serves", func() bool { return address.MatchString(s.log.String()) })
	connection, err := grpc.NewClient(address.FindStringSubmatch(s.log.String())[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	answers := func(path string) bool {
		check := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
			Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Host: "a.example", Path: path},
		}}}
		response, err := authv3.NewAuthorizationClient(connection).Check(t.Context(), check)
		if err != nil {
			t.Fatal(err)
		}
		return response.GetStatus().GetCode() == 0
	}
	if !answers("/status") || answers("/accounts") {
		t.Errorf("want /status allowed, and nothing else\n%s", s.log.String())
	}
	if !strings.Contains(s.log.String(), "key=decision_logs line=3") {
		t.Errorf("the log does not tell of decision_logs\n%s", s.log.String())
	}
	write(t, data, `{"open": ["accounts"]}`)
	eventually(t, "the new data is in force", func() bool {
		select {
		case polls <- time.Now():
		case <-time.After(patience):
		}
		return answers("/accounts") && !answers("/status")
	})
	stop()
	s.wantEnd(t)
}
