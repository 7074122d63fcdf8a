package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit"
	"github.com/countersign-io/countersign/authz/console"
	"github.com/countersign-io/countersign/authz/contract"
	"github.com/countersign-io/countersign/authz/replay"
	"github.com/countersign-io/countersign/authz/shadow"
	"github.com/countersign-io/countersign/authz/trace"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
	"github.com/countersign-io/countersign/envoy"
	"github.com/countersign-io/countersign/rego/bundles"
)

const (
	// drainTime is how long calls under way are waited for on SIGTERM.
	drainTime = 10 * time.Second
	// readyEvery is how often it is looked at whether requests can be decided.
	readyEvery = 100 * time.Millisecond
)

// serve answers Envoy until ctx ends, then drains.
func serve(ctx context.Context, args []string, w world) error {
	from, err := originOf(args, w)
	if err != nil {
		return err
	}
	hangups := make(chan os.Signal, 1) // one that comes during another's reload is kept
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	log := slog.New(slog.NewTextHandler(w.stderr, nil))
	cfg, watch, faults := from.read(w)
	loaded, err := open(cfg, faults, wire.Load)
	if err != nil {
		return err
	}
	tracing, err := trace.Open(ctx)
	if err != nil {
		return errors.Join(err, loaded.Close())
	}
	system, err := loaded.Start(tracing.Tracer(), log)
	if err != nil {
		return errors.Join(err, tracing.Close(ctx))
	}
	tellLeniencies(cfg, log)
	tellObserved(loaded.Contracts, log)
	tellShadow(cfg, system.Candidate, log)
	tellNetwork(cfg, log)
	for _, key := range cfg.Unheeded() {
		log.Warn("a key of OPA's configuration is not heeded", "key", key.Key, "line", key.Line, "because", key.Because)
	}
	r := &reloader{from: from, world: w, system: system, log: log, watch: watch,
		reloads: console.NewReloads(system.Revision, time.Now())}
	if fault := system.Fault; fault != nil && !errors.Is(fault, bundles.ErrNone) {
		r.reloads.BundlesRefused(fault, time.Now())
	}
	err = answer(ctx, r, tracing, hangups)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	return errors.Join(err, tracing.Close(closing), system.Close())
}

// originOf is what serve's arguments name. With --opa-config it takes what opa run does:
// the files of the policy.
func originOf(args []string, w world) (origin, error) {
	from := origin{}
	rest, err := operands("serve", "answer Envoy's ext_authz calls", args, w, func(f *flag.FlagSet) {
		f.StringVar(&from.file, "config", "countersign.yaml", "the configuration")
		peerFlags(f, &from.peer)
		f.StringVar(&from.peer.Admin, "admin", "", "with --opa-config: a loopback `address` for health and metrics, such as 127.0.0.1:8282 (default none)")
	})
	switch {
	case err != nil:
		return origin{}, err
	case from.peer.File == "" && from.peer.Set():
		fmt.Fprintln(w.stderr, "countersign serve: takes --state, --admin, --allow and --v0-compatible only with --opa-config: a configuration says it")
		return origin{}, errArguments
	case from.peer.File == "" && len(rest) > 0:
		fmt.Fprintf(w.stderr, "countersign serve: %q is no argument; see countersign serve --help\n", rest[0])
		return origin{}, errArguments
	}
	from.peer.Policies = rest
	return from, nil
}

// peerFlags are of what stands in for a configuration where opa-envoy-plugin's is used.
func peerFlags(f *flag.FlagSet, peer *config.Peer) {
	f.StringVar(&peer.File, "opa-config", "", "OPA's configuration for opa-envoy-plugin instead, a `file`; the files of the policy follow")
	f.StringVar(&peer.State, "state", "", "with --opa-config: a `folder` of Countersign's own (default state)")
	f.Func("allow", "with --opa-config: a `list` of built-ins by which the policy may ask the network: http.send, net.lookup_ip_addr", func(list string) error {
		peer.Allow = strings.Split(list, ",")
		return nil
	})
	f.BoolVar(&peer.V0, "v0-compatible", false, "with --opa-config: the policy is Rego v0, as OPA took it before 1.0")
}

// tellLeniencies has the log say what issuers' tokens are forgiven, so that none of it is
// forgotten.
func tellLeniencies(cfg *config.Config, log *slog.Logger) {
	for _, each := range cfg.Leniencies() {
		log.Warn("an issuer is shown leniency", "issuer", each.Issuer, "takes", each.Takes)
	}
}

// tellObserved has the log say which checks refuse nothing, so that none of them is
// forgotten.
func tellObserved(contracts *contract.Contracts, log *slog.Logger) {
	for _, each := range wire.ObservedBy(contracts) {
		log.Warn("checks are only observed: what fails refuses nothing", "api", each.API, "operations", len(each.Operations), "checks", each.Checks)
	}
}

// tellShadow has the log say which policy is tried, or that what is named is in force.
func tellShadow(cfg *config.Config, candidate *authz.Candidate, log *slog.Logger) {
	switch {
	case candidate != nil:
		log.Info("a policy is tried beside the one in force", "path", cfg.Policy.Shadow.Path, "candidate", candidate.Digest)
	case cfg.Policy.Shadow != nil:
		log.Info("policy.shadow is the policy in force: nothing is tried", "path", cfg.Policy.Shadow.Path)
	}
}

// tellNetwork has the log say which policies may ask others.
func tellNetwork(cfg *config.Config, log *slog.Logger) {
	for _, each := range cfg.Network() {
		log.Warn("a policy may ask the network", "api", each.API, "by", each.Builtins, "of", each.Whom())
	}
}

