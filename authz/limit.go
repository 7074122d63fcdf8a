package authz

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Limit is how often something may be done: at most Max times in a window, which
// begins with the first time and ends with all of them free again.
type Limit struct {
	// Name is what the caller and the record are told of it, [a-z0-9_]{1,64}.
	Name string
	// Key says what is counted, and for whom, such as "client:acme", 1 to 4096 bytes. It
	// may name a person: it is hashed before it goes anywhere.
	Key string
	// Max is 1 to a thousand million.
	Max int64
	// Window is a millisecond to 31 days, in whole milliseconds.
	Window time.Duration
}

// Bounds of a Limit.
const (
	maxLimitKey    = 4096
	maxLimitMax    = 1_000_000_000
	maxLimitWindow = 31 * 24 * time.Hour
)

// Faults of a limit. Their texts hold nothing of its key.
var (
	errLimitName   = errors.New("limit: the name is not [a-z0-9_]{1,64}")
	errLimitKey    = errors.New("limit: the key is not 1 to 4096 bytes")
	errLimitMax    = errors.New("limit: max is not 1 to 1000000000")
	errLimitWindow = errors.New("limit: the window is not 1 ms to 31 days in whole milliseconds")
)

// Check says what is wrong with a limit, or nil.
func (l Limit) Check() error {
	switch {
	case !IsCode(l.Name):
		return errLimitName
	case l.Key == "" || len(l.Key) > maxLimitKey:
		return errLimitKey
	case l.Max < 1 || l.Max > maxLimitMax:
		return errLimitMax
	case l.Window < time.Millisecond || l.Window > maxLimitWindow || l.Window%time.Millisecond != 0:
		return errLimitWindow
	}
	return nil
}

// Counter is the hash under which a limit is counted. Limits of the same Key and
// Window share a counter, so that one which is changed keeps what was spent.
func (l Limit) Counter() [32]byte {
	data := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(l.Key)), uint64(l.Window))
	return sha256.Sum256(append(data, l.Key...))
}

// Spending is what came of spending limits, all at once. The zero Spending is a
// refusal.
type Spending struct {
	// OK means that one was spent of each limit; otherwise nothing was spent of any.
	OK bool
	// Left is what is left of each limit now, in the order in which they were given.
	Left []Allowance
}

// Allowance is what is left of one limit.
type Allowance struct {
	Limit Limit
	// Remaining is how often more; zero with a refusal means that this limit is one of
	// those that are spent.
	Remaining int64
	// Reset is how long until the window ends: more than zero, and at most Window.
	Reset time.Duration
}

// RetryAfter is how long until all limits that refused are free again; zero where none did.
func (s Spending) RetryAfter() time.Duration {
	var wait time.Duration
	if s.OK {
		return wait
	}
	for _, left := range s.Left {
		if left.Remaining == 0 {
			wait = max(wait, left.Reset)
		}
	}
	return wait
}

// Per says who shares a limit of a contract.
type Per string

// What limits of a contract are for.
const (
	// PerClient is each client of an issuer, whoever it acts for.
	PerClient Per = "client"
	// PerSubject is each subject of an issuer, through whichever client.
	PerSubject Per = "subject"
)

// MaxLimitRules is how many limits a contract may set for one operation.
const MaxLimitRules = 8

// LimitRule is how often an operation may be called by each of those that it is per. The
// operation takes no anonymous callers.
type LimitRule struct {
	Per Per
	// Max and Window are a Limit's; the window is of whole seconds.
	Max    int64
	Window time.Duration
}

// of is the rule's limit for a caller.
func (r LimitRule) of(operation *Operation, caller Caller) Limit {
	who := string(caller.Client)
	if r.Per == PerSubject {
		who = string(caller.Subject)
	}
	return Limit{
		Name: fmt.Sprintf("%s_%d", r.Per, r.Window/time.Second),
		// Quoted, so that no two callers have one key.
		Key: fmt.Sprintf("contract:%s %q %q %q %q", r.Per, operation.API, operation.ID, caller.Issuer, who),
		Max: r.Max, Window: r.Window,
	}
}
