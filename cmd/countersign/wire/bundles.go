package wire

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/contract"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/rego"
	"github.com/countersign-io/countersign/rego/bundles"
)

// Named is the policy that a configuration names; where that is bundles, it is the set
// that a System which started now would begin with. Its error is authz.Problems.
func Named(cfg *config.Config) (rego.Config, error) {
	l := &Loaded{Config: cfg}
	l.takeKept()
	named := cfg.Policy
	if named.Set = l.Set; named.Downloads.Used() && l.Set == nil {
		return named, l.missing()
	}
	return named, nil
}

// takeKept takes the bundles that were in force, if the policy is of bundles.
func (l *Loaded) takeKept() {
	cfg := l.Config
	if !cfg.Policy.Downloads.Used() || cfg.Policy.Check() != nil || cfg.State == "" {
		return
	}
	if l.Set, l.Fault = cfg.Bundles().InForce(&cfg.Policy.Downloads); l.Set == nil && l.Fault == nil {
		l.Fault = bundles.ErrNone
	}
	l.kept = l.Set != nil
}

// readPolicy compiles the policy, if there is one yet.
func (l *Loaded) readPolicy() error {
	named := l.Config.Policy
	if err := named.Check(); err != nil {
		return err
	}
	if named.Downloads.Used() && l.Set == nil {
		return nil
	}
	named.Set = l.Set
	if l.bundled() {
		named = rego.Config{}
		if err := l.readBundled(); err != nil {
			return err
		}
	}
	var err error
	l.Policy, err = rego.New(named)
	return err
}

// bundled reports bundles that are the policy of an API which has nothing else, and not
// the one at the top.
func (l *Loaded) bundled() bool {
	return slices.ContainsFunc(l.Config.APIs, func(api config.API) bool { return api.IsPolicyOnly() && api.Policy != nil && api.Policy.Peer.Bundled })
}

// readBundled compiles the policies of such APIs.
func (l *Loaded) readBundled() error {
	policies := map[authz.API]*rego.Peer{}
	maps.Copy(policies, l.PolicyOnly)
	for _, api := range l.Config.APIs {
		if !api.IsPolicyOnly() || api.Policy == nil || !api.Policy.Peer.Bundled {
			continue
		}
		named := api.Policy.Peer
		named.Set = l.Set
		policy, err := rego.NewPeer(named)
		if err != nil {
			return err
		}
		policies[api.Contract.Name] = policy
	}
	l.PolicyOnly = policies
	return nil
}

// missing says why there is no policy.
func (l *Loaded) missing() authz.Problems {
	what := "are the policy, and none can be used"
	if l.Fault != nil {
		what += ": " + l.Fault.Error()
	}
	return l.Config.Locate("policy", authz.Problems{{Key: "bundles", What: what,
		Fix: "start countersign serve with their server up, which keeps them below state"}})
}

// Next is what can be put in force in place of what is.
type Next struct {
	// Snapshot is nil where there is no policy yet: its bundles are still to come.
	Snapshot *authz.Snapshot

	loaded *Loaded
}

// Revision is the snapshot's, or "".
func (n *Next) Revision() string {
	if n.Snapshot == nil {
		return ""
	}
	return n.Snapshot.Revision
}

// Contracts are the snapshot's.
func (n *Next) Contracts() *contract.Contracts { return n.loaded.Contracts }

// Candidate is what is tried beside its policy, or nil.
func (n *Next) Candidate() *authz.Candidate {
	if n.Snapshot == nil {
		return nil
	}
	return n.Snapshot.Candidate
}

func (s *System) next(l *Loaded) (*Next, error) {
	if l.Policy == nil && l.Config.Policy.Downloads.Used() {
		return &Next{loaded: l}, nil
	}
	snapshot, err := s.snapshot(l)
	if err != nil {
		return nil, err
	}
	return &Next{loaded: l, Snapshot: snapshot}, nil
}

// PrepareSet makes a snapshot of what is in force with other bundles, and puts nothing in
// force. No file is read. Its error is authz.Problems.
func (s *System) PrepareSet(set *bundles.Set) (*Next, error) {
	next := *s.current
	next.Set, next.Policy, next.Fault, next.kept = set, nil, nil, false
	if err := next.readPolicy(); err != nil {
		return nil, next.Config.Locate("policy", authz.ProblemsOf(err))
	}
	if problems := next.judgeBodies(); problems != nil {
		return nil, next.Config.Locate("", problems)
	}
	return s.next(&next)
}

// PutInForce has checks that begin from now on be decided by next. A snapshot of the
// revision that is in force stays, since it remembers tokens.
func (s *System) PutInForce(next *Next) {
	if next.Snapshot != nil && (s.current == nil || s.current.Policy == nil || s.current.revision() != next.Revision()) {
		if s.trials != nil {
			s.trials.Begin(next.Candidate(), next.Revision(), time.Now())
		}
		s.Pipeline.Load(next.Snapshot)
	}
	s.current = next.loaded
}

// follow begins to download the bundles that are the policy.
func (s *System) follow(log *slog.Logger) error {
	cfg := s.Config
	if !cfg.Policy.Downloads.Used() {
		return nil
	}
	if s.Fault != nil {
		log.Warn("bundles that were kept are not used", "folder", cfg.Bundles().Folder, "because", s.Fault)
	}
	var err error
	if s.follower, err = bundles.Follow(cfg.Policy.Downloads, cfg.Bundles()); err != nil {
		return cfg.Locate("policy", authz.ProblemsOf(err))
	}
	if s.Policy != nil {
		s.follower.Begin(s.Set, time.Now())
		log.Info("bundles that were kept are in force", "bundles", authz.BundleNames(s.Set.Names()), "set", s.Set.ID)
	}
	return s.follower.Start()
}

// Bundles follows those that are the policy, or is nil.
func (s *System) Bundles() *bundles.Follower { return s.follower }

var errNoBundles = errors.New("bundles: the policy is still to be downloaded")

func (s *System) bundlesReady() error {
	if s.follower != nil && s.follower.InForce() == nil {
		return errNoBundles
	}
	return nil
}
