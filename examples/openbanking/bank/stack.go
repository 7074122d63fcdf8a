package bank

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/countersign-io/countersign/examples/openbanking/collector"
	"github.com/countersign-io/countersign/examples/openbanking/jaeger"
)

// Names of Envoy's listeners.
const (
	MTLS     = "mtls"      // asks for client certificates
	PlainTLS = "plain-tls" // does not
)

// Options say what is started, and what is left out to see that it is missed.
type Options struct {
	// Dir is the run folder.
	Dir string
	// Countersign and Envoy are the programs: paths, or names to be found on PATH.
	Countersign, Envoy string
	// Jaeger is Jaeger's all-in-one program, which then receives the spans; "" leaves
	// them to Stack.Collector.
	Jaeger string

	// Unguarded leaves Countersign out of Envoy's configuration.
	Unguarded bool
	// Silent keeps Countersign from exporting spans.
	Silent bool
	// IssuerDown starts the issuer down, until Stack.RaiseIssuer.
	IssuerDown bool
	// Configure changes countersign.yaml before it is used; nil leaves it.
	Configure func(configuration string) string
	// ConfigureEnvoy changes envoy.yaml before it is used; nil leaves it.
	ConfigureEnvoy func(configuration string) string
}

// Stack is the bank with everything running: issuer, upstream, what receives spans,
// Countersign, and Envoy before them.
type Stack struct {
	Bank     *Bank
	Upstream *Upstream
	// Program is the countersign that runs, absolute.
	Program string
	// Collector receives the spans, or Jaeger does; the other is nil.
	Collector *collector.Collector
	Jaeger    *jaeger.Query
	// Authz is where Countersign answers Envoy: host and port.
	Authz string
	// Admin is the base URL of Countersign's admin port.
	Admin string

	issuer      *outage
	countersign *process
	// launch starts a Countersign; each has the files and ports of the one before.
	launch func() (*process, error)

	listeners map[string]string
	envoy     string // base URL of Envoy's admin port
	settings  Settings
	// stops end what was started; they are called in reverse.
	stops []func() error
}

// Start starts everything and waits until it answers, or until ctx ends. After an
// error nothing is left running; after none, Close stops it all.
func Start(ctx context.Context, options Options) (*Stack, error) {
	bank, err := Open(options.Dir, time.Now())
	if err != nil {
		return nil, err
	}
	s := &Stack{Bank: bank, Upstream: newUpstream()}
	for _, step := range []func(context.Context, Options) error{s.startOwn, s.startSpans, s.startCountersign, s.startEnvoy} {
		if err := step(ctx, options); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// Close stops everything, the last started first. An error tells of a process that
// had ended by itself, or would not end.
func (s *Stack) Close() error {
	var faults []error
	for _, stop := range slices.Backward(s.stops) {
		faults = append(faults, stop())
	}
	s.stops = nil
	return errors.Join(faults...)
}

// Address is where one of Envoy's listeners listens: host and port.
func (s *Stack) Address(listener string) string { return s.listeners[listener] }

// Records is the folder that Countersign records its decisions in.
func (s *Stack) Records() string { return filepath.Join(s.Bank.Dir, "records") }

// startOwn starts the bank's own, which runs in this process: issuer and upstream.
func (s *Stack) startOwn(_ context.Context, options Options) error {
	s.issuer = &outage{next: s.Bank.Issuer}
	s.issuer.down.Store(options.IssuerDown)
	issuer, err := s.serve(s.issuer)
	if err != nil {
		return err
	}
	upstream, err := s.serve(s.Upstream)
	if err != nil {
		return err
	}
	s.settings = Settings{
		Dir:          s.Bank.Dir,
		Issuer:       IssuerName,
		Staff:        StaffName,
		JWKS:         fmt.Sprintf("http://127.0.0.1:%d/jwks.json", issuer),
		UpstreamPort: upstream,
		Unguarded:    options.Unguarded,
	}
	return nil
}

// serve answers HTTP on a free port, and returns it.
func (s *Stack) serve(handler http.Handler) (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("stack: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	s.stops = append(s.stops, func() error {
		fault := server.Close()
		if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
			fault = errors.Join(fault, ended)
		}
		return fault
	})
	return listener.Addr().(*net.TCPAddr).Port, nil
}

func (s *Stack) startCountersign(ctx context.Context, options Options) error {
	var err error
	if s.Program, err = program(options.Countersign); err != nil {
		return err
	}
	if s.settings.AuthzPort, err = freePort(); err != nil {
		return err
	}
	if s.settings.AdminPort, err = freePort(); err != nil {
		return err
	}
	configuration, err := render("countersign.yaml.tmpl", s.settings)
	if err != nil {
		return err
	}
	if options.Configure != nil {
		configuration = options.Configure(configuration)
	}
	path, err := s.Bank.write("countersign.yaml", configuration)
	if err != nil {
		return err
	}
	if s.settings.Metadata, err = s.metadata(ctx, path); err != nil {
		return err
	}
	s.launch = func() (*process, error) {
		return start(s.Bank.Dir, "countersign", s.Program, s.telemetry(options), "serve", "--config", path)
	}
	if s.countersign, err = s.launch(); err != nil {
		return err
	}
	s.stops = append(s.stops, func() error { return s.countersign.stop() })
	s.Authz = fmt.Sprintf("127.0.0.1:%d", s.settings.AuthzPort)
	s.Admin = fmt.Sprintf("http://127.0.0.1:%d", s.settings.AdminPort)
	up := s.Admin + "/readyz"
	if options.IssuerDown {
		up = s.Admin + "/healthz" // without keys it runs, and is not ready
	}
	return s.countersign.await(ctx, func() error { return answersOK(ctx, up) })
}

