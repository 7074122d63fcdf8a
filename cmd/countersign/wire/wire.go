// Package wire puts the packages together as a configuration says: first what can
// be judged without changing anything (Load, which is all that "countersign check"
// does), then what serves (Start).
//
// It is where a fault that no package can see alone is found: an operation that
// names objects whose owners nobody knows, a consent that no token names.
package wire

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit"
	"github.com/countersign-io/countersign/authz/certificate"
	"github.com/countersign-io/countersign/authz/consent"
	"github.com/countersign-io/countersign/authz/contract"
	"github.com/countersign-io/countersign/authz/ownership"
	"github.com/countersign-io/countersign/authz/replay"
	"github.com/countersign-io/countersign/authz/shadow"
	"github.com/countersign-io/countersign/authz/token"
	"github.com/countersign-io/countersign/authz/token/jwks"
	"github.com/countersign-io/countersign/authz/trace"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/rego"
	"github.com/countersign-io/countersign/rego/bundles"
)

// Loaded is a configuration and all that it names, found to be right.
type Loaded struct {
	Config    *config.Config
	Contracts *contract.Contracts
	Policy    *rego.Engine
	// Shadow is the policy that is tried beside it, or nil.
	Shadow *rego.Engine
	// PolicyOnly are the policies of the APIs that have no contract.
	PolicyOnly map[authz.API]*rego.Peer
	// Owners and Consents are nil where the configuration names none.
	Owners   *ownership.Owners
	Consents *consent.Consents
	// Set is what the policy is made of where that is bundles, or nil. Policy is nil then
	// where there is none yet, or it does not compile, and Fault says why.
	Set   *bundles.Set
	Fault error
	// kept says that Set was in force before this process.
	kept bool
	// tokens verify for the last snapshot that was made, of this or of what was before it;
	// nil is none.
	tokens *token.Verifier
}

// Load opens contracts, policy and stores and judges the whole. Its error is
// authz.Problems, all of them. It writes nothing and asks no network.
func Load(cfg *config.Config) (*Loaded, error) {
	l := &Loaded{Config: cfg}
	l.takeKept()
	problems := append(l.read(), l.openStores()...)
	if err := problems.Err(); err != nil {
		return nil, errors.Join(sorted(problems), l.Close())
	}
	return l, nil
}

// Read is Load without the stores, which are nil: they are not looked at.
func Read(cfg *config.Config) (*Loaded, error) {
	l := &Loaded{Config: cfg}
	l.takeKept()
	if err := l.read().Err(); err != nil {
		return nil, sorted(authz.ProblemsOf(err))
	}
	return l, nil
}

// read reads and judges all but the stores.
func (l *Loaded) read() authz.Problems {
	cfg := l.Config
	var problems authz.Problems
	found := func(prefix string, err error) {
		problems = append(problems, cfg.Locate(prefix, authz.ProblemsOf(err))...)
	}
	var err error
	l.Contracts, err = l.Contracts.Again(cfg.Contracts())
	found("", cfg.ContractKeys(authz.ProblemsOf(err)).Err())
	found("", cfg.TokenKeys(authz.ProblemsOf(cfg.Tokens().Check())).Err())
	found("", checkKeyFiles(cfg))
	found("", cfg.Server.Check())
	found("", cfg.Certificates.Check())
	found("", cfg.CheckAdmin())
	found("replay", cfg.Replay.Check())
	found("", checkPlaces(cfg).Err())
	if cfg.Audit.Folder != "" { // else state is missing, which is told
		found("", cfg.RecordKeys(cfg.Audit.Check()).Err())
	}
	// Bundles that were kept and are not right any more are no fault of the configuration:
	// others can be downloaded.
	if err = l.readPolicy(); err != nil && l.kept {
		l.Set, l.Fault, err = nil, err, nil
	}
	found("policy", err)
	problems = append(problems, l.readShadow()...)
	problems = append(problems, l.readPolicyOnly()...)
	if l.Contracts != nil {
		found("", l.judgeOperations().Err())
		found("", l.judgeBodies().Err())
	}
	return problems
}

