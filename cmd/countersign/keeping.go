package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit"
)

// keptForm is the form of what is kept, and maxKeeping bounds it.
const (
	keptForm   = 1
	maxKeeping = 16 << 20
)

// subject is what a replay is of: another one cannot go on from it.
type subject struct {
	Candidate string    `json:"candidate"`
	API       string    `json:"api,omitempty"`
	Folder    string    `json:"folder"`
	Since     time.Time `json:"since"`
	Until     time.Time `json:"until"`
}

// keeping is how far a replay came, as it is kept in a file. It names decisions and
// operations, and nobody.
type keeping struct {
	// file is "" where nothing is kept.
	file string
	Form int         `json:"form"`
	Of   subject     `json:"of"`
	Mark audit.Mark  `json:"mark"`
	Told *comparison `json:"told"`
}

// open takes up what the file has, if there is one.
func (k *keeping) open() error {
	k.Form, k.Told = keptForm, newComparison()
	if k.file == "" {
		return nil
	}
	from, err := os.Open(k.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return k.problem("cannot be read: "+cause(err), "name a file of this user's, or none")
	}
	defer from.Close()
	before := keeping{Told: newComparison()}
	if err := json.NewDecoder(io.LimitReader(from, maxKeeping)).Decode(&before); err != nil || before.Form != keptForm || before.Told == nil {
		return k.problem("is not what replay keeps", "name another file, or remove this one")
	}
	if before.Of != k.Of {
		return k.problem("is of another candidate, log or time", "give the flags and the policy that it was begun with, or remove it to begin anew")
	}
	k.Mark, k.Told = before.Mark, before.Told
	k.Told.index()
	return nil
}

func (k *keeping) problem(what, fix string) error {
	return authz.Problems{{File: k.file, What: what, Fix: fix}}
}

// save puts the file in the place of the one before, whole.
func (k *keeping) save() error {
	if k.file == "" {
		return nil
	}
	made, err := os.CreateTemp(filepath.Dir(k.file), "."+filepath.Base(k.file)+".*") // for its owner only
	if err != nil {
		return k.problem("cannot be written: "+cause(err), "name a file in a folder that can be written to")
	}
	err = errors.Join(json.NewEncoder(made).Encode(k), made.Sync(), made.Close())
	if err == nil {
		err = os.Rename(made.Name(), k.file)
	}
	if err != nil {
		return fmt.Errorf("replay: how far it came is not kept: %w", errors.Join(err, os.Remove(made.Name())))
	}
	return nil
}

// remove removes the file of a replay that has come to its end.
func (k *keeping) remove() error {
	if err := os.Remove(k.file); k.file != "" && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