// metadata has Countersign print the route that tells clients of the API, and lays it out
// for Envoy's configuration.
func (s *Stack) metadata(ctx context.Context, configuration string) (string, error) {
	const margin = "              "
	route, err := exec.CommandContext(ctx, s.Program, "metadata", "--config", configuration, "--envoy").Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return "", fmt.Errorf("countersign metadata: %w\n%s", err, exit.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("countersign metadata: %w", err)
	}
	return margin + strings.ReplaceAll(strings.TrimSpace(string(route)), "\n", "\n"+margin), nil
}

// telemetry is OpenTelemetry's standard configuration, by environment variables.
func (s *Stack) telemetry(options Options) []string {
	environment := []string{"OTEL_METRICS_EXPORTER=none", "OTEL_LOGS_EXPORTER=none", "OTEL_SERVICE_NAME=countersign"}
	if options.Silent {
		return append(environment, "OTEL_TRACES_EXPORTER=none")
	}
	return append(environment,
		"OTEL_TRACES_EXPORTER=otlp",
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
		"OTEL_EXPORTER_OTLP_INSECURE=true",
		fmt.Sprintf("OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:%d", s.settings.SpansPort),
		"OTEL_BSP_SCHEDULE_DELAY=200", // milliseconds, so that nobody waits for spans
	)
}

func (s *Stack) startEnvoy(ctx context.Context, options Options) error {
	program, err := program(options.Envoy)
	if err != nil {
		return err
	}
	configuration, err := render("envoy.yaml.tmpl", s.settings)
	if err != nil {
		return err
	}
	if options.ConfigureEnvoy != nil {
		configuration = options.ConfigureEnvoy(configuration)
	}
	path, err := s.Bank.write("envoy.yaml", configuration)
	if err != nil {
		return err
	}
	// Envoy takes free ports by itself, and tells which.
	admin := filepath.Join(s.Bank.Dir, "envoy.admin")
	if err := os.Remove(admin); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("envoy: %w", err)
	}
	running, err := start(s.Bank.Dir, "envoy", program, nil, "--config-path", path, "--admin-address-path", admin,
		"--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning")
	if err != nil {
		return err
	}
	s.stops = append(s.stops, running.stop)
	return running.await(ctx, func() error {
		address, err := os.ReadFile(admin)
		if err != nil {
			return err
		}
		s.envoy = "http://" + strings.TrimSpace(string(address))
		if err := answersOK(ctx, s.envoy+"/ready"); err != nil {
			return err
		}
		return s.findListeners(ctx)
	})
}

// findListeners asks Envoy on which ports its listeners are.
func (s *Stack) findListeners(ctx context.Context) error {
	body, err := fetch(ctx, s.envoy+"/listeners?format=json")
	if err != nil {
		return err
	}
	var found struct {
		Statuses []struct {
			Name  string `json:"name"`
			Local struct {
				Socket struct {
					Port int `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := json.Unmarshal(body, &found); err != nil {
		return fmt.Errorf("envoy: listeners: %w", err)
	}
	s.listeners = map[string]string{}
	for _, listener := range found.Statuses {
		s.listeners[listener.Name] = fmt.Sprintf("localhost:%d", listener.Local.Socket.Port)
	}
	return nil
}

// await polls until ready returns nil, the process has ended, or ctx has.
func (p *process) await(ctx context.Context, ready func() error) error {
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		fault := ready()
		if fault == nil {
			return nil
		}
		select {
		case <-poll.C:
		case <-p.gone:
			return fmt.Errorf("%s: did not start: %w", p.name, p.err)
		case <-ctx.Done():
			return fmt.Errorf("%s: not ready: %w: %w\n%s", p.name, ctx.Err(), fault, p.tail())
		}
	}
}

func answersOK(ctx context.Context, url string) error {
	_, err := fetch(ctx, url)
	return err
}

// fetch gets what answers 200, at most a megabyte of it.
func fetch(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", url, response.Status)
	}
	return body, err
}

// program is an absolute path, since programs are started in the run folder.
func program(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("stack: %w", err)
	}
	return filepath.Abs(path)
}

// freePort finds a port below those that the system hands out by itself, so that
// nobody takes it between this look and its use.
func freePort() (int, error) {
	var fault error
	for range 100 {
		port := 20000 + rand.IntN(12000)
		var listener net.Listener
		if listener, fault = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); fault == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("stack: no free port: %w", fault)
}