func (l *Loaded) openStores() authz.Problems {
	cfg := l.Config
	var problems authz.Problems
	var err error
	if len(cfg.Ownership) > 0 {
		l.Owners, err = ownership.Open(cfg.Ownership, len(cfg.Issuers))
		problems = append(problems, cfg.Locate("ownership", authz.ProblemsOf(err))...)
	}
	if cfg.Consent != nil {
		l.Consents, err = consent.Open(*cfg.Consent, len(cfg.Issuers))
		problems = append(problems, cfg.Locate("consent", authz.ProblemsOf(err))...)
	}
	return problems
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
	// Revision is that of the first snapshot.
	Revision string
	// Candidate is what the first snapshot has tried beside its policy, or nil.
	Candidate *authz.Candidate

	tracer oteltrace.Tracer
	keys   *token.KeyRing
	proofs *proofs
	log    *audit.Log
	// trials is nil until Trials.
	trials *shadow.Pool
	// current is what is in force. It belongs to who reloads.
	current *Loaded
	// follower is nil where the policy is no bundles.
	follower *bundles.Follower
}

// Start opens what Countersign writes to and fetches from, and puts the first
// snapshot in force. tracer makes the spans of the steps. Close ends it all, the
// stores of Loaded included.
func (l *Loaded) Start(tracer oteltrace.Tracer, log *slog.Logger) (*System, error) {
	s := &System{Loaded: l, tracer: tracer}
	if err := s.open(log); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.Pipeline = &authz.Pipeline{Limiter: trace.Limiter(s.proofs.replays, tracer), Revocations: s.proofs.revocations, Pseudonyms: s.log, Recorder: s.log}
	if l.Owners != nil {
		s.Pipeline.Owners = trace.Owners(l.Owners, tracer)
	}
	if l.Consents != nil {
		s.Pipeline.Consents = trace.Consents(l.Consents, tracer)
	}
	first, err := s.next(l)
	if err == nil {
		err = s.follow(log)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.Revision, s.Candidate = first.Revision(), first.Candidate()
	s.PutInForce(first)
	return s, nil
}

// snapshot is what checks are decided by while l is in force.
func (s *System) snapshot(l *Loaded) (*authz.Snapshot, error) {
	snapshot, err := l.snapshot(s.keys, s.proofs)
	if err != nil {
		return nil, err
	}
	snapshot.Tokens = trace.Tokens(snapshot.Tokens, s.tracer)
	snapshot.Policy = trace.Policy(snapshot.Policy, s.tracer)
	snapshot.PolicyOnly = l.policyOnly(snapshot.Revision, s.log, s.tracer)
	return snapshot, nil
}

func (l *Loaded) snapshot(ring *token.KeyRing, proofs *proofs) (*authz.Snapshot, error) {
	if l.Policy == nil {
		return nil, l.missing()
	}
	keys, err := ring.Keys(l.Config.Tokens())
	if err != nil {
		return nil, err
	}
	keptWhole := l.Config.Audit.Filled().Inputs == audit.FullInputs
	l.tokens, err = token.New(l.Config.Tokens(), token.Environment{
		Keys: keys, Prepare: l.Policy.Preparation(keptWhole), Prepares: l.Policy.Prepares(keptWhole), Before: l.tokens,
		Replays: proofs.replays, Nonces: proofs.nonces,
	})
	if err != nil {
		return nil, err
	}
	certificates, err := certificate.New(l.Config.Certificates)
	if err != nil {
		return nil, err
	}
	return &authz.Snapshot{
		Revision:     l.revision(),
		Bundles:      l.Set.Names(),
		Region:       l.Config.Region,
		Environment:  l.Config.Environment,
		Contracts:    l.Contracts,
		Certificates: certificates,
		Tokens:       l.tokens,
		Proofs:       l.tokens,
		Answers:      l.Contracts,
		Policy:       l.Policy,
		Candidate:    l.candidate(),
		Inputs:       l.inputs(l.Policy),
	}, nil
}

// inputs is what is kept of what a policy decides on, or nil.
func (l *Loaded) inputs(policy interface{ Inputs(whole bool) authz.Inputs }) authz.Inputs {
	switch l.Config.Audit.Filled().Inputs {
	case audit.NoInputs:
		return nil
	case audit.FullInputs:
		return policy.Inputs(true)
	default:
		return policy.Inputs(false)
	}
}

// Prepare makes a snapshot of another configuration, with the stores and key sets
// that were opened at start, and puts nothing in force. It judges as Load does, and
// what cannot change while running besides. Its error is authz.Problems.
func (s *System) Prepare(cfg *config.Config) (*Next, error) {
	next := &Loaded{Config: cfg, Owners: s.Owners, Consents: s.Consents, Contracts: s.current.Contracts, Set: s.current.Set, tokens: s.current.tokens}
	fixed := cfg.Fixed(s.Config)
	if read := next.read(); len(fixed)+len(read) > 0 {
		return nil, Merge(fixed, read)
	}
	return s.next(next)
}

// ReadKeyFiles has the key sets that are files read again in the background.
func (s *System) ReadKeyFiles() { s.keys.ReadFiles() }

// open makes the state folder, and opens the record and the key sets.
func (s *System) open(log *slog.Logger) error {
	state := s.Config.State
	for _, folder := range []string{state, filepath.Join(state, "keys"), s.Config.Audit.Folder} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return s.Config.Locate("", authz.Problems{{Key: "state", What: "cannot be made: " + err.Error(), Fix: "name a folder that can be written to"}})
		}
	}
	err := guarded(s.Config)
	if err != nil {
		return err
	}
	if s.log, err = audit.Open(s.Config.Audit); err != nil {
		return s.Config.Locate("", s.Config.RecordKeys(authz.ProblemsOf(err)))
	}
	for _, repair := range s.log.Repairs() {
		log.Warn("records", "folder", s.Config.Audit.Folder, "found", repair)
	}
	if s.proofs, err = openProofs(s.Config); err != nil {
		return err
	}
	if s.keys, err = token.OpenKeys(s.Config.Tokens(), jwks.Environment{Log: log}); err != nil {
		return s.Config.Locate("", s.Config.TokenKeys(authz.ProblemsOf(err)))
	}
	return nil
}

