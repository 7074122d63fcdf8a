// Package wire puts the packages together as a configuration says: first what can
// be judged without changing anything (Load, which is all that "countersign check"
// does), then what serves (Start).
//
// It is where a fault that no package can see alone is found: an operation that
// names objects whose owners nobody knows, a consent that no token names.
package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit"
	"github.com/countersign-io/countersign/authz/certificate"
	"github.com/countersign-io/countersign/authz/consent"
	"github.com/countersign-io/countersign/authz/contract"
	"github.com/countersign-io/countersign/authz/ownership"
	"github.com/countersign-io/countersign/authz/token"
	"github.com/countersign-io/countersign/authz/token/jwks"
	"github.com/countersign-io/countersign/authz/trace"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/rego"
)

// Loaded is a configuration and all that it names, found to be right.
type Loaded struct {
	Config    *config.Config
	Contracts *contract.Contracts
	Policy    *rego.Engine
	// Owners and Consents are nil where the configuration names none.
	Owners   *ownership.Owners
	Consents *consent.Consents
}

// Load opens contracts, policy and stores and judges the whole. Its error is
// authz.Problems, all of them. It writes nothing and asks no network.
func Load(cfg *config.Config) (*Loaded, error) {
	l := &Loaded{Config: cfg}
	var problems authz.Problems
	found := func(prefix string, err error) {
		problems = append(problems, cfg.Locate(prefix, problemsOf(err))...)
	}
	var err error
	l.Contracts, err = contract.New(cfg.Contracts())
	found("", err)
	found("", cfg.TokenKeys(problemsOf(cfg.Tokens().Check())).Err())
	found("", checkKeyFiles(cfg))
	found("", cfg.Server.Check())
	found("", cfg.CheckAdmin())
	found("", checkPlaces(cfg).Err())
	l.Policy, err = rego.New(cfg.Policy)
	found("policy", err)
	if len(cfg.Ownership) > 0 {
		l.Owners, err = ownership.Open(cfg.Ownership, len(cfg.Issuers))
		found("ownership", err)
	}
	if cfg.Consent != nil {
		l.Consents, err = consent.Open(*cfg.Consent, len(cfg.Issuers))
		found("consent", err)
	}
	if l.Contracts != nil {
		found("", l.judgeOperations().Err())
	}
	if err := problems.Err(); err != nil {
		return nil, errors.Join(sorted(problems), l.Close())
	}
	return l, nil
}

// Close closes the stores.
func (l *Loaded) Close() error {
	var faults []error
	if l.Owners != nil {
		faults = append(faults, l.Owners.Close())
	}
	if l.Consents != nil {
		faults = append(faults, l.Consents.Close())
	}
	return errors.Join(faults...)
}

// System is a Countersign that decides.
type System struct {
	*Loaded
	Pipeline *authz.Pipeline
	Revision string

	keys *token.KeyRing
	log  *audit.Log
}

// Start opens what Countersign writes to and fetches from, and puts the first
// snapshot in force. tracer makes the spans of the steps. Close ends it all, the
// stores of Loaded included.
func (l *Loaded) Start(tracer oteltrace.Tracer, log *slog.Logger) (*System, error) {
	s := &System{Loaded: l}
	if err := s.open(log); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	keys, err := s.keys.Keys(l.Config.Tokens())
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	tokens, err := token.New(l.Config.Tokens(), keys, rego.PrepareClaims)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.Revision = l.revision()
	s.Pipeline = &authz.Pipeline{Pseudonyms: s.log, Recorder: s.log}
	if l.Owners != nil {
		s.Pipeline.Owners = trace.Owners(l.Owners, tracer)
	}
	if l.Consents != nil {
		s.Pipeline.Consents = trace.Consents(l.Consents, tracer)
	}
	s.Pipeline.Load(&authz.Snapshot{
		Revision:     s.Revision,
		Region:       l.Config.Region,
		Contracts:    l.Contracts,
		Certificates: certificate.New(),
		Tokens:       trace.Tokens(tokens, tracer),
		Policy:       trace.Policy(l.Policy, tracer),
	})
	return s, nil
}

// open makes the state folder, and opens the record and the key sets.
func (s *System) open(log *slog.Logger) error {
	state := s.Config.State
	for _, folder := range []string{state, filepath.Join(state, "keys"), filepath.Dir(s.Config.Audit.File)} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return s.Config.Locate("", authz.Problems{{Key: "state", What: "cannot be made: " + err.Error(), Fix: "name a folder that can be written to"}})
		}
	}
	for _, folder := range []string{state, filepath.Join(state, "keys")} {
		if info, err := os.Stat(folder); err != nil || info.Mode().Perm()&0o022 != 0 {
			return s.Config.Locate("", authz.Problems{{Key: "state", What: folder + " can be written to by others",
				Fix: "chmod go-w it: who writes there says which keys are an issuer's"}})
		}
	}
	var err error
	if s.log, err = audit.Open(s.Config.Records()); err != nil {
		return s.Config.Locate("", s.Config.RecordKeys(problemsOf(err)))
	}
	if torn := s.log.Torn(); torn > 0 {
		log.Warn("the last record was unfinished and was cut off", "file", s.Config.Audit.File, "bytes", torn)
	}
	if s.keys, err = token.OpenKeys(s.Config.Tokens(), jwks.Environment{Log: log}); err != nil {
		return s.Config.Locate("", s.Config.TokenKeys(problemsOf(err)))
	}
	return nil
}

// Ready is nil where every request can be decided, else it says what is missing.
func (s *System) Ready() error { return s.keys.Ready() }

// Close ends refreshes and closes the record and the stores.
func (s *System) Close() error {
	if s.keys != nil {
		s.keys.Close()
	}
	var err error
	if s.log != nil {
		err = s.log.Close()
	}
	return errors.Join(err, s.Loaded.Close())
}

// revision is a hash of configuration, contracts and policy.
func (l *Loaded) revision() string {
	hash := sha256.New()
	hash.Write(l.Config.Digest())
	hash.Write(l.Contracts.Digest())
	hash.Write(l.Policy.Digest())
	return hex.EncodeToString(hash.Sum(nil)[:16])
}