// answer runs the listeners and reloads until ctx ends or a listener fails.
func answer(ctx context.Context, r *reloader, tracing *trace.Provider, hangups <-chan os.Signal) error {
	system, log := r.system, r.log
	registry := prometheus.NewRegistry()
	records := console.NewRecords(func() console.Recording { return console.Recording(system.Records()) })
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), r.reloads, records)
	told := bundlesTold(system.Bundles())
	if told != nil {
		registry.MustRegister(told)
	}
	count := console.Trials(registry)
	trials := system.Trials(func(operation *authz.Operation, result shadow.Result) { count(operation, string(result)) })
	checker := trace.Checks(console.Checks(console.TellBreakGlass(system.Pipeline, log), registry), tracing.Tracer())
	server, err := envoy.New(system.Config.Server, checker)
	if err != nil {
		return err
	}
	console.Shed(server.Shed, registry)
	console.Revocations(func() (time.Time, int) { state := system.Revocations(); return state.AsOf, state.Lost }, registry)
	if err := server.Listen(); err != nil {
		return located(system, err)
	}
	failed := make(chan error, 2)
	operator, err := listenConsole(system, console.Pages{Ready: system.Ready, Reloads: r.reloads, Records: records, Bundles: told, Metrics: registry, Shadow: func() any { return trials.Report() }})
	if err != nil {
		return errors.Join(err, drain(ctx, server, nil))
	}
	if operator != nil {
		go func() { failed <- operator.Serve() }()
		log.Info("console", "address", operator.Addr())
	}
	go func() { failed <- server.Serve() }()
	log.Info("serving", "address", server.Addr(), "revision", system.Revision, "fips140", fipsMode())
	go tellHealth(ctx, system, server, log)
	stopReloads := r.start(ctx, hangups)
	select {
	case <-ctx.Done():
		log.Info("draining", "at_most", drainTime)
	case err = <-failed:
	}
	err = errors.Join(err, drain(context.WithoutCancel(ctx), server, operator))
	stopReloads()
	return err
}

func listenConsole(system *wire.System, pages console.Pages) (*console.Console, error) {
	admin := system.Config.Admin
	if admin == "" {
		return nil, nil
	}
	operator, err := console.Listen(admin, pages)
	return operator, located(system, err)
}

// located gives problems the configuration's file and lines.
func located(system *wire.System, err error) error {
	var problems authz.Problems
	if errors.As(err, &problems) {
		return system.Config.Locate("", problems)
	}
	return err
}

// tellHealth reports SERVING once every request can be decided, and as long as decisions
// can be recorded. Otherwise health says NOT_SERVING, and a check that needs what is
// missing is told 503.
func tellHealth(ctx context.Context, system *wire.System, server *envoy.Server, log *slog.Logger) {
	ticker := time.NewTicker(readyEvery)
	defer ticker.Stop()
	c := condition{system: system}
	for {
		if changed, because := c.look(); changed && because == nil {
			server.SetServing(true)
			log.Info("ready")
		} else if changed {
			server.SetServing(false)
			log.Warn("not ready", "because", because)
		}
		c.tellReserve(system.Records(), log)
		c.tellRevocations(system.Revocations(), log)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// condition is what was last told of a system.
type condition struct {
	system *wire.System
	// looked is set by the first look, decides once every request could be decided.
	looked, decides, serving bool
	// low says that the disk's reserve is reached.
	low bool
	// learned and lost are how many revocations were told of, stale that they are not read.
	learned, lost int
	stale         bool
}

// staleAfter is how old what is known of revocations is when that is told.
const staleAfter = 5 * time.Second

// tellRevocations tells when tokens were revoked, which is all that is known here of who
// did it, when that can no longer be read, and when it was lost.
func (c *condition) tellRevocations(state replay.State, log *slog.Logger) {
	if state.Learned > c.learned {
		log.Info("tokens are revoked", "revocations", state.Learned-c.learned)
	}
	if state.Lost > c.lost {
		log.Warn("revocations are lost to who starts anew: the store has them no more; revoke again", "revocations", state.Lost)
	}
	stale := state.Fault != nil && time.Since(state.AsOf) > staleAfter
	switch {
	case stale && !c.stale:
		log.Warn("what is revoked cannot be read; what was known stays in force", "as_of", state.AsOf, "because", state.Fault)
	case !stale && c.stale:
		log.Info("what is revoked can be read again")
	}
	c.learned, c.lost, c.stale = state.Learned, state.Lost, stale
}

// tellReserve tells when the disk's reserve is reached, at the start too, and when there
// is more again.
func (c *condition) tellReserve(records audit.State, log *slog.Logger) {
	switch {
	case records.Low && !c.low:
		log.Warn("less of the disk is free than the reserve: inputs, and refusals before authentication, are not written", "free_bytes", records.Free)
	case !records.Low && c.low:
		log.Info("more of the disk is free than the reserve", "free_bytes", records.Free)
	}
	c.low = records.Low
}

// look says whether health has changed since the last look, and why it is not good. That
// the keys of one issuer are too old later is not everybody's outage.
func (c *condition) look() (changed bool, because error) {
	because = c.system.Ready()
	c.decides = c.decides || because == nil
	if c.decides {
		because = c.system.Records().Fault
	}
	changed = !c.looked || c.serving != (because == nil)
	c.looked, c.serving = true, because == nil
	return changed, because
}

// drain reports NOT_SERVING, lets calls under way end, and closes the listeners.
func drain(ctx context.Context, server *envoy.Server, operator *console.Console) error {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	err := server.Drain(ctx)
	if operator != nil {
		err = errors.Join(err, operator.Close(ctx))
	}
	return err
}
