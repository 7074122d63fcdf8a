// Package audit keeps what was decided: one line of canonical JSON for each
// decision, in files that are only ever appended to and sealed by checksums.
//
// It stands at the end of the pipeline, before the answer: an allow, and a denial
// of a caller who has authenticated, is on disk before Record returns, and a record
// that could not be kept is an error, which the pipeline turns into a denial. What is
// on disk although its caller was refused is taken back by a second record. Refusals
// before authentication are written later, and those of a flood are only counted.
//
// People never stand in a record, only pseudonyms of them: hashes under a key that
// is a file of its own. What the policy decided on holds people as they are, so it is
// kept apart, encrypted, and only so that a decision can be explained. audit decides
// nothing, and changes nothing that it has written: it only cuts off what a crash or a
// full disk left unfinished.
package audit

import (
	"fmt"
	"iter"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit/secret"
	"github.com/countersign-io/countersign/authz/audit/segment"
	"github.com/countersign-io/countersign/authz/audit/vault"
)

// Config says where and how records are kept. The zero values of all but the paths
// stand for defaults.
type Config struct {
	// Folder holds the log, and the inputs. One process at a time may write to it,
	// and nobody else.
	Folder string `yaml:"folder"`
	// Durability is when a record counts as kept; default Durable.
	Durability Durability `yaml:"durability"`
	// Inputs is what is kept of the documents that policies decided on; default
	// PrunedInputs.
	Inputs Inputs `yaml:"inputs"`
	// SegmentBytes is the size at which a file is closed and the next begun; default
	// 64 MiB.
	SegmentBytes int64 `yaml:"segment_bytes"`
	// ReserveBytes are left free for records: with less free on the disk, neither inputs
	// nor refusals before authentication are written. Default 256 MiB.
	ReserveBytes int64 `yaml:"reserve_bytes"`

	// PseudonymKey is the file of the pseudonyms' key. Whoever reads it can tell which
	// records are a known person's; once it is destroyed, nobody can.
	PseudonymKey string `yaml:"-"`
	// InputKey is the file of the inputs' key. Once it is destroyed, none can be read.
	InputKey string `yaml:"-"`
}

// Durability is when a record counts as kept.
type Durability string

const (
	// Durable records are on disk, by fsync, before they are answered on.
	Durable Durability = "durable"
	// Buffered records are answered on first, and on disk within about a second: what a
	// crash of the process or the machine loses of them is lost.
	Buffered Durability = "buffered"
)

// Inputs is what is kept of the documents that policies decided on.
type Inputs string

// What can be kept: nothing, as much as the policy in force could read, or all.
const (
	NoInputs     Inputs = "none"
	PrunedInputs Inputs = "pruned"
	FullInputs   Inputs = "full"
)

const (
	defaultSegment = 64 << 20
	minSegment     = 1 << 20
	maxSegment     = 1 << 30
	defaultReserve = 256 << 20
)

// The keys of problems with the files of keys, which the configuration does not name.
const (
	PseudonymKeyProblem = "pseudonym key"
	InputKeyProblem     = "input key"
)

// The names of the two kinds of files.
const (
	decisions = "decisions"
	inputs    = "inputs"
)

// Filled is the configuration with its defaults.
func (c Config) Filled() Config {
	c.Durability = fallback(c.Durability, Durable)
	c.Inputs = fallback(c.Inputs, PrunedInputs)
	c.SegmentBytes = fallback(c.SegmentBytes, defaultSegment)
	c.ReserveBytes = fallback(c.ReserveBytes, defaultReserve)
	return c
}

