package console

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// How a reload can end, as the label result.
const (
	loaded    = "loaded"
	unchanged = "unchanged"
	refused   = "refused"
)

var (
	failedMetric = prometheus.NewDesc("countersign_reload_failed",
		"1 where the last reload was refused, and the last good snapshot is in force.", nil, nil)
	reloadsMetric = prometheus.NewDesc("countersign_reloads_total", "Reloads by how they ended.", []string{"result"}, nil)
	infoMetric    = prometheus.NewDesc("countersign_snapshot_info", "1 for the revision in force.", []string{"revision"}, nil)
)

// Reloads is what the operator is told of the snapshot in force, and of the last
// attempt to replace it:
//
//	countersign_reload_failed
//	countersign_reloads_total{result}
//	countersign_snapshot_info{revision}
//
// It is safe for concurrent use, and all that it tells at one time belongs together.
type Reloads struct {
	mu       sync.Mutex
	revision string
	since    time.Time
	results  map[string]int
	// files is the last reload of configuration and files, and bundles that of bundles: a good
	// one of either says nothing of the other.
	files, bundles refusal
}

// refusal is why something was not put in force, and when; its zero value is none.
type refusal struct {
	fault error
	at    time.Time
}

var _ prometheus.Collector = (*Reloads)(nil)

// NewReloads tells of the first snapshot. revision is "" where there is none yet.
func NewReloads(revision string, since time.Time) *Reloads {
	return &Reloads{revision: revision, since: since, results: map[string]int{loaded: 0, unchanged: 0, refused: 0}}
}

// Loaded tells that a reload was good. Where the revision is the one in force, nothing
// had changed, and it stays in force since it was put there.
func (r *Reloads) Loaded(revision string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files = refusal{}
	r.load(revision, at)
}

// BundlesLoaded is Loaded where what changed are bundles.
func (r *Reloads) BundlesLoaded(revision string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bundles = refusal{}
	r.load(revision, at)
}

func (r *Reloads) load(revision string, at time.Time) {
	if revision == r.revision {
		r.results[unchanged]++
		return
	}
	r.results[loaded]++
	r.revision, r.since = revision, at
}

// Refused tells that a reload was refused, and why.
func (r *Reloads) Refused(fault error, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results[refused]++
	r.files = refusal{fault, at}
}

// BundlesRefused is Refused where what is refused are bundles.
func (r *Reloads) BundlesRefused(fault error, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results[refused]++
	r.bundles = refusal{fault, at}
}

// BundlesHeld tells that bundles are in force as they should be, and none is refused any
// more.
func (r *Reloads) BundlesHeld() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bundles = refusal{}
}

// refusal is what was not put in force, both where it is both.
func (r *Reloads) refusal() refusal {
	last := r.files
	if r.bundles.at.After(last.at) {
		last.at = r.bundles.at
	}
	last.fault = errors.Join(r.files.fault, r.bundles.fault)
	return last
}

// Revision is the one in force.
func (r *Reloads) Revision() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.revision
}

// Describe implements prometheus.Collector.
func (r *Reloads) Describe(into chan<- *prometheus.Desc) {
	into <- failedMetric
	into <- reloadsMetric
	into <- infoMetric
}

// Collect implements prometheus.Collector.
func (r *Reloads) Collect(into chan<- prometheus.Metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	failed := 0.0
	if r.refusal().fault != nil {
		failed = 1
	}
	into <- prometheus.MustNewConstMetric(failedMetric, prometheus.GaugeValue, failed)
	for result, count := range r.results {
		into <- prometheus.MustNewConstMetric(reloadsMetric, prometheus.CounterValue, float64(count), result)
	}
	if r.revision != "" {
		into <- prometheus.MustNewConstMetric(infoMetric, prometheus.GaugeValue, 1, r.revision)
	}
}

// tell writes what is in force, and why the last reload was refused where it was.
func (r *Reloads) tell(w io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.revision == "" {
		fmt.Fprintln(w, "no revision is in force yet")
	} else {
		fmt.Fprintf(w, "revision %s in force since %s\n", r.revision, r.since.UTC().Format(time.RFC3339))
	}
	if last := r.refusal(); last.fault != nil {
		fmt.Fprintf(w, "the last reload was refused at %s:\n%v\n", last.at.UTC().Format(time.RFC3339), brief(last.fault.Error()))
	}
}
