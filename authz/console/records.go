package console

import (
	"fmt"
	"io"

	"github.com/prometheus/client_golang/prometheus"
)

// Recording is how the record of decisions stands.
type Recording struct {
	// Fault is why nothing can be recorded, and so nothing allowed, or nil.
	Fault error
	// Waiting are the records that wait to be written.
	Waiting int
	// Written are the records that were written, Abandoned those of them that take one
	// back, and Counted the refusals that were only counted.
	Written, Abandoned, Counted uint64
	// LostInputs are those that could not be kept.
	LostInputs uint64
	// InputsFault is why no input is kept now, or nil. It denies nothing.
	InputsFault error
	// Free is what is free of the disk, in bytes; Low says that it is less than the reserve.
	Free uint64
	Low  bool
}

// Records tells the operator how the record of decisions stands:
//
//	countersign_records_failed
//	countersign_records_waiting
//	countersign_records_total
//	countersign_records_abandoned_total
//	countersign_refusals_counted_total
//	countersign_inputs_failed
//	countersign_inputs_lost_total
//	countersign_records_free_bytes
//	countersign_records_reserve_reached
type Records struct {
	state func() Recording
}

var _ prometheus.Collector = (*Records)(nil)

// NewRecords tells what state does, which must be safe for concurrent use.
func NewRecords(state func() Recording) *Records { return &Records{state: state} }

// measure is one figure of a Recording.
type measure struct {
	*prometheus.Desc
	kind prometheus.ValueType
	of   func(r Recording) float64
}

var measures = []measure{
	gauge("countersign_records_failed", "1 where decisions cannot be recorded, and nothing is allowed.",
		func(r Recording) float64 { return flag(r.Fault != nil) }),
	gauge("countersign_records_waiting", "Records that wait to be written.", func(r Recording) float64 { return float64(r.Waiting) }),
	counter("countersign_records_total", "Records written.", func(r Recording) float64 { return float64(r.Written) }),
	counter("countersign_records_abandoned_total", "Records that take back one that was durable too late.",
		func(r Recording) float64 { return float64(r.Abandoned) }),
	counter("countersign_refusals_counted_total", "Refusals before authentication that were counted and not recorded one by one.",
		func(r Recording) float64 { return float64(r.Counted) }),
	gauge("countersign_inputs_failed", "1 where inputs of decisions cannot be kept.", func(r Recording) float64 { return flag(r.InputsFault != nil) }),
	counter("countersign_inputs_lost_total", "Inputs of decisions that could not be kept.", func(r Recording) float64 { return float64(r.LostInputs) }),
	gauge("countersign_records_free_bytes", "What is free of the disk that records are on.", func(r Recording) float64 { return float64(r.Free) }),
	gauge("countersign_records_reserve_reached", "1 where less than the reserve is free.", func(r Recording) float64 { return flag(r.Low) }),
}

func gauge(name, help string, of func(Recording) float64) measure {
	return measure{prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue, of}
}

func counter(name, help string, of func(Recording) float64) measure {
	return measure{prometheus.NewDesc(name, help, nil, nil), prometheus.CounterValue, of}
}

func flag(set bool) float64 {
	if set {
		return 1
	}
	return 0
}

// Describe implements prometheus.Collector.
func (r *Records) Describe(into chan<- *prometheus.Desc) {
	for _, m := range measures {
		into <- m.Desc
	}
}

// Collect implements prometheus.Collector.
func (r *Records) Collect(into chan<- prometheus.Metric) {
	state := r.state()
	for _, m := range measures {
		into <- prometheus.MustNewConstMetric(m.Desc, m.kind, m.of(state))
	}
}

// tell writes how the record stands.
func (r *Records) tell(w io.Writer) {
	state := r.state()
	fmt.Fprintf(w, "%d records written, %d wait; %d MiB of the disk are free\n", state.Written, state.Waiting, state.Free>>20)
	if state.Low {
		fmt.Fprintln(w, "less than the reserve is free: inputs, and refusals before authentication, are not written")
	}
	if state.InputsFault != nil {
		fmt.Fprintf(w, "inputs are not kept: %v\n", state.InputsFault)
	}
	if state.Fault != nil {
		fmt.Fprintf(w, "nothing is allowed, because nothing can be recorded: %v\n", state.Fault)
	}
}
