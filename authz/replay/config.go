package replay

import (
	"fmt"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/replay/file"
	"github.com/countersign-io/countersign/authz/replay/memory"
	"github.com/countersign-io/countersign/authz/replay/redis"
)

// Config is where it is remembered. The zero Config is this process's memory, but for the
// file of revocations that it needs.
type Config struct {
	// Engine is "memory", which "" means too, or "redis".
	Engine string `yaml:"engine"`
	// MaxEntries bounds what memory holds, in proofs and in counters each; zero means a
	// million.
	MaxEntries int `yaml:"max_entries"`
	// Redis is how the server is reached. It is required with that engine, and refused
	// with another.
	Redis *redis.Config `yaml:"redis"`
	// Revocations is the file that they are kept in where the engine is memory: another
	// process is to revoke, too. It is required with that engine.
	Revocations string `yaml:"-"`
}

const mostEntries = 100_000_000

// Check says what can be told without a server. Its error is authz.Problems.
func (cfg Config) Check() error {
	var problems authz.Problems
	switch {
	case cfg.Engine != "" && cfg.Engine != "memory" && cfg.Engine != "redis":
		problems.Add("engine", "is not an engine that remembers", `write "memory" or "redis"`)
	case cfg.Engine == "redis" && cfg.Redis == nil:
		problems.Add("redis", "is missing", "say where the server is: redis: {address: redis.bank.example:6379, tls: {}}")
	case cfg.Engine != "redis" && cfg.Redis != nil:
		problems.Add("redis", "is set with another engine", "write engine: redis, or remove it")
	case cfg.Engine == "redis" && cfg.MaxEntries != 0:
		problems.Add("max_entries", "is set with redis, which bounds its own memory", "remove it")
	}
	if cfg.MaxEntries < 0 || cfg.MaxEntries > mostEntries {
		problems.Add("max_entries", fmt.Sprintf("%d is out of range", cfg.MaxEntries), "use 1 to 100000000")
	}
	if cfg.Redis != nil {
		problems = append(problems, authz.ProblemsOf(cfg.Redis.Check()).Under("redis")...)
	}
	return problems.Err()
}

// Open opens the engine of a configuration, and changes nothing. A server that cannot be
// reached yet is no error: Ready tells. Open's error is authz.Problems, all of them.
func Open(cfg Config) (*Store, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if cfg.Redis == nil {
		return New(memory.New(memory.Config{MaxEntries: cfg.MaxEntries}), file.New(cfg.Revocations, nil)), nil
	}
	engine, err := redis.Open(*cfg.Redis)
	if err != nil {
		return nil, authz.ProblemsOf(err).Under("redis")
	}
	return New(engine, engine), nil
}
