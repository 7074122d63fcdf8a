// Package bank brings the demo bank to life: its records, its token issuer, its
// certificates and its upstream, and before them a real Envoy and a real Countersign,
// all on loopback and in one run folder.
//
// A Bank is what lies still; a Stack is what runs; a Story is one request to it, and
// what must come of it. The demo tells the stories, and so do the integration tests,
// once through Envoy and once through the pure pipeline.
//
// Nothing here decides anything: what is allowed, Countersign says.
package bank

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver by which Seed writes the bank's records

	"github.com/countersign-io/countersign/authz/replay"
	"github.com/countersign-io/countersign/authz/replay/file"
	"github.com/countersign-io/countersign/examples/openbanking"
)

// Bank is the demo bank at rest: a run folder with its records, contract, policy,
// keys and certificates, and the issuers that sign its tokens.
type Bank struct {
	// Dir is the run folder, absolute.
	Dir          string
	Certificates *Certificates
	Issuer       *Issuer

	staff   *Issuer
	holders holders
	now     time.Time
}

// Open makes a bank in dir, which is created, and in which files of an earlier bank
// are replaced. now is the time at which tokens are issued.
func Open(dir string, now time.Time) (*Bank, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("bank: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("bank: %w", err)
	}
	if err := copyFiles(dir); err != nil {
		return nil, fmt.Errorf("bank: %w", err)
	}
	if err := declareEmergency(dir, now); err != nil {
		return nil, err
	}
	if err := seed(filepath.Join(dir, "bank.db")); err != nil {
		return nil, err
	}
	certificates, err := newCertificates(dir, now)
	if err != nil {
		return nil, err
	}
	issuer, err := openIssuer(filepath.Join(dir, "jwks.json"))
	if err != nil {
		return nil, err
	}
	staff, err := openIssuer(filepath.Join(dir, "staff.json"))
	if err != nil {
		return nil, err
	}
	if err := revoke(filepath.Join(dir, "state")); err != nil {
		return nil, err
	}
	holders, err := newHolders()
	if err != nil {
		return nil, err
	}
	return &Bank{Dir: dir, Certificates: certificates, Issuer: issuer, staff: staff, holders: holders, now: now}, nil
}

// openIssuer makes an issuer, and writes its key set to a file.
func openIssuer(file string) (*Issuer, error) {
	issuer, err := newIssuer()
	if err != nil {
		return nil, err
	}
	keys, err := issuer.JWKS()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, keys, 0o600); err != nil {
		return nil, fmt.Errorf("bank: %w", err)
	}
	return issuer, nil
}

// copyFiles puts the contract and the policy, without its tests, into dir.
func copyFiles(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "policy"), 0o700); err != nil {
		return err
	}
	for _, name := range []string{"openapi.yaml", "policy/site.rego", "policy/openbanking.rego", "policy/data.json"} {
		content, err := fs.ReadFile(openbanking.Files, name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// stolen is the id of a token that was stolen, and revoked.
const stolen = "stolen"

// revoke revokes that token for a day, as countersign revoke does, and no other.
func revoke(state string) error {
	log := filepath.Join(state, "revocations.log")
	err := os.MkdirAll(state, 0o700)
	if removed := os.Remove(log); !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	if err != nil {
		return fmt.Errorf("bank: %w", err)
	}
	store := replay.New(nil, file.New(log, nil))
	return store.Revoke(context.Background(), replay.Revocation{Issuer: IssuerName, ID: stolen}, time.Now().Add(24*time.Hour))
}

// seed makes the bank's records anew from bank.sql.
func seed(path string) (err error) {
	script, err := fs.ReadFile(openbanking.Files, "bank.sql")
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("seed: %w", err)
	}
	database, err := sql.Open("sqlite", "file:"+path+"?_pragma=foreign_keys(1)")
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	defer func() {
		if closing := database.Close(); err == nil && closing != nil {
			err = fmt.Errorf("seed: %w", closing)
		}
	}()
	if _, err := database.Exec(string(script)); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	return nil
}
