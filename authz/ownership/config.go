package ownership

import (
	"maps"
	"path/filepath"
	"slices"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/ownership/sqlite"
	store "github.com/countersign-io/countersign/authz/sqlite"
)

// Config says, for each type of object, who knows its owners.
type Config map[authz.ObjectType]TypeConfig

// TypeConfig is where the owners of one type of object are found. All of it is
// required.
type TypeConfig struct {
	// Engine is "sqlite".
	Engine string `yaml:"engine"`
	// Database is the SQLite file. Types may share one.
	Database string `yaml:"database"`
	// Query is one SELECT, the verified caller in, the owned ids out: see
	// sqlite.New for its parameters and columns.
	Query string `yaml:"query"`
}

// Open opens the engines of a configuration. If issuers, of how many tokens are taken,
// is more than one, every query must use :issuer. Open's error is authz.Problems, all
// of them, and nothing is left open.
func Open(cfg Config, issuers int) (*Owners, error) {
	var problems authz.Problems
	o := opening{issuers: issuers, engines: make(map[authz.ObjectType]Engine), databases: make(map[string]*store.Database)}
	for _, objectType := range slices.Sorted(maps.Keys(cfg)) {
		engine, err := o.open(cfg[objectType])
		if err != nil {
			problems = append(problems, authz.ProblemsOf(err).Under(string(objectType))...)
			continue
		}
		o.engines[objectType] = engine
	}
	owners := New(o.engines)
	for _, database := range o.databases {
		owners.closers = append(owners.closers, database.Close)
	}
	if err := problems.Err(); err != nil {
		// What is wrong with the configuration matters more than how closing goes.
		_ = owners.Close()
		return nil, err
	}
	return owners, nil
}

// opening is what has been opened so far: one handle for each file.
type opening struct {
	issuers   int
	engines   map[authz.ObjectType]Engine
	databases map[string]*store.Database
}

func (o *opening) open(cfg TypeConfig) (Engine, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	file, err := filepath.Abs(cfg.Database)
	if err != nil {
		return nil, authz.Problems{{Key: "database", What: "has no usable path: " + err.Error(), Fix: "write an absolute path"}}
	}
	database := o.databases[file]
	if database == nil {
		if database, err = store.Open(file); err != nil {
			return nil, err
		}
		o.databases[file] = database
	}
	engine, err := sqlite.New(database, cfg.Query, o.issuers)
	if err != nil {
		return nil, err
	}
	return engine, nil
}

// check tells what can be told without a database.
func (cfg TypeConfig) check() error {
	var problems authz.Problems
	if cfg.Engine != "sqlite" {
		problems.Add("engine", "is not an engine that can tell owners", `write "sqlite"`)
	}
	if cfg.Database == "" {
		problems.Add("database", "is missing", "name the SQLite file that says who owns what")
	}
	if cfg.Query == "" {
		problems.Add("query", "is missing", "write a SELECT that takes :subject and :ids")
	}
	return problems.Err()
}
