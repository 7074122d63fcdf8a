package envoy

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/google/go-cmp/cmp"
)

func TestZeroConfigIsSafe(t *testing.T) {
	got, err := Config{}.normal()
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Listen: "127.0.0.1:9191", ClientAddress: "source",
		Timeout: time.Second, MaxMessageBytes: 4 << 20, MaxConcurrentChecks: 512,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("normal() (-want +got):\n%s", diff)
	}
}

func TestConfigFaultsAreAllFoundAtOnce(t *testing.T) {
	_, err := New(Config{
		Listen: "9191", ClientAddress: "x-forwarded-for", Realm: `a"b`,
		Timeout: -time.Second, MaxMessageBytes: 1, MaxConcurrentChecks: -1,
	}, fakeChecker{})
	var problems authz.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("New() = %v, want authz.Problems", err)
	}
	var keys []string
	for _, problem := range problems {
		keys = append(keys, problem.Key)
		if problem.What == "" || problem.Fix == "" {
			t.Errorf("%s: says %q and %q", problem.Key, problem.What, problem.Fix)
		}
	}
	want := []string{"listen", "client_address", "realm", "timeout", "max_message_bytes", "max_concurrent_checks"}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestConfigLimits(t *testing.T) {
	for name, row := range map[string]struct {
		cfg  Config
		want bool
	}{
		"every interface":               {Config{Listen: ":9191"}, true},
		"IPv6":                          {Config{Listen: "[::1]:9191"}, true},
		"a socket":                      {Config{Listen: "unix:/run/countersign.sock"}, true},
		"the address that Envoy sets":   {Config{ClientAddress: FromEnvoy}, true},
		"a realm":                       {Config{Realm: "Open Banking"}, true},
		"a socket without a path":       {Config{Listen: "unix:"}, false},
		"an abstract socket":            {Config{Listen: "unix:@countersign"}, false},
		"a socket's path too long":      {Config{Listen: "unix:/" + strings.Repeat("a", 107)}, false},
		"a port by name":                {Config{Listen: "localhost:http"}, false},
		"a port beyond the last":        {Config{Listen: "localhost:65536"}, false},
		"a realm with a line break":     {Config{Realm: "a\r\nx: y"}, false},
		"a realm too long":              {Config{Realm: strings.Repeat("a", 129)}, false},
		"a timeout of hours":            {Config{Timeout: time.Hour}, false},
		"messages of a gigabyte":        {Config{MaxMessageBytes: 1 << 30}, false},
		"messages smaller than headers": {Config{MaxMessageBytes: 4096}, false},
		"one check at a time":           {Config{MaxConcurrentChecks: 1}, true},
		"checks without number":         {Config{MaxConcurrentChecks: 1 << 30}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := New(row.cfg, fakeChecker{}); (err == nil) != row.want {
				t.Errorf("New() = %v, want an error: %v", err, !row.want)
			}
		})
	}
}
