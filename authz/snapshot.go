package authz

// Snapshot is everything that a check is decided by and that can change while
// Countersign runs. It is immutable, and read once a check.
type Snapshot struct {
	// Revision is a hash of configuration, contracts and policy.
	Revision string
	// Region is where this deployment serves from, or "".
	Region string

	Contracts    Contracts
	Certificates Certificates
	Tokens       Tokens
	Policy       Policy
}
