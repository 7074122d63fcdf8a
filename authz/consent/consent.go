// Package consent finds the consent that a token was issued under: what a customer
// let a client do.
//
// A record is told whole or not at all: one that is malformed, or that is not the
// one asked for, is an error, as is a store that cannot answer. Only a store that
// says so leads to "no such consent".
//
// It finds facts and decides nothing. Whether the consent stands, is this client's
// and this customer's, has not expired, and lets them do what they ask for is the
// policy's to say, over the record.
package consent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/consent/sqlite"
	store "github.com/countersign-io/countersign/authz/sqlite"
)

// maxID is the longest consent id that is looked up, in bytes.
const maxID = 256

// Faults of a record. Their texts hold nothing of it.
var (
	errAnother    = errors.New("consent: the store answers with another consent than was asked for")
	errIncomplete = errors.New("consent: the record lacks status, client or subject")
	errPermission = errors.New("consent: the record has an empty permission")
	errObject     = errors.New("consent: the record has an object without type or id")
	errExpiry     = errors.New("consent: the record neither expires nor is open ended, or both")
)

// Config is where consent records are found. All of it is required.
type Config struct {
	// Engine is "sqlite".
	Engine string `yaml:"engine"`
	// Database is the SQLite file.
	Database string `yaml:"database"`
	// Query is one SELECT, a consent's id and its issuer in, a record out: see
	// sqlite.New for its parameters and columns.
	Query string `yaml:"query"`
}

// Consents looks records up by an engine, and holds every record against what a
// record must be. It is safe for concurrent use.
type Consents struct {
	engine authz.Consents
	closer func() error
}

var _ authz.Consents = (*Consents)(nil)

// New returns Consents over an engine that stays the caller's to close.
func New(engine authz.Consents) *Consents { return &Consents{engine: engine} }

// Open opens the engine of a configuration. If issuers, of how many tokens are taken,
// is more than one, the query must use :issuer. Open's error is authz.Problems, all of
// them.
func Open(cfg Config, issuers int) (*Consents, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	database, err := store.Open(cfg.Database)
	if err != nil {
		return nil, err
	}
	engine, err := sqlite.New(database, cfg.Query, issuers)
	if err != nil {
		// What is wrong with the query matters more than how closing goes.
		_ = database.Close()
		return nil, err
	}
	return &Consents{engine: engine, closer: database.Close}, nil
}

// check tells what can be told without a database.
func (cfg Config) check() error {
	var problems authz.Problems
	if cfg.Engine != "sqlite" {
		problems.Add("engine", "is not an engine that knows consents", `write "sqlite"`)
	}
	if cfg.Database == "" {
		problems.Add("database", "is missing", "name the SQLite file that holds the consents")
	}
	if cfg.Query == "" {
		problems.Add("query", "is missing", "write a SELECT that takes :id")
	}
	return problems.Err()
}

// Consent returns the record of the consent that the caller's token names, within
// the caller's issuer, or nil where there is none. An id that no store could hold
// (empty, over 256 bytes, NUL, invalid UTF-8) names no consent.
func (c *Consents) Consent(ctx context.Context, caller authz.Caller) (*authz.Consent, error) {
	if !storable(caller.Consent) {
		return nil, nil
	}
	record, err := c.engine.Consent(ctx, caller)
	if err != nil {
		return nil, fmt.Errorf("consent: %w", err)
	}
	if record == nil {
		return nil, nil
	}
	if record.ID != caller.Consent {
		return nil, errAnother
	}
	if err := whole(record); err != nil {
		return nil, err
	}
	return record, nil
}

// Close closes what Open opened. Nobody may ask any more.
func (c *Consents) Close() error {
	if c.closer == nil {
		return nil
	}
	return c.closer()
}

func storable(id authz.ConsentID) bool {
	if id == "" || len(id) > maxID || !utf8.ValidString(string(id)) {
		return false
	}
	return !strings.Contains(string(id), "\x00")
}

// whole refuses a record in which something a policy compares is not there: an
// empty subject would equal the empty subject of whoever has none.
func whole(record *authz.Consent) error {
	if record.Status == "" || record.Client == "" || record.Subject == "" {
		return errIncomplete
	}
	if slices.Contains(record.Permissions, "") {
		return errPermission
	}
	nameless := func(object authz.Object) bool { return object.Type == "" || object.ID == "" }
	if slices.ContainsFunc(record.Objects, nameless) {
		return errObject
	}
	if record.OpenEnded != record.ExpiresAt.IsZero() {
		return errExpiry
	}
	return nil
}
