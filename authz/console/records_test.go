package console

import (
	"errors"
	"strings"
	"testing"
)

func TestRecordsAreToldOf(t *testing.T) {
	state := Recording{}
	shown := pages()
	shown.Records = NewRecords(func() Recording { return state })
	shown.Metrics.MustRegister(shown.Records)
	base := open(t, shown)
	for _, test := range []struct {
		name    string
		state   Recording
		metrics []string
		verbose []string
	}{
		{
			name:    "all is well",
			state:   Recording{Written: 7, Waiting: 2, Free: 5 << 20},
			metrics: []string{"records_total 7", "records_waiting 2", "records_failed 0", "inputs_failed 0", "records_reserve_reached 0", "records_free_bytes 5.24288e+06"},
			verbose: []string{"7 records written, 2 wait; 5 MiB of the disk are free\n"},
		},
		{
			name:    "the disk is full",
			state:   Recording{Fault: errors.New("no space left on device"), Low: true, Abandoned: 1, Counted: 3, LostInputs: 4},
			metrics: []string{"records_failed 1", "records_reserve_reached 1", "records_abandoned_total 1", "refusals_counted_total 3", "inputs_lost_total 4"},
			verbose: []string{"less than the reserve is free", "nothing is allowed, because nothing can be recorded: no space left on device\n"},
		},
		{
			name:    "inputs cannot be kept",
			state:   Recording{InputsFault: errors.New("an earlier fsync failed")},
			metrics: []string{"records_failed 0", "inputs_failed 1"},
			verbose: []string{"inputs are not kept: an earlier fsync failed\n"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			state = test.state
			_, metrics := get(t, base+"/metrics")
			for _, line := range test.metrics {
				if !strings.Contains(metrics, "\ncountersign_"+line+"\n") {
					t.Errorf("metrics lack %s:\n%s", line, metrics)
				}
			}
			_, verbose := get(t, base+"/readyz?verbose")
			for _, text := range test.verbose {
				if !strings.Contains(verbose, text) {
					t.Errorf("/readyz?verbose lacks %q:\n%s", text, verbose)
				}
			}
		})
	}
}
