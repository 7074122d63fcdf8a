package replay_test

import (
	"path/filepath"
	"testing"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/replay"
	"github.com/countersign-io/countersign/authz/replay/redis"
	"github.com/google/go-cmp/cmp"
)

func TestOpenNamesWhatIsWrong(t *testing.T) {
	local := &redis.Config{Address: "127.0.0.1:1"}
	tests := []struct {
		name string
		cfg  replay.Config
		want []string // keys
	}{
		{"nothing", replay.Config{}, nil},
		{"memory", replay.Config{Engine: "memory", MaxEntries: 1000}, nil},
		{"a server that is not there", replay.Config{Engine: "redis", Redis: local}, nil},
		{"another engine", replay.Config{Engine: "memcached"}, []string{"engine"}},
		{"no server", replay.Config{Engine: "redis"}, []string{"redis"}},
		{"a server without its engine", replay.Config{Redis: local}, []string{"redis"}},
		{"a server's entries", replay.Config{Engine: "redis", Redis: local, MaxEntries: 1}, []string{"max_entries"}},
		{"entries below zero", replay.Config{MaxEntries: -1}, []string{"max_entries"}},
		{"too many entries", replay.Config{MaxEntries: 100_000_001}, []string{"max_entries"}},
		{"a server of no address", replay.Config{Engine: "redis", Redis: &redis.Config{}}, []string{"redis.address"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.cfg.Revocations = filepath.Join(t.TempDir(), "revocations")
			store, err := replay.Open(test.cfg)
			var got []string
			for _, problem := range authz.ProblemsOf(err) {
				got = append(got, problem.Key)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Open() names (-want +got):\n%s", diff)
			}
			if err == nil {
				store.Close()
			}
		})
	}
}
