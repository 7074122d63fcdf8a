// Package audit keeps what was decided: one line of canonical JSON for each
// decision, in a file that is only ever appended to.
//
// It stands at the end of the pipeline, before the answer: an allow, and a denial
// of a caller who has authenticated, is on disk before Record returns, and a record
// that could not be kept is an error, which the pipeline turns into a denial. What is
// on disk although its caller was refused is taken back by a second record. Refusals
// before authentication are written later, and those of a flood are only counted.
//
// People never stand in a record, only pseudonyms of them: hashes under a key that
// is a file of its own. audit decides nothing, and changes nothing that it has
// written: it only cuts off a last line that a crash or a full disk left unfinished.
package audit

import "github.com/countersign-io/countersign/authz"

// Config says where records are kept. Both paths are required; what they name is
// made on the first start, in folders that exist.
type Config struct {
	// File is the log. One process at a time may write to it, and nobody else: not
	// a log rotator either.
	File string
	// Key is the pseudonym key. Whoever reads it can tell which records are a
	// known person's; once it is destroyed, nobody can.
	Key string
}

// Open opens the log and the key, or makes them. Its error is authz.Problems, with
// every fault of the configuration.
func Open(cfg Config) (*Log, error) {
	problems := cfg.check()
	if err := problems.Err(); err != nil {
		return nil, err
	}
	key := openKey(cfg.Key, &problems)
	log := openLog(cfg.File, key, &problems)
	if err := problems.Err(); err != nil {
		if log != nil {
			log.Close()
		}
		return nil, err
	}
	return log, nil
}

func (c Config) check() authz.Problems {
	var problems authz.Problems
	if c.File == "" {
		problems.Add("file", "is missing", "name the file that decisions are appended to, such as decisions.jsonl")
	}
	if c.Key == "" {
		problems.Add("key", "is missing", "name the file of the pseudonym key, such as pseudonym.key; it is made if it is absent")
	}
	if c.File != "" && c.File == c.Key {
		problems.Add("key", "is the log's own file", "name another file")
	}
	return problems
}
