package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"time"

	"github.com/countersign-io/countersign/authz/console"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
)

// pollEvery is how often files are looked at.
const pollEvery = time.Second

// errMoving is a reload that has to wait: what was read may be half of one change and
// half of the next.
var errMoving = errors.New("files changed while they were read")

// reloader puts what changed in force, whole or not at all. It belongs to one
// goroutine.
type reloader struct {
	from    origin
	world   world
	system  *wire.System
	reloads *console.Reloads
	log     *slog.Logger
	watch   watcher
	// refused is the set of bundles that was refused last, under the configuration in force.
	refused string
}

// start runs the reloader until ctx ends. stop ends it, and waits for a reload under
// way: that uses what is closed next.
func (r *reloader) start(ctx context.Context, hangups <-chan os.Signal) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ticker := time.NewTicker(pollEvery)
	polls := r.world.polls
	if polls == nil {
		polls = ticker.C
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.run(ctx, hangups, polls)
	}()
	return func() {
		cancel()
		ticker.Stop()
		<-stopped
	}
}

// run reloads on each hang-up at once, and on each poll that finds the files changed
// and at rest, until ctx ends.
func (r *reloader) run(ctx context.Context, hangups <-chan os.Signal, polls <-chan time.Time) {
	var news <-chan struct{}
	if follower := r.system.Bundles(); follower != nil {
		news = follower.News()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			r.reload("SIGHUP")
		case <-news:
			r.follow("bundles downloaded")
		case <-polls:
			if r.watch.settled() {
				r.reload("files changed")
			}
			if follower := r.system.Bundles(); follower != nil && follower.PinChanged() {
				r.follow("pin changed")
			}
		}
	}
}

func (r *reloader) reload(because string) {
	next, cfg, err := r.prepare()
	now := time.Now()
	switch before := r.reloads.Revision(); {
	case errors.Is(err, errMoving):
		r.log.Info("reload waits", "because", err)
		return
	case err != nil:
		r.reloads.Refused(err, now)
		r.log.Error("reload refused", "on", because, "in_force", before, "because", err)
		return
	case next.Revision() != before:
		r.log.Info("reloaded", "on", because, "revision", next.Revision(), "before", before)
		tellLeniencies(cfg, r.log)
		tellObserved(next.Contracts(), r.log)
		tellShadow(cfg, next.Candidate(), r.log)
		tellNetwork(cfg, r.log)
	default:
		r.log.Info("reloaded, nothing changed", "on", because, "revision", before)
	}
	r.system.PutInForce(next)
	r.reloads.Loaded(next.Revision(), now)
	r.system.ReadKeyFiles()
	if r.system.Bundles() != nil && r.refused != "" {
		r.refused = ""
		r.follow(because)
	}
}

// prepare reads everything anew, and gives what it read beside what came of it. A panic
// is an error like any other: what an operator wrote must not end a process that is
// deciding.
func (r *reloader) prepare() (next *wire.Next, cfg *config.Config, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			next, cfg, err = nil, nil, fmt.Errorf("reload: panic: %v", fault)
		}
	}()
	cfg, watch, faults := r.from.read(r.world)
	r.watch.names, r.watch.taken = watch.names, watch.taken
	next, err = r.judge(cfg, faults)
	if !look(watch.names...).same(watch.taken) {
		return nil, nil, errMoving
	}
	return next, cfg, err
}

// judge makes a snapshot of a configuration without faults, and finds all there are.
func (r *reloader) judge(cfg *config.Config, faults error) (*wire.Next, error) {
	if cfg == nil || !cfg.Readable() {
		return nil, faults
	}
	next, err := r.system.Prepare(cfg)
	if faults != nil {
		return nil, wire.Merge(faults, err)
	}
	return next, err
}

// origin is where a configuration is read from: a file of ours, or, where peer has one,
// of OPA's.
type origin struct {
	file string
	peer config.Peer
}

func (o origin) load(w world) (*config.Config, error) {
	if o.peer.File != "" {
		return config.LoadPeer(o.peer, w.environ)
	}
	return config.Load(o.file, w.environ)
}

// read reads a configuration, and looks at it and at all that it names before they are
// read, so that no later change goes unnoticed. cfg and its faults are as those of
// config.Load.
func (o origin) read(w world) (cfg *config.Config, watch watcher, faults error) {
	file := cmp.Or(o.peer.File, o.file)
	watch = watcher{names: []string{file}, taken: look(file)}
	cfg, faults = o.load(w)
	if cfg != nil {
		before := watch.taken
		watch.names = cfg.Files()
		watch.taken = look(watch.names...)
		maps.Copy(watch.taken, before)
	}
	return cfg, watch, faults
}
