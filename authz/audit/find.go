package audit

import (
	"bytes"
	"errors"
	"fmt"
	"iter"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit/secret"
	"github.com/countersign-io/countersign/authz/audit/segment"
	"github.com/countersign-io/countersign/authz/audit/vault"
	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
)

// Found is what is kept of a decision.
type Found struct {
	// Records are in the order written: where there are two, the later takes back the
	// earlier.
	Records []*decisionv1.Decision
	// Shadows are what policies that were tried would have decided otherwise.
	Shadows []*decisionv1.Shadow
	// Input is nil where none was kept, or it cannot be read; NoInput says why then.
	Input   *vault.Entry
	NoInput error
	// Damage is what could not be read of the records, or nil: another record of the
	// decision may be among it.
	Damage error
}

// ErrNotFound says that the log has no record of a decision.
var ErrNotFound = errors.New("audit: there is no record of that decision: it may be of another process, or in a file that was moved away")

var (
	errNoInput   = errors.New("no input was kept: the policy was not asked, or inputs are not kept")
	errTooLarge  = errors.New("no input was kept: it was too large")
	errReserve   = errors.New("no input was kept: too little of the disk was free")
	errFlood     = errors.New("no input was kept: too many were refused at once")
	errFault     = errors.New("no input was kept: the files of inputs could not take it")
	errInputGone = errors.New("the input that was kept is not there: it is not written yet, is in a file that was moved away, or was lost")
)

// Lines are the records in a log's folder, oldest first, each a line of JSON without its
// end. An error tells of a damaged file; what follows it is read all the same.
func Lines(folder string) iter.Seq2[[]byte, error] { return segment.Lines(folder, decisions) }

// Find looks a decision up in a log, also while another process writes to it. It writes
// nothing. Its error is ErrNotFound where there is no record; what is damaged is told then
// too.
func Find(cfg Config, id authz.DecisionID) (Found, error) {
	lines, damage := linesOf(cfg.Folder, decisions, id)
	found := Found{Damage: damage}
	for _, line := range lines {
		record := &decisionv1.Decision{}
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(line, record); err != nil {
			return Found{}, fmt.Errorf("audit: a record of %v cannot be read: %w", id, err)
		}
		switch id.String() {
		case record.Id:
			found.Records = append(found.Records, record)
		case record.Shadow.GetDecision():
			found.Shadows = append(found.Shadows, record.Shadow)
		}
	}
	if len(found.Records) == 0 {
		return found, ErrNotFound
	}
	found.Input, found.NoInput = findInput(cfg, id)
	if found.NoInput == errNoInput {
		found.NoInput = whyNoInput(found.Records[0])
	}
	return found, nil
}

// whyNoInput is what a record says of an input that is not there.
func whyNoInput(record *decisionv1.Decision) error {
	switch {
	case record.InputOmitted == omittedTooLarge:
		return errTooLarge
	case record.InputOmitted == omittedReserve:
		return errReserve
	case record.InputOmitted == omittedFlood:
		return errFlood
	case record.InputOmitted != "":
		return errFault
	case record.InputKeyId != "":
		return errInputGone
	}
	return errNoInput
}

func findInput(cfg Config, id authz.DecisionID) (*vault.Entry, error) {
	lines, damage := linesOf(cfg.Folder, inputs, id)
	keys := func(key string) *secret.Key { return secret.Find(cfg.InputKey, key) }
	for _, line := range lines {
		entry, err := vault.Open(cfg.Folder, id, line, keys)
		switch {
		case err == nil:
			return &entry, nil
		case !errors.Is(err, vault.ErrOther):
			return nil, err
		}
	}
	if damage != nil {
		return nil, fmt.Errorf("no input was found, and inputs are damaged: %w", damage)
	}
	return nil, errNoInput
}

// linesOf are the lines that name a decision, and what is damaged among all.
func linesOf(folder, name string, id authz.DecisionID) (lines [][]byte, damage error) {
	quoted := []byte(`"` + id.String() + `"`)
	for line, err := range segment.Lines(folder, name) {
		switch {
		case err != nil:
			damage = errors.Join(damage, err)
		case bytes.Contains(line, quoted):
			lines = append(lines, bytes.Clone(line))
		}
	}
	return lines, damage
}
