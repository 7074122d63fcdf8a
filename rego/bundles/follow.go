package bundles

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/download"
	"github.com/open-policy-agent/opa/v1/plugins/bundle"

	"github.com/countersign-io/countersign/authz"
)

// Follower asks for the bundles of a configuration, again and again, and says which set
// should be in force. It puts none in force itself, and is safe for concurrent use.
type Follower struct {
	config   Config
	plan     *plan
	store    Store
	news     chan struct{}
	reporter *reporter

	// downloads end with Close.
	downloads []*download.Downloader

	mu     sync.Mutex
	latest map[string]*Bundle
	status map[string]*bundle.Status
	counts map[Count]int
	// inForce is nil until there is one.
	inForce *Set
	since   time.Time
	pin     *Pin
	// unread is why it is not known what is pinned, or nil.
	unread error
	// refusal is of the set that was refused last, or nil.
	refusal *Refusal
	// faults were not taken yet, and failing are the bundles whose last download failed.
	faults  []Fault
	failing map[string]failure
}

// failure is a download that failed.
type failure struct {
	// said is what was told of it.
	said string
	// refusal is nil where the server did not answer.
	refusal *Refusal
}

// Fault is a download that failed.
type Fault struct {
	Bundle string
	// Refused says that the server answered with what is not taken.
	Refused bool
	Because error
}

// Refusal is a set, or one bundle, that was not put in force.
type Refusal struct {
	At      time.Time
	Bundles []authz.Bundle
	Because error
}

// Count is how often something came of a bundle's downloads.
type Count struct {
	// Bundle is the configuration's name, and Result one of the Results.
	Bundle, Result string
}

// snapshotType is how OPA calls a bundle that is no delta.
const snapshotType = "snapshot"

// Results of a download. What is new may be refused once it is compiled with the others.
const (
	New         = "new"
	Unchanged   = "unchanged"
	Unreachable = "unreachable"
	Refused     = "refused"
)

// State is what is known of a configuration's bundles.
type State struct {
	// Set is the one in force, "" until there is one, and Since is when it was put there.
	Set     string
	Since   time.Time
	Bundles []authz.Bundle
	// Pin is nil where none is pinned.
	Pin *Pin
	// Refusal is the last that stands, or nil.
	Refusal *Refusal
	Counts  map[Count]int
	// Asked is when the server last answered, with news or without, by bundle.
	Asked map[string]time.Time
}

// Follow makes a follower that knows what the store has. Nothing is asked of any server
// before Start. Its error is authz.Problems.
func Follow(c Config, store Store) (*Follower, error) {
	p, err := c.plan()
	if err != nil {
		return nil, err
	}
	f := &Follower{config: c, plan: p, store: store, news: make(chan struct{}, 1), latest: map[string]*Bundle{},
		status: map[string]*bundle.Status{}, counts: map[Count]int{}, failing: map[string]failure{}}
	for name := range p.bundles {
		f.status[name] = &bundle.Status{Name: name, Type: snapshotType}
		for _, result := range []string{New, Unchanged, Unreachable, Refused} {
			f.counts[Count{name, result}] = 0
		}
	}
	if f.pin, err = store.Pinned(); err != nil {
		return nil, err
	}
	// What cannot be loaded is downloaded again, and told by who wanted it in force.
	if latest, err := store.Latest(&c); err == nil {
		for _, b := range latest.Bundles {
			f.latest[b.Name] = b
		}
	}
	f.reporter, err = p.reporter()
	return f, err
}

// Begin tells which set is in force from the start.
func (f *Follower) Begin(set *Set, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.enforce(set, now)
}

func (f *Follower) enforce(set *Set, now time.Time) {
	f.inForce, f.since, f.refusal = set, now, nil
	for _, b := range set.Bundles {
		status := f.status[b.Name]
		status.SetError(nil)
		status.LastSuccessfulActivation, status.ActiveRevision = now.UTC(), b.Revision
	}
	f.reporter.report(f.status)
}

func (p *plan) source(name string) *source {
	made := p.bundles[name]
	return &source{name: name, service: p.services[made.Service], keys: p.keys, bundle: made, parser: p.parser}
}

// Start begins to ask. News tells of what comes.
func (f *Follower) Start() error {
	var made []*download.Downloader
	for name, planned := range f.plan.bundles {
		source := f.plan.source(name)
		client, err := source.client()
		if err != nil {
			return fmt.Errorf("bundles: %q: %w", name, err)
		}
		one := download.New(planned.Config, client, planned.Resource).
			WithCallback(func(_ context.Context, update download.Update) error { return f.take(source, update) }).
			WithBundleVerificationConfig(planned.Signing).
			WithSizeLimitBytes(planned.SizeLimitBytes).
			WithBundlePersistence(true).
			WithBundleName(name).
			WithBundleParserOpts(source.parser)
		if begun := f.latest[name]; begun != nil {
			one.SetCache(begun.ETag)
		}
		made = append(made, one)
	}
	f.downloads = made // only what is started can be stopped
	// What was kept may have been refused, and the pin may be another since it was read: the
	// server need not have any news for that.
	f.tell()
	for _, one := range f.downloads {
		one.Start(context.Background())
	}
	return nil
}

// Close ends what Start began.
func (f *Follower) Close() {
	var ends sync.WaitGroup
	for _, one := range f.downloads {
		ends.Go(func() { one.Stop(context.Background()) })
	}
	ends.Wait()
	f.reporter.close()
}

// News has something where Next may be another set, or something was refused.
func (f *Follower) News() <-chan struct{} { return f.news }

func (f *Follower) tell() {
	select {
	case f.news <- struct{}{}:
	default: // what is there is not read yet, and will find this, too
	}
}

