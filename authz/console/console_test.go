package console

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign-io/countersign/authz"
)

type fakeChecker struct{ decision authz.Decision }

func (f *fakeChecker) Check(context.Context, *authz.Request) authz.Decision { return f.decision }

// pages are those of a console where all is well.
func pages() Pages {
	return Pages{
		Ready:   func() error { return nil },
		Reloads: NewReloads("r1", time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)),
		Records: NewRecords(func() Recording { return Recording{Written: 5, Free: 3 << 20} }),
		Metrics: prometheus.NewRegistry(),
		Shadow:  func() any { return map[string]int{"others": 3} },
	}
}

func open(t *testing.T, shown Pages) string {
	t.Helper()
	console, err := Listen("127.0.0.1:0", shown)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- console.Serve() }()
	t.Cleanup(func() {
		if err := console.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + console.Addr().String()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestHealth(t *testing.T) {
	var fault error
	shown := pages()
	shown.Ready = func() error { return fault }
	base := open(t, shown)
	const verbose = "revision r1 in force since 2026-11-21T09:00:00Z\n5 records written, 0 wait; 3 MiB of the disk are free\n"
	for _, test := range []struct {
		path   string
		fault  error
		status int
		body   string
	}{
		{"/healthz", nil, 200, "ok\n"},
		{"/healthz", errors.New("no keys"), 200, "ok\n"},
		{"/readyz", nil, 200, "ready\n"},
		{"/readyz", errors.New("no keys"), 503, "no keys\n"},
		{"/readyz?verbose", nil, 200, "ready\n" + verbose},
		{"/readyz?verbose", errors.New("no keys"), 503, "no keys\n" + verbose},
		{"/health", errors.New("no keys"), 200, "ok\n"},
		{"/health?plugins", nil, 200, "ready\n"},
		{"/health?bundles&plugins", errors.New("no keys"), 503, "no keys\n"},
		{"/other", nil, 404, "404 page not found\n"},
	} {
		fault = test.fault
		if status, body := get(t, base+test.path); status != test.status || body != test.body {
			t.Errorf("GET %s with fault %v = %d %q, want %d %q", test.path, test.fault, status, body, test.status, test.body)
		}
	}
}

// TestNamesAreNotAnswered holds that a page whose name was made to point here reads nothing.
func TestNamesAreNotAnswered(t *testing.T) {
	base := open(t, pages())
	for host, want := range map[string]int{
		"localhost": 200, "LocalHost:9192": 200, "127.0.0.1": 200, "127.0.0.1:9192": 200, "[::1]": 200, "[::1]:9192": 200, "10.0.0.7:9192": 200,
		"evil.example": 421, "evil.example:9192": 421, "127.0.0.1.evil.example": 421, "localhost.evil.example:9192": 421, "127.1": 421,
	} {
		for _, path := range []string{"/shadow", "/status", "/metrics", "/readyz?verbose", "/other"} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = host
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			response.Body.Close()
			if (response.StatusCode == 421) != (want == 421) || err != nil || want == 421 && !strings.HasPrefix(string(body), "the console answers to localhost") {
				t.Errorf("GET %s of %s = %d %q, %v; want %d", path, host, response.StatusCode, body, err, want)
			}
		}
	}
}

func TestMetricsCountDecisions(t *testing.T) {
	shown := pages()
	base := open(t, shown)
	fake := &fakeChecker{}
	checker := Checks(fake, shown.Metrics)
	operation := &authz.Operation{ID: "ReadAccount", API: "bank"}
	for _, decision := range []authz.Decision{
		{Allowed: true, Reason: authz.Granted, Operation: operation, Unchecked: []authz.Reason{authz.ReplaysUnavailable}, Observed: []string{"object_malformed", "not_owner:account"}},
		{Reason: authz.PolicyDenied, Verdict: authz.Verdict{Reason: "not_owner"}, Operation: operation},
		{Reason: authz.UnknownPath},
		{Allowed: true, Reason: authz.Granted, Verdict: authz.Verdict{BreakGlass: []string{"INC-1", "INC-2"}}, Operation: operation},
	} {
		fake.decision = decision
		if got := checker.Check(t.Context(), &authz.Request{}); got.Code() != decision.Code() || got.Allowed != decision.Allowed {
			t.Errorf("Check() = %v, want %v unchanged", got, decision)
		}
	}
	_, body := get(t, base+"/metrics")
	for _, line := range []string{
		`countersign_decisions_total{allowed="true",api="bank",operation="ReadAccount",reason="granted"} 2`,
		`countersign_break_glass_total{allowed="true",api="bank",operation="ReadAccount"} 1`,
		`countersign_decisions_total{allowed="false",api="bank",operation="ReadAccount",reason="not_owner"} 1`,
		`countersign_decisions_total{allowed="false",api="",operation="",reason="unknown_path"} 1`,
		`countersign_unchecked_total{api="bank",operation="ReadAccount",reason="replays_unavailable"} 1`,
		`countersign_observed_total{api="bank",operation="ReadAccount",reason="object_malformed"} 1`,
		`countersign_observed_total{api="bank",operation="ReadAccount",reason="not_owner"} 1`,
		`countersign_check_duration_seconds_count{api="bank"} 3`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
}

// TestShadow holds that what is told of a policy that is tried is JSON, and counted.
func TestShadow(t *testing.T) {
	shown := pages()
	count := Trials(shown.Metrics)
	count(&authz.Operation{ID: "ReadAccount", API: "bank"}, "differs")
	base := open(t, shown)
	if status, body := get(t, base+"/shadow"); status != 200 || body != "{\n  \"others\": 3\n}\n" {
		t.Errorf("GET /shadow = %d %q", status, body)
	}
	want := `countersign_shadow_total{api="bank",operation="ReadAccount",outcome="differs"} 1` + "\n"
	if _, body := get(t, base+"/metrics"); !strings.Contains(body, want) {
		t.Errorf("metrics lack %s", want)
	}
}

func TestMetricsTellWhatIsKnownOfRevocations(t *testing.T) {
	shown := pages()
	asOf, lost := time.Time{}, 0
	Revocations(func() (time.Time, int) { return asOf, lost }, shown.Metrics)
	base := open(t, shown)
	if _, body := get(t, base+"/metrics"); !strings.Contains(body, "\ncountersign_revocations_age_seconds +Inf\n") {
		t.Errorf("never known: metrics lack an infinite age:\n%s", body)
	}
	asOf, lost = time.Now().Add(-24*time.Hour), 3
	_, body := get(t, base+"/metrics")
	for _, text := range []string{"\ncountersign_revocations_age_seconds 864", "\ncountersign_revocations_lost 3\n"} {
		if !strings.Contains(body, text) {
			t.Errorf("metrics lack %q:\n%s", text, body)
		}
	}
}

func TestMetricsCountWhatIsShed(t *testing.T) {
	shown := pages()
	shed := uint64(0)
	Shed(func() uint64 { return shed }, shown.Metrics)
	base := open(t, shown)
	for _, shed = range []uint64{0, 7} {
		want := "countersign_checks_shed_total " + strconv.FormatUint(shed, 10) + "\n"
		if _, body := get(t, base+"/metrics"); !strings.Contains(body, want) {
			t.Errorf("metrics lack %s:\n%s", want, body)
		}
	}
}

func TestConsoleIsLoopbackOnly(t *testing.T) {
	for _, address := range []string{"0.0.0.0:9192", ":9192", "192.0.2.1:9192", "127.0.0.1", "example.com:80"} {
		if console, err := Listen(address, pages()); err == nil {
			t.Errorf("Listen(%q) = %v, want a problem", address, console)
		}
	}
	if problems := Check("[::1]:9192"); problems != nil {
		t.Errorf("Check of a loopback address: %v", problems)
	}
	if _, err := Listen("127.0.0.1:-1", pages()); err == nil || !strings.Contains(err.Error(), "admin") {
		t.Errorf("Listen on no port = %v, want a problem of admin", err)
	}
}