// guarded refuses folders that others can write to.
func guarded(cfg *config.Config) error {
	for _, folder := range []string{cfg.State, filepath.Join(cfg.State, "keys"), cfg.Bundles().Folder, cfg.Audit.Folder} {
		if info, err := os.Stat(folder); err == nil && info.Mode().Perm()&0o022 != 0 {
			return cfg.Locate("", authz.Problems{{Key: "state", What: folder + " can be written to by others",
				Fix: "chmod go-w it: who writes there says which keys are an issuer's, which policy decides, and what was decided"}})
		}
	}
	return nil
}

// readyTimeout bounds how long a store may take to say that it is there.
const readyTimeout = time.Second

// Ready is nil where every request can be decided and recorded, else it says what is
// missing.
func (s *System) Ready() error {
	err := errors.Join(s.keys.Ready(), s.bundlesReady())
	if fault := s.log.State().Fault; fault != nil {
		err = errors.Join(err, fmt.Errorf("records: %w", fault))
	}
	// Until something is known of revocations, every token is refused. Later on what is
	// known is used, unless the contract requires more.
	if state := s.proofs.revocations.State(); state.AsOf.IsZero() {
		err = errors.Join(err, cmp.Or(state.Fault, errRevocations))
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	return errors.Join(err, s.proofs.replays.Ready(ctx))
}

var errRevocations = errors.New("revocations: they are still being read")

// Revocations tells how what is known of revocations stands.
func (s *System) Revocations() replay.State { return s.proofs.revocations.State() }

// Records tells how the log stands.
func (s *System) Records() audit.State { return s.log.State() }

// Close ends refreshes and trials, and closes the record and the stores.
func (s *System) Close() error {
	if s.trials != nil {
		s.trials.Close()
	}
	if s.follower != nil {
		s.follower.Close()
	}
	if s.keys != nil {
		s.keys.Close()
	}
	if s.proofs != nil {
		s.proofs.close()
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
	if l.Shadow != nil {
		hash.Write(l.Shadow.Digest())
	}
	for _, api := range l.Config.APIs {
		if policy := l.PolicyOnly[api.Contract.Name]; policy != nil {
			hash.Write(policy.Digest())
		}
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}