// take notes what came of a download. It returns no error: one would only have OPA ask
// again at once.
func (f *Follower) take(source *source, update download.Update) error {
	now := time.Now().UTC()
	got, err := read(source, update)
	if err != nil {
		err = toTell(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	status := f.status[source.name]
	status.LastRequest = now
	result := Unchanged
	switch {
	case err != nil:
		result = f.failed(source.name, err, now)
		status.SetError(err)
	case got != nil:
		result = New
		f.latest[source.name], status.LastSuccessfulDownload, status.Size = got, now, len(got.raw)
		f.tell()
	}
	if err == nil {
		status.LastSuccessfulRequest = now
		f.recovered(source.name)
	}
	f.counts[Count{source.name, result}]++
	return nil
}

// read takes what was downloaded, or is nil where nothing changed. A panic is an error
// like any other.
func read(source *source, update download.Update) (got *Bundle, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			got, err = nil, fmt.Errorf("panic: %v", fault)
		}
	}()
	if update.Error != nil || update.Bundle == nil {
		return nil, update.Error
	}
	raw, err := io.ReadAll(update.Raw)
	if err != nil {
		return nil, err
	}
	return newBundle(source.name, source, update.Bundle, raw, update.ETag)
}

// failed tells servers that do not answer from bundles that are not taken. Either is told
// once, until it is another fault.
func (f *Follower) failed(name string, err error, now time.Time) string {
	var transport *url.Error
	var answered download.HTTPError
	fault := Fault{Bundle: name, Because: fmt.Errorf("bundle %q: %w", name, err)}
	result, said := Unreachable, Unreachable // its text may have a port, which is another each time
	if errors.Is(err, errTooLarge) || !errors.As(err, &transport) && !errors.As(err, &answered) {
		fault.Refused, result, said = true, Refused, err.Error()
	}
	if f.failing[name].said != said {
		now := failure{said, &Refusal{At: now, Bundles: []authz.Bundle{{Name: name}}, Because: fault.Because}}
		if !fault.Refused {
			now.refusal = f.failing[name].refusal // what the server had, it may have still
		}
		f.failing[name] = now
		f.faults = append(f.faults, fault)
		f.reporter.report(f.status)
		f.tell()
	}
	return result
}

// recovered has what is said next of a bundle be told again. What was refused by itself is
// not there any more.
func (f *Follower) recovered(name string) {
	if _, failed := f.failing[name]; failed {
		delete(f.failing, name)
		f.status[name].SetError(nil)
		f.tell()
	}
}

// Faults takes the downloads that failed since it was last called.
func (f *Follower) Faults() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	faults := f.faults
	f.faults = nil
	return faults
}

// PinChanged looks whether something else is pinned than was, or that cannot be read.
func (f *Follower) PinChanged() bool {
	pin, err := f.store.Pinned()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		first := f.unread == nil
		f.unread = err
		return first
	}
	if f.unread == nil && (pin == nil) == (f.pin == nil) && (pin == nil || *pin == *f.pin) {
		return false
	}
	f.pin, f.unread = pin, nil
	return true
}

// Next is the set that should be in force: the one that is pinned, else what was
// downloaded last, once there is something of each bundle, else the one that is, or nil.
// With an error it may be a set, too, which must not be used.
func (f *Follower) Next() (*Set, error) {
	f.mu.Lock()
	pin, unread, inForce, complete := f.pin, f.unread, f.inForce, len(f.latest) == len(f.plan.bundles)
	f.mu.Unlock()
	switch {
	case unread != nil:
		return nil, unread // nothing is put in force that may not be
	case pin != nil && inForce != nil && inForce.ID == pin.Set:
		return inForce, nil
	case pin != nil:
		return f.store.Load(&f.config, pin.Set)
	case !complete:
		return inForce, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return newSet(f.latest)
}

// InForce is the set that was put in force last, or nil.
func (f *Follower) InForce() *Set {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.inForce
}

// Activated tells that a set is in force now, and keeps it. An error is of keeping it:
// a restart would begin with an older one.
func (f *Follower) Activated(set *Set, now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	pinned := f.pin != nil && f.pin.Set == set.ID
	f.enforce(set, now)
	if pinned {
		return nil // it is kept, and is not the latest
	}
	return f.store.Keep(set, now)
}

// Refused tells that a set was not put in force.
func (f *Follower) Refused(set *Set, because error, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refusal = &Refusal{At: now, Bundles: set.Names(), Because: because}
	for _, b := range f.refusal.Bundles {
		f.status[b.Name].SetError(because)
		f.counts[Count{b.Name, Refused}]++
	}
	f.reporter.report(f.status)
}

// Held tells that what is in force is what should be: no set is refused any more.
func (f *Follower) Held() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refusal = nil
}

// lastRefusal is the last that stands, of a set or of a bundle that its server still has.
func (f *Follower) lastRefusal() *Refusal {
	last := f.refusal
	for _, each := range f.failing {
		if each.refusal != nil && (last == nil || each.refusal.At.After(last.At)) {
			last = each.refusal
		}
	}
	return last
}

// State tells how the bundles stand.
func (f *Follower) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	state := State{Since: f.since, Bundles: f.inForce.Names(), Counts: map[Count]int{}, Asked: map[string]time.Time{}}
	if f.inForce != nil {
		state.Set = f.inForce.ID
	}
	if f.pin != nil {
		pin := *f.pin
		state.Pin = &pin
	}
	if last := f.lastRefusal(); last != nil {
		refusal := *last
		refusal.Bundles = slices.Clone(refusal.Bundles)
		state.Refusal = &refusal
	}
	for count, times := range f.counts {
		state.Counts[count] = times
	}
	for name, status := range f.status {
		state.Asked[name] = status.LastSuccessfulRequest
	}
	return state
}
