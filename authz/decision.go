package authz

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"
)

// DecisionID is a random UUID (RFC 9562 §5.4).
type DecisionID [16]byte

// NewDecisionID returns a fresh id.
func NewDecisionID() DecisionID {
	var id DecisionID
	rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// String is the canonical form, 36 characters.
func (id DecisionID) String() string {
	var text [36]byte
	hex.Encode(text[0:8], id[0:4])
	text[8] = '-'
	hex.Encode(text[9:13], id[4:6])
	text[13] = '-'
	hex.Encode(text[14:18], id[6:8])
	text[18] = '-'
	hex.Encode(text[19:23], id[8:10])
	text[23] = '-'
	hex.Encode(text[24:36], id[10:16])
	return string(text[:])
}

// ParseDecisionID reads an id's canonical form.
func ParseDecisionID(text string) (DecisionID, error) {
	var id DecisionID
	digits := strings.ReplaceAll(text, "-", "")
	if len(digits) != 2*len(id) {
		return DecisionID{}, errNotID
	}
	if _, err := hex.Decode(id[:], []byte(digits)); err != nil || id.String() != strings.ToLower(text) {
		return DecisionID{}, errNotID
	}
	return id, nil
}

var errNotID = errors.New("is no decision's id: 32 hexadecimal digits, as in 6f1c2d3e-4a5b-4c6d-8e7f-0123456789ab")

// Verdict is what a policy answers. The zero Verdict denies.
type Verdict struct {
	Allowed bool
	// Reason is the policy's own code, [a-z0-9_]{1,64}, for a denial.
	Reason string
	// Detail is for the record, never for the caller.
	Detail string
	// Refusals are all reasons of a denial, Reason among them.
	Refusals []string
	// Waived are the requirements that a site's policy lifted.
	Waived []string
	// BreakGlass are the tickets under which staff had requirements lifted in an
	// emergency, which are among Waived. They name cases, never people.
	BreakGlass []string
	// StepUp asks the user to authenticate again (RFC 9470); only with a denial.
	StepUp *StepUp
	// Limits are spent where the verdict allows, all of them or none; eight at most.
	Limits []Limit
	Reply  Reply
	// Lookups are what the policy asked of others, or nil; beside an error, too.
	Lookups *Lookups
}

// Lookups are what a policy learned of neither the facts nor its data: built-ins that ask
// the network told it. Only a PolicyOnly's policy may ask.
type Lookups struct {
	// Builtins are those that were asked, such as "http.send", each once, in order.
	Builtins []string
	// Answers are what they said, for Input; nil where that is too much to be kept.
	Answers []byte
}

// Reply is what a policy adds to the answer.
type Reply struct {
	// Headers go to the upstream with an allow, to the caller with a denial.
	Headers []Header
	// ResponseHeaders go to the caller with an allow.
	ResponseHeaders []Header
	// RemoveHeaders, SetQuery and RemoveQuery change the upstream's request.
	RemoveHeaders []string
	SetQuery      []Header
	RemoveQuery   []string
	// Status and Body replace a denial's own; zero and "" leave it.
	Status int
	Body   string
	// Metadata goes to Envoy's dynamic metadata.
	Metadata map[string]any
}

// Decision is the answer to one request. The zero Decision denies.
type Decision struct {
	ID      DecisionID
	Allowed bool
	// Reason is Countersign's own; PolicyDenied and StepUpRequired stand for
	// the policy's, which is in Verdict.
	Reason Reason
	// Detail is the text of what went wrong, for the record, never for the caller.
	Detail  string
	Verdict Verdict

	Operation *Operation
	// Caller is who called; with ProofReplayed, whose token and proof came again.
	Caller Caller
	// Pseudonym stands for the caller's subject wherever it is written down.
	Pseudonym string
	// Scopes are those that would have sufficed, with InsufficientScope.
	Scopes []string
	// Methods are the path's, with UnknownMethod.
	Methods []string
	// Proofs are what the API asks of proofs of possession, for a challenge; nil where
	// it takes none, or the request is for none of the APIs.
	Proofs *Proofs
	// NextNonce is what the caller's next proof must hold, or "" where that need not
	// be told.
	NextNonce string
	// Expiring says that the token was issued for long, and soon expires: whoever holds
	// it must see to another.
	Expiring bool
	// Spending is what came of the limits; its Left is empty where none were spent.
	Spending Spending
	// Answers are what the API's answers have besides.
	Answers Answers
	// InteractionID is a UUID as the client spelled it, or ours, or "" where the API has none.
	InteractionID string
	// Unchecked are those of Facts.
	Unchecked []Reason
	// Observed are those of Facts.
	Observed []string
	// Bare is an answer that has what the policy says and nothing of ours, but the
	// decision's id in the metadata: a PolicyOnly's, unless something went wrong.
	Bare bool

	Revision string
	// Bundles are those that the policy in force is made of, if it is of bundles.
	Bundles []Bundle
	Elapsed time.Duration
}

// Code is the reason in one word: the policy's where it gave one, else the Reason's.
func (d *Decision) Code() string {
	if d.Verdict.Reason != "" && (d.Reason == PolicyDenied || d.Reason == StepUpRequired) {
		return d.Verdict.Reason
	}
	return d.Reason.String()
}

// Status is the HTTP status that the caller is answered: 200 with an allow, which
// the upstream's own then replaces.
func (d *Decision) Status() int {
	switch {
	case d.Allowed:
		return http.StatusOK
	case d.Bare && bareStatus(d.Verdict.Reply.Status), DenialStatus(d.Verdict.Reply.Status):
		return d.Verdict.Reply.Status
	}
	return d.Reason.Status()
}

// OperationID is the operation's id, or "" where none was found.
func (d *Decision) OperationID() string {
	if d.Operation == nil {
		return ""
	}
	return d.Operation.ID
}

// Record is a decision with what it was made on.
type Record struct {
	Decision *Decision
	Facts    *Facts
}
