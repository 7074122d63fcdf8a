// Package oidc runs a real OpenID provider for a test, of its own and on loopback, whose
// keys can be rotated; and it is a client of that provider's.
//
// The provider is oidc-provider under its FAPI 2.0 profile (provider.mjs). Package oidc
// looks for it, and for the Node.js that runs it, in the folder COUNTERSIGN_OIDC, and
// where make installs both. It ends with the test, or with the test's process.
package oidc

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// patience bounds what the provider and its clients do for each other.
const patience = 20 * time.Second

//go:embed provider.mjs
var program []byte

// Settings are what a provider is started with.
type Settings struct {
	// Certificate and Key are its own, and Authority has signed those of its clients:
	// PEM files.
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
	Authority   string `json:"authority"`
	// Audience is the API that access tokens are for, and Scope what they can allow there.
	Audience string `json:"audience"`
	Scope    string `json:"scope"`
	// ACR is how customers log in there.
	ACR string `json:"acr"`
	// Clients are its clients' metadata (RFC 7591 §2).
	Clients []map[string]any `json:"clients"`
}

// Step is a step of a key rotation.
type Step string

// The steps, in their order. An issuer that lets Sign follow at once on Publish signs
// with what nobody can know yet.
const (
	Publish Step = "publish" // new keys stand beside the old ones
	Sign    Step = "sign"    // the new ones sign
	Retire  Step = "retire"  // the old ones are published no more
)

// Provider is an OpenID provider that runs. It is for one goroutine.
type Provider struct {
	// Issuer is its identifier, the URL under which it answers.
	Issuer string

	to    io.WriteCloser
	said  chan string // closed with its output
	ended chan error
	log   string
}

// Start starts a provider, and waits until it answers. The test fails if it ends badly.
func Start(t testing.TB, settings Settings) *Provider {
	t.Helper()
	line, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{said: make(chan string), ended: make(chan error, 1)}
	p.run(t, install(t))
	t.Cleanup(func() { p.stop(t) })
	p.Issuer = p.order(t, string(line))
	return p
}

// Rotate takes steps of a key rotation, in turn.
func (p *Provider) Rotate(t testing.TB, steps ...Step) {
	t.Helper()
	for _, step := range steps {
		if said := p.order(t, string(step)); said != string(step) {
			t.Fatalf("the provider was told to %s, and says %q", step, said)
		}
	}
}

// install puts the program beside what make has installed for it, and returns the folder.
func install(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	installed := os.Getenv("COUNTERSIGN_OIDC")
	if installed == "" {
		installed = filepath.Join("..", ".tools", "oidc") // as tests of integration see it
	}
	installed, err := filepath.Abs(installed)
	if err == nil {
		_, err = os.Stat(filepath.Join(installed, "node_modules", "oidc-provider"))
	}
	if err != nil {
		t.Fatalf("there is no oidc-provider: run these tests by make test, which installs it: %v", err)
	}
	for _, name := range []string{"node", "node_modules"} {
		err = errors.Join(err, os.Symlink(filepath.Join(installed, name), filepath.Join(dir, name)))
	}
	if err := errors.Join(err, os.WriteFile(filepath.Join(dir, "provider.mjs"), program, 0o600)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// run starts the program, which takes orders by the line.
func (p *Provider) run(t testing.TB, dir string) {
	t.Helper()
	p.log = filepath.Join(dir, "provider.log")
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	command := exec.Command(filepath.Join(dir, "node"), "provider.mjs")
	command.Dir, command.Stderr = dir, log
	to, toFault := command.StdinPipe()
	from, fromFault := command.StdoutPipe()
	if err := errors.Join(toFault, fromFault, command.Start()); err != nil {
		t.Fatal(err)
	}
	p.to = to
	go func() {
		lines := bufio.NewScanner(from)
		for lines.Scan() {
			p.said <- lines.Text()
		}
		close(p.said)
		p.ended <- command.Wait()
	}()
	t.Cleanup(func() { _ = command.Process.Kill() }) // it has ended by itself, if all is well
}

// order gives the provider a line, and returns the one that it answers with.
func (p *Provider) order(t testing.TB, line string) string {
	t.Helper()
	if _, err := fmt.Fprintln(p.to, line); err != nil {
		t.Fatalf("the provider takes no orders: %v\n%s", err, p.tail())
	}
	select {
	case said, ok := <-p.said:
		if ok {
			return said
		}
		t.Fatalf("the provider has ended:\n%s", p.tail())
	case <-time.After(patience):
		t.Fatalf("the provider has said nothing for %v:\n%s", patience, p.tail())
	}
	return ""
}

// stop ends the provider with its orders.
func (p *Provider) stop(t testing.TB) {
	t.Helper()
	_ = p.to.Close() // it may have ended
	select {
	case err := <-p.ended:
		if err != nil {
			t.Errorf("the provider ended badly: %v\n%s", err, p.tail())
		}
	case <-time.After(patience):
		t.Errorf("the provider did not end within %v of being told to:\n%s", patience, p.tail())
	}
}

func (p *Provider) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4096):])
}