func fallback[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// Open opens the log and the keys, or makes them, in folders that exist. Its error is
// authz.Problems, with every fault of the configuration.
func Open(cfg Config) (*Log, error) {
	problems := cfg.Check()
	if problems != nil {
		return nil, problems
	}
	cfg = cfg.Filled()
	pseudonyms := secret.Open(cfg.PseudonymKey, PseudonymKeyProblem, &problems)
	var hidden *secret.Key
	if cfg.Inputs != NoInputs {
		hidden = secret.Open(cfg.InputKey, InputKeyProblem, &problems)
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return open(cfg, pseudonyms, hidden)
}

func open(cfg Config, pseudonyms, hidden *secret.Key) (*Log, error) {
	records, found, err := segment.Open(segment.Config{Folder: cfg.Folder, Name: decisions, MaxBytes: cfg.SegmentBytes})
	if err != nil {
		return nil, authz.ProblemsOf(err)
	}
	log := &Log{key: &key{id: pseudonyms.ID, secret: pseudonyms.Secret}, repairs: repairs(cfg.Folder, decisions, found, pseudonyms),
		buffered: cfg.Durability == Buffered, folder: cfg.Folder, reserve: cfg.ReserveBytes}
	if hidden == nil {
		return log.start(records, nil), nil
	}
	kept, found, err := segment.Open(segment.Config{Folder: cfg.Folder, Name: inputs, MaxBytes: cfg.SegmentBytes})
	if err != nil {
		records.Close()
		return nil, authz.ProblemsOf(err)
	}
	log.repairs = append(log.repairs, repairs(cfg.Folder, inputs, found, hidden)...)
	return log.start(records, newKeeper(vault.New(cfg.Folder, hidden), kept)), nil
}

// repairs tells what was wrong with files and was put right. A key that is made although
// there are lines of another is one of them: most likely the other was lost.
func repairs(folder, name string, found segment.Opened, key *secret.Key) []string {
	var told []string
	if found.Torn > 0 {
		told = append(told, fmt.Sprintf("%s: the last %d bytes were unfinished and were cut off: nothing was answered on them", name, found.Torn))
	}
	if found.Damaged != "" {
		told = append(told, fmt.Sprintf("%s: %s is damaged and was left as it is; a new file is begun", name, found.Damaged))
	}
	if key.Made && !empty(folder, name) {
		told = append(told, fmt.Sprintf("%s: made a new %s, id %s: what was written before is under another; if that was not meant, stop, and restore the key from a copy", name, keyNames[name], key.ID))
	}
	return told
}

// keyNames are what the keys of the two kinds of files are called.
var keyNames = map[string]string{decisions: PseudonymKeyProblem, inputs: InputKeyProblem}

// empty reports that no line was written, in any file that is still there.
func empty(folder, name string) bool {
	next, stop := iter.Pull2(segment.Lines(folder, name))
	defer stop()
	_, _, found := next()
	return !found
}

// Check says what is wrong with the configuration, without writing anything; nil where
// nothing is.
func (c Config) Check() authz.Problems {
	var problems authz.Problems
	c = c.Filled()
	if c.Folder == "" {
		problems.Add("folder", "is missing", "name a folder for the records")
	}
	if c.Durability != Durable && c.Durability != Buffered {
		problems.Add("durability", fmt.Sprintf("%q is not known", c.Durability), "use durable or buffered")
	}
	if c.Inputs != NoInputs && c.Inputs != PrunedInputs && c.Inputs != FullInputs {
		problems.Add("inputs", fmt.Sprintf("%q is not known", c.Inputs), "use none, pruned or full")
	}
	if c.SegmentBytes < minSegment || c.SegmentBytes > maxSegment {
		problems.Add("segment_bytes", fmt.Sprintf("is %d", c.SegmentBytes), fmt.Sprintf("use %d to %d", minSegment, maxSegment))
	}
	if c.ReserveBytes < 0 {
		problems.Add("reserve_bytes", fmt.Sprintf("is %d", c.ReserveBytes), "use a number of bytes, such as 268435456")
	}
	if c.Durability == Durable && c.Folder != "" && inMemory(c.Folder) {
		problems.Add("folder", "is in memory (tmpfs): no record there is durable", "name a folder on a disk, or write durability: buffered and lose the records with the machine")
	}
	return problems
}
