// Package console is the operator's HTTP: liveness, readiness and metrics, on a
// loopback address.
//
// It shows and counts; nothing of it changes a decision, and nothing that it shows
// names a person.
package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/countersign-io/countersign/authz"
)

// Console serves /healthz, /readyz, /status, /metrics, /shadow, and OPA's /health.
type Console struct {
	listener net.Listener
	server   *http.Server
}

// Pages are what a console tells of.
type Pages struct {
	// Ready says why requests cannot be decided, or nil.
	Ready func() error
	// Reloads and Records tell what requests are decided by, and how the record of
	// decisions stands. /readyz tells of them where it is asked to: /readyz?verbose. A
	// reload that was refused is no reason not to be ready.
	Reloads *Reloads
	Records *Records
	// Bundles may be nil, where the policy is none.
	Bundles *Bundles
	// Metrics are those of /metrics.
	Metrics *prometheus.Registry
	// Shadow is what /shadow tells, as JSON, of a policy that is tried.
	Shadow func() any
}

// Listen opens the console at a loopback address. Its error is authz.Problems with the
// key "admin".
func Listen(address string, pages Pages) (*Console, error) {
	if problems := Check(address); problems != nil {
		return nil, problems
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, authz.Problems{{Key: "admin", What: "cannot be listened on: " + err.Error(), Fix: "choose a free port"}}
	}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	routes.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		answerReady(w, pages.Ready())
		if r.URL.Query().Has("verbose") {
			pages.Reloads.tell(w)
			pages.Bundles.tell(w)
			pages.Records.tell(w)
		}
	})
	// OPA's own: whoever asks for its plugins or bundles asks whether it can decide.
	routes.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		if query.Has("plugins") || query.Has("plugin") || query.Has("bundles") || query.Has("bundle") {
			answerReady(w, pages.Ready())
			return
		}
		fmt.Fprintln(w, "ok")
	})
	routes.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(pages.status()) // who asked is gone
	})
	routes.Handle("GET /metrics", promhttp.HandlerFor(pages.Metrics, promhttp.HandlerOpts{}))
	routes.HandleFunc("GET /shadow", tellShadow(pages.Shadow))
	return &Console{
		listener: listener,
		server:   &http.Server{Handler: addressed(routes), ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10},
	}, nil
}

// addressed answers what was sent to localhost or an address. A page in a browser on this
// machine can have its own name point here, and would read what is told; it cannot do so
// with an address.
func addressed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isAddress(r.Host) {
			http.Error(w, "the console answers to localhost and to addresses only", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isAddress reports a Host that no name but localhost is in, with or without a port.
func isAddress(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.EqualFold(host, "localhost") || net.ParseIP(host) != nil
}

// Check says what is wrong with a console's address without opening it.
func Check(address string) authz.Problems {
	if what := notLoopback(address); what != "" {
		return authz.Problems{{Key: "admin", What: what, Fix: "use 127.0.0.1 and a port: the console asks nobody who they are"}}
	}
	return nil
}

// Addr is where the console listens.
func (c *Console) Addr() net.Addr { return c.listener.Addr() }

// Serve answers until Close; it returns nil then.
func (c *Console) Serve() error {
	if err := c.server.Serve(c.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("console: %w", err)
	}
	return nil
}

// Close ends Serve once requests under way are answered, or ctx ends.
func (c *Console) Close(ctx context.Context) error { return c.server.Shutdown(ctx) }

func answerReady(w http.ResponseWriter, fault error) {
	if fault != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, fault)
		return
	}
	fmt.Fprintln(w, "ready")
}

// notLoopback says why an address is not one of this machine only, or "".
func notLoopback(address string) string {
	host, port, err := net.SplitHostPort(address)
	_, portErr := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || portErr != nil:
		return "is no address with a port"
	case host != "localhost" && !net.ParseIP(host).IsLoopback():
		return "is not a loopback address"
	}
	return ""
}
