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

	"github.com/countersign-io/countersign/rego/bundles/bundlestest"
)

// TestServeInPlaceOfOPA starts with the files of opa-envoy-plugin alone, answers by its
// policy and data, tells which keys are not heeded, and reloads.
func TestServeInPlaceOfOPA(t *testing.T) {
	dir := t.TempDir()
	configuration, policy, data := filepath.Join(dir, "config.yaml"), filepath.Join(dir, "policy.rego"), filepath.Join(dir, "data.json")
	write(t, configuration, "plugins:\n  envoy_ext_authz_grpc: {addr: '127.0.0.1:0'}\ndecision_logs: {console: true}\n")
	write(t, policy, "package envoy.authz\n\ndefault allow := false\n\nallow if input.parsed_path[0] in data.open\n")
	write(t, data, `{"open": ["status"]}`)
	s := serveInPlaceOfOPA(t, filepath.Join(dir, "state"), configuration, policy, data)
	if !s.answers(t, "/status") || s.answers(t, "/accounts") {
		t.Errorf("want /status allowed, and nothing else\n%s", s.log.String())
	}
	if !strings.Contains(s.log.String(), "key=decision_logs line=3") {
		t.Errorf("the log does not tell of decision_logs\n%s", s.log.String())
	}
	write(t, data, `{"open": ["accounts"]}`)
	eventually(t, "the new data is in force", func() bool {
		select {
		case s.polls <- time.Now():
		case <-time.After(patience):
		}
		return s.answers(t, "/accounts") && !s.answers(t, "/status")
	})
	s.stop()
	s.wantEnd(t)
}

// inPlaceOfOPA is a countersign that serves by OPA's configuration.
type inPlaceOfOPA struct {
	*served
	polls chan time.Time
	stop  context.CancelFunc
}

func serveInPlaceOfOPA(t *testing.T, state, configuration string, policies ...string) *inPlaceOfOPA {
	t.Helper()
	ctx, stop := contextOf(t)
	s := &inPlaceOfOPA{served: &served{exit: make(chan int, 1)}, polls: make(chan time.Time), stop: stop}
	args := append([]string{"serve", "--opa-config", configuration, "--state", state}, policies...)
	go func() {
		s.exit <- run(ctx, args, world{environ: os.LookupEnv, stdout: &s.log, stderr: &s.log, polls: s.polls})
	}()
	address := regexp.MustCompile(`msg=serving address=(\S+)`)
	eventually(t, "it serves", func() bool { return address.MatchString(s.log.String()) })
	connection, err := grpc.NewClient(address.FindStringSubmatch(s.log.String())[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	s.connection = connection
	return s
}

func (s *inPlaceOfOPA) answers(t *testing.T, path string) bool {
	t.Helper()
	check := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{Method: "GET", Host: "a.example", Path: path},
	}}}
	response, err := authv3.NewAuthorizationClient(s.connection).Check(t.Context(), check)
	if err != nil {
		t.Fatal(err)
	}
	return response.GetStatus().GetCode() == 0
}

// TestServeBundlesInPlaceOfOPA takes the bundles of OPA's own configuration, follows them,
// and starts again without their server.
func TestServeBundlesInPlaceOfOPA(t *testing.T) {
	dir, server, key := t.TempDir(), bundlestest.Serve(t), bundlestest.NewKey(t, "release")
	configuration, state := filepath.Join(dir, "config.yaml"), filepath.Join(dir, "state")
	write(t, configuration, `
services: [{name: policies, url: "`+server.URL+`"}]
keys: {release: {key: "`+strings.ReplaceAll(key.Public, "\n", `\n`)+`", algorithm: ES256}}
bundles: {authz: {resource: authz.tar.gz, signing: {keyid: release}, polling: {min_delay_seconds: 1, max_delay_seconds: 1}}}
status: {console: true}
plugins: {envoy_ext_authz_grpc: {addr: "127.0.0.1:0"}}
`)
	put := func(revision, open string) {
		server.Put("authz.tar.gz", bundlestest.Bundle{Revision: revision, By: key, Files: map[string]string{
			"/policy.rego": "package envoy.authz\n\ndefault allow := false\n\nallow if input.parsed_path[0] in data.open\n", "/open/data.json": `["` + open + `"]`}}.Build(t))
	}
	put("v1", "status")
	s := serveInPlaceOfOPA(t, state, configuration)
	eventually(t, "the bundle decides", func() bool { return s.answers(t, "/status") && !s.answers(t, "/accounts") })
	put("v2", "accounts")
	eventually(t, "the next one decides", func() bool { return s.answers(t, "/accounts") && !s.answers(t, "/status") })
	if !strings.Contains(s.log.String(), "key=status.console line=5") {
		t.Errorf("the log does not tell of status.console\n%s", s.log.String())
	}
	s.stop()
	s.wantEnd(t)
	server.Kill()
	again := serveInPlaceOfOPA(t, state, configuration)
	eventually(t, "what was kept decides", func() bool { return again.answers(t, "/accounts") && !again.answers(t, "/status") })
	again.stop()
	again.wantEnd(t)
}

// TestServeBundlesOfRegoV0 takes what OPA before 1.0 took, annotations that are none
// included, as it is downloaded and as it was kept.
func TestServeBundlesOfRegoV0(t *testing.T) {
	dir, server := t.TempDir(), bundlestest.Serve(t)
	configuration, state := filepath.Join(dir, "config.yaml"), filepath.Join(dir, "state")
	write(t, configuration, `
services: {policies: {url: "`+server.URL+`"}}
bundles: {authz: {resource: authz.tar.gz, polling: {min_delay_seconds: 1, max_delay_seconds: 1}}}
plugins: {envoy_ext_authz_grpc: {addr: "127.0.0.1:0"}}
`)
	server.Put("authz.tar.gz", bundlestest.Bundle{Revision: "v1", Files: map[string]string{
		"/policy.rego": "package envoy.authz\n\ndefault allow = false\n\n# METADATA\n# - no annotation\nallow { input.parsed_path[0] == \"status\" }\n"}}.Build(t))
	s := serveInPlaceOfOPA(t, state, configuration, "--v0-compatible")
	eventually(t, "the bundle decides", func() bool { return s.answers(t, "/status") && !s.answers(t, "/accounts") })
	s.stop()
	s.wantEnd(t)
	server.Kill()
	again := serveInPlaceOfOPA(t, state, configuration, "--v0-compatible")
	eventually(t, "what was kept decides", func() bool { return again.answers(t, "/status") && !again.answers(t, "/accounts") })
	again.stop()
	again.wantEnd(t)
}
