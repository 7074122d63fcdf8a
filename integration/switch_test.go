package integration

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// clusterPort is the address of Countersign in Envoy's configuration.
var clusterPort = regexp.MustCompile(`(cluster_name: countersign\n(?s:.*?)port_value: )\d+`)

// asForThePlugin is Envoy's configuration as opa-envoy-plugin's documentation has it, for
// whoever answers at that port.
func asForThePlugin(t *testing.T, port int) func(string) string {
	return func(configuration string) string {
		configuration = changed(t, configuration, "{countersign.api: openbanking}", "{team: shop}")
		configuration = changed(t, configuration, "encode_raw_headers: true", "encode_raw_headers: false")
		configuration = changed(t, configuration, "{max_request_bytes: 65536, allow_partial_message: false, pack_as_bytes: true}", "{max_request_bytes: 8192, allow_partial_message: true}")
		return clusterPort.ReplaceAllString(configuration, fmt.Sprintf("${1}%d", port))
	}
}

// inPlaceOfOPA starts Countersign with the files of opa-envoy-plugin alone, as the example
// has them, and returns where it keeps its records.
func inPlaceOfOPA(t *testing.T) (port int, state string) {
	t.Helper()
	found, err := find()
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port = free.Addr().(*net.TCPAddr).Port
	free.Close()
	dir := t.TempDir()
	example := filepath.Join("..", "examples", "opa-envoy-plugin")
	if err := os.CopyFS(dir, os.DirFS(example)); err != nil {
		t.Fatal(err)
	}
	configuration, err := os.ReadFile(filepath.Join(dir, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	moved := changed(t, string(configuration), "127.0.0.1:9191", fmt.Sprintf("127.0.0.1:%d", port))
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(moved), 0o600); err != nil {
		t.Fatal(err)
	}
	serve := exec.Command(found.countersign, "serve", "--opa-config", "config.yaml", "policy.rego", "data.json")
	serve.Dir = dir
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	serve.Stderr = log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		serve.Process.Signal(syscall.SIGTERM)
		if err := serve.Wait(); err != nil {
			text, _ := os.ReadFile(log.Name())
			t.Errorf("countersign: %v\n%s", err, text)
		}
	})
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(longest); ; <-poll.C {
		text, err := os.ReadFile(log.Name())
		switch {
		case err == nil && bytes.Contains(text, []byte("msg=ready")):
			return port, filepath.Join(dir, "state")
		case time.Now().After(end):
			t.Fatalf("countersign is not ready: %v\n%s", err, text)
		}
	}
}

// TestSwitchByAnAddress has an Envoy that is configured as for opa-envoy-plugin ask
// Countersign, started with the plugin's own files, in the plugin's place.
func TestSwitchByAnAddress(t *testing.T) {
	port, state := inPlaceOfOPA(t)
	stack := startBank(t, patient(bank.Options{ConfigureEnvoy: asForThePlugin(t, port)}))
	as := func(user, password string) http.Header {
		request := http.Request{Header: http.Header{}}
		request.SetBasicAuth(user, password)
		return request.Header
	}
	tests := []struct {
		name, path string
		header     http.Header
		status     int
		body       string
	}{
		{"a guest on the page", "/productpage", as("alice", "wonder"), 200, ""},
		{"a guest on the products", "/api/v1/products", as("alice", "wonder"), 403, "not yours"},
		{"an admin on the products", "/api/v1/products", as("bob", "builder"), 200, ""},
		{"a wrong password", "/productpage", as("alice", "guess"), 401, ""},
		{"nobody", "/productpage", http.Header{}, 401, ""},
	}
	for _, test := range tests {
		got := askedAs(t, stack, "", "GET", test.path, "", test.header)
		if got.status != test.status || (got.received.Method != "") != (test.status == 200) || test.body != "" && string(got.body) != test.body {
			t.Errorf("%s: %d %q, and the upstream received %+v, want %d", test.name, got.status, got.body, got.received, test.status)
		}
		if test.status == 401 && got.header.Get("Www-Authenticate") != "Basic realm=shop" {
			t.Errorf("%s: challenged by %q", test.name, got.header.Get("Www-Authenticate"))
		}
	}
	if got := askedAs(t, stack, "", "GET", "/productpage", "", as("alice", "wonder")); got.received.Headers["x-user"] != "alice" {
		t.Errorf("the upstream received %v", got.received.Headers)
	}
	wantRecordsBelow(t, state, len(tests)+1)
}

func wantRecordsBelow(t *testing.T, state string, want int) {
	t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(longest); ; <-poll.C {
		files, err := filepath.Glob(filepath.Join(state, "records", "decisions-*.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got += strings.Count(string(text), `"reason":`)
		}
		if got == want {
			return
		}
		if got > want || time.Now().After(end) {
			t.Fatalf("%d records, want %d", got, want)
		}
	}
}
