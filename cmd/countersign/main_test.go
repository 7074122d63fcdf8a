package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite"
)

var update = flag.Bool("update", false, "rewrite the golden parts of testdata/script")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"countersign": main})
}

// TestScripts runs the command as a person would. Each script begins in a folder
// with what testdata/base holds, a key set and a database.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		Setup:         func(env *testscript.Env) error { return furnish(env.WorkDir) },
		Cmds:          map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		UpdateScripts: *update,
	})
}

// exits runs countersign and holds its exit code against the first argument.
func exits(script *testscript.TestScript, _ bool, args []string) {
	exitsBy(script, args[0], "countersign", args[1:]...)
}

func exitsBy(script *testscript.TestScript, wanted, program string, args ...string) {
	want, err := strconv.Atoi(wanted)
	script.Check(err)
	code := 0
	var failure *exec.ExitError
	if err := script.Exec(program, args...); errors.As(err, &failure) {
		code = failure.ExitCode()
	} else {
		script.Check(err)
	}
	if code != want {
		script.Fatalf("exit code %d, want %d", code, want)
	}
}

// tables are of the database that testdata/base/countersign.yaml asks.
const tables = `
	create table accounts (id text, owner text, issuer text);
	create table consents (id text, issuer text, status text, client text, subject text, permissions text, objects text, expires_at text);`

// furnish adds to a folder what it lacks of all that testdata/base/countersign.yaml names.
func furnish(dir string) error {
	if err := copyNew(dir, os.DirFS("testdata/base")); err != nil {
		return err
	}
	keys, err := keySet()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "jwks.json"), keys, 0o600); err != nil {
		return err
	}
	database, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "bank.db"))
	if err != nil {
		return err
	}
	_, err = database.Exec(tables)
	return errors.Join(err, database.Close())
}

// copyNew copies what a script did not bring itself.
func copyNew(dir string, from fs.FS) error {
	return fs.WalkDir(from, ".", func(name string, entry fs.DirEntry, err error) error {
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err != nil || entry.IsDir() {
			return errors.Join(err, os.MkdirAll(to, 0o700))
		}
		if _, err := os.Stat(to); err == nil {
			return nil
		}
		content, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		return os.WriteFile(to, content, 0o600)
	})
}

// keySet is a JWK Set with one public key.
func keySet() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	encode := base64.RawURLEncoding.EncodeToString
	return json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "kid": "k1", "alg": "ES256", "use": "sig", "x": encode(point[1:33]), "y": encode(point[33:]),
	}}})
}
