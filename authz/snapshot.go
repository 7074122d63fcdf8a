package authz

import (
	"context"
	"fmt"
	"time"
)

// Snapshot is everything that a check is decided by and that can change while
// Countersign runs. It is immutable, and read once a check.
type Snapshot struct {
	// Revision is a hash of configuration, contracts and policy.
	Revision string
	// Bundles are those that the policy is made of, if it is of bundles.
	Bundles []Bundle
	// Region is where this deployment serves from, or "".
	Region string
	// Environment is the one that this deployment is, such as "production", or "".
	Environment string

	Contracts    Contracts
	Certificates Certificates
	Tokens       Tokens
	// Proofs may be nil where no API takes proofs of possession.
	Proofs ProofTerms
	// Answers may be nil where no answer has more than the decision.
	Answers AnswerTerms
	Policy  Policy
	// Candidate is tried beside Policy; nil where none is.
	Candidate *Candidate
	// Inputs gives what Policy decides on, for the record; nil keeps nothing.
	Inputs Inputs

	// PolicyOnly are the APIs that a policy alone decides on; no contract has one of them.
	PolicyOnly map[API]*PolicyOnly
}

// policyOnly decides the request in place of the pipeline, or is nil: the operator's
// Envoy names the API, a client's Host never does.
func (s *Snapshot) policyOnly(request *Request) *PolicyOnly {
	if s == nil {
		return nil
	}
	return s.PolicyOnly[request.API]
}

// proofs are what the API asks of them, or nil where it takes none.
func (s *Snapshot) proofs(api API, at time.Time) *Proofs {
	if s.Proofs == nil {
		return nil
	}
	return s.Proofs.Proofs(api, at)
}

// verdict is the policy's, one that can be sent as it stands.
func (s *Snapshot) verdict(ctx context.Context, facts *Facts) (Verdict, error) {
	judged := Judge(ctx, s.Policy, facts)
	if s.Candidate != nil {
		kept := judged // so that nothing is allocated where none is tried
		facts.Judged = &kept
	}
	return judged.Verdict, judged.Err
}

// input is what the policy is given of the facts, or nil where it is not kept: nothing
// is of who has not authenticated, since anybody could fill a disk with it.
func (s *Snapshot) input(facts *Facts) (*Input, error) {
	if s.Inputs == nil || facts.Token == nil {
		return nil, nil
	}
	input, err := s.Inputs.Input(facts)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", PolicyError, err)
	}
	return input, nil
}
