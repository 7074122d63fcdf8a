package console

import (
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign-io/countersign/authz"
)

var (
	downloadsMetric = prometheus.NewDesc("countersign_bundle_downloads_total",
		"Downloads of bundles by what came of them: new, unchanged, unreachable, refused.", []string{"bundle", "result"}, nil)
	askedMetric = prometheus.NewDesc("countersign_bundle_success_timestamp_seconds",
		"When a bundle's server last answered with a bundle that was taken, or that nothing is new.", []string{"bundle"}, nil)
	bundlesMetric = prometheus.NewDesc("countersign_bundle_info", "1 for each bundle in force.", []string{"bundle", "revision", "signer"}, nil)
	pinnedMetric  = prometheus.NewDesc("countersign_policy_pinned", "1 where what is downloaded is not put in force, since another is pinned.", nil, nil)
)

// Bundling is how the bundles that are the policy stand.
type Bundling struct {
	// Set is the id of those in force, "" until there are some.
	Set     string
	Since   time.Time
	Bundles []authz.Bundle
	// Pinned is the set that stays whatever is downloaded, or "".
	Pinned      string
	PinnedSince time.Time
	// Downloads are how often something came of one.
	Downloads []Downloads
	// Asked is when its server last answered, by bundle.
	Asked map[string]time.Time
}

// Downloads are how often Result came of a bundle's.
type Downloads struct {
	Bundle, Result string
	Count          int
}

// Bundles is what the operator is told of them:
//
//	countersign_bundle_downloads_total{bundle, result}
//	countersign_bundle_success_timestamp_seconds{bundle}
//	countersign_bundle_info{bundle, revision, signer}
//	countersign_policy_pinned
//
// A nil Bundles tells nothing.
type Bundles struct{ state func() Bundling }

var _ prometheus.Collector = (*Bundles)(nil)

// NewBundles tells what state says, which must be safe for concurrent use.
func NewBundles(state func() Bundling) *Bundles { return &Bundles{state: state} }

// Describe implements prometheus.Collector.
func (b *Bundles) Describe(into chan<- *prometheus.Desc) {
	into <- downloadsMetric
	into <- askedMetric
	into <- bundlesMetric
	into <- pinnedMetric
}

// Collect implements prometheus.Collector.
func (b *Bundles) Collect(into chan<- prometheus.Metric) {
	now := b.state()
	for _, each := range now.Downloads {
		into <- prometheus.MustNewConstMetric(downloadsMetric, prometheus.CounterValue, float64(each.Count), each.Bundle, each.Result)
	}
	for name, at := range now.Asked {
		if !at.IsZero() {
			into <- prometheus.MustNewConstMetric(askedMetric, prometheus.GaugeValue, float64(at.Unix()), name)
		}
	}
	for _, each := range now.Bundles {
		into <- prometheus.MustNewConstMetric(bundlesMetric, prometheus.GaugeValue, 1, each.Name, each.Revision, each.Signer)
	}
	pinned := 0.0
	if now.Pinned != "" {
		pinned = 1
	}
	into <- prometheus.MustNewConstMetric(pinnedMetric, prometheus.GaugeValue, pinned)
}

func (b *Bundles) tell(w io.Writer) {
	if b == nil {
		return
	}
	now := b.state()
	if now.Set != "" {
		fmt.Fprintf(w, "bundles %s in force since %s: %s\n", now.Set, now.Since.UTC().Format(time.RFC3339), authz.BundleNames(now.Bundles))
	}
	if now.Pinned != "" {
		fmt.Fprintf(w, "bundles %s are pinned since %s: what is downloaded is not put in force\n", now.Pinned, now.PinnedSince.UTC().Format(time.RFC3339))
	}
}
