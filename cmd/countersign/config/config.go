// Package config reads countersign.yaml: every key strictly, every fault with its
// line, all of them in one go. It composes the Configs of the packages, each of
// which says what its keys mean, and judges nothing that needs a file or a socket
// but its own: package wire does.
package config

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/audit"
	"github.com/countersign-io/countersign/authz/certificate"
	"github.com/countersign-io/countersign/authz/consent"
	"github.com/countersign-io/countersign/authz/console"
	"github.com/countersign-io/countersign/authz/ownership"
	"github.com/countersign-io/countersign/authz/replay"
	"github.com/countersign-io/countersign/authz/token"
	"github.com/countersign-io/countersign/envoy"
	"github.com/countersign-io/countersign/rego"
	"github.com/countersign-io/countersign/rego/bundles"
)

// Config is countersign.yaml. Paths in it are relative to its folder.
type Config struct {
	// Server has listen, client_address, realm, timeout, max_message_bytes and
	// max_concurrent_checks.
	Server envoy.Config `yaml:",inline"`
	// Certificates has client_certificate and xfcc_elements.
	Certificates certificate.Config `yaml:",inline"`
	// Admin is a loopback address for health and metrics; "" means none.
	Admin string `yaml:"admin"`
	// State is a folder of Countersign's own: keys that it makes on its first start,
	// and the last good key sets of issuers.
	State string `yaml:"state"`
	// Region is where this deployment serves from, such as GB.
	Region string `yaml:"region"`
	// Environment is the one that this deployment is, such as production.
	Environment string `yaml:"environment"`

	APIs       []API            `yaml:"apis"`
	Issuers    []token.Issuer   `yaml:"issuers"`
	TokenCache token.Cache      `yaml:"token_cache"`
	Ownership  ownership.Config `yaml:"ownership"`
	Consent    *consent.Config  `yaml:"consent"`
	Replay     replay.Config    `yaml:"replay"`
	Policy     rego.Config      `yaml:"policy"`
	Audit      audit.Config     `yaml:"audit"`

	file  string
	text  []byte
	lines map[string]int
	// expanded are the values with references, as expanded.
	expanded []string
	// foreign are keys of ours as OPA's configuration has them, and unheeded those of it
	// that change nothing; both of LoadPeer.
	foreign  map[string]string
	unheeded []Unheeded
}

// Bundles is where the bundles that were in force are kept.
func (c *Config) Bundles() bundles.Store {
	return bundles.Store{Folder: filepath.Join(c.State, "bundles")}
}

// maxFile bounds a configuration file.
const maxFile = 4 << 20

// Load reads a configuration. environ looks up what ${NAME} refers to. Its error is
// authz.Problems.
func Load(file string, environ func(name string) (string, bool)) (*Config, error) {
	text, err := read(file)
	if err != nil {
		return nil, authz.Problems{{File: file, What: err.Error(), Fix: "name a configuration with --config"}}
	}
	cfg := &Config{file: file, text: text}
	d := &decoder{environ: environ, lines: map[string]int{}}
	d.decode(text, cfg)
	problems := d.problems
	cfg.lines, cfg.expanded = d.lines, d.expanded
	for i := range problems {
		problems[i].File = file
	}
	cfg.resolve(filepath.Dir(file))
	if cfg.Readable() { // what is no YAML has no keys to miss
		problems = append(problems, cfg.Locate("", cfg.check())...)
	}
	slices.SortStableFunc(problems, func(a, b authz.Problem) int { return a.Line - b.Line })
	return cfg, problems.Err()
}

func read(file string) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("does not exist")
	case err != nil:
		return nil, errors.New("cannot be read")
	case info.IsDir() || info.Size() > maxFile:
		return nil, errors.New("is no configuration file")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, errors.New("cannot be read")
	}
	return bytes.TrimPrefix(text, []byte("\ufeff")), nil
}

// resolve takes paths from the configuration's folder, and fills in those that
// follow from State.
func (c *Config) resolve(folder string) {
	from := func(path *string) {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(folder, *path)
		}
	}
	from(&c.State)
	for i := range c.APIs {
		from(&c.APIs[i].Contract.Document)
		if policy := c.APIs[i].Policy; policy != nil {
			from(&policy.Peer.Descriptors)
			for n := range policy.Peer.Paths {
				from(&policy.Peer.Paths[n])
			}
		}
	}
	for i := range c.Issuers {
		keys := &c.Issuers[i].JWKS
		from(&keys.File)
		from(&keys.CacheDir)
		if keys.URL != "" && keys.CacheDir == "" && c.State != "" {
			keys.CacheDir = filepath.Join(c.State, "keys")
		}
	}
	for objectType, engine := range c.Ownership {
		from(&engine.Database)
		c.Ownership[objectType] = engine
	}
	if c.Consent != nil {
		from(&c.Consent.Database)
	}
	if server := c.Replay.Redis; server != nil {
		from(&server.PasswordFile)
		if server.TLS != nil {
			from(&server.TLS.CAFile)
			from(&server.TLS.CertificateFile)
			from(&server.TLS.KeyFile)
		}
	}
	from(&c.Policy.Path)
	if c.Policy.Shadow != nil {
		from(&c.Policy.Shadow.Path)
	}
	c.Policy.Downloads.Paths(from)
	from(&c.Audit.Folder)
	if c.State != "" {
		c.Replay.Revocations = filepath.Join(c.State, "revocations.log")
		c.Audit.PseudonymKey = filepath.Join(c.State, "pseudonym.key")
		c.Audit.InputKey = filepath.Join(c.State, "input.key")
		if c.Audit.Folder == "" {
			c.Audit.Folder = filepath.Join(c.State, "records")
		}
	}
	if path, isSocket := strings.CutPrefix(c.Server.Listen, "unix:"); isSocket {
		from(&path)
		c.Server.Listen = "unix:" + path
	}
}

// Files are the file itself and all that a snapshot is made of besides: documents,
// the policy, which may be a folder, and key sets.
func (c *Config) Files() []string {
	files := []string{c.file}
	for _, api := range c.APIs {
		files = append(files, api.Contract.Document)
		if api.Policy != nil {
			files = append(append(files, api.Policy.Peer.Descriptors), api.Policy.Peer.Paths...)
		}
	}
	for _, issuer := range c.Issuers {
		files = append(files, issuer.JWKS.File)
	}
	files = append(files, c.Policy.Path)
	if c.Policy.Shadow != nil {
		files = append(files, c.Policy.Shadow.Path)
	}
	return slices.DeleteFunc(files, func(file string) bool { return file == "" })
}

func (c *Config) check() authz.Problems {
	var problems authz.Problems
	if c.State == "" {
		problems.Add("state", "is missing", "name a folder that only Countersign writes to, such as state")
	}
	if len(c.APIs) == 0 {
		problems.Add("apis", "is empty", "name the API and its OpenAPI document")
	}
	c.checkAPIs(&problems)
	return problems
}

// Leniency is something that one issuer's tokens are forgiven.
type Leniency struct {
	Issuer string `json:"issuer"`
	// Takes is what is taken all the same.
	Takes string `json:"takes"`
}

// Leniencies are those of all issuers, for whoever starts or checks the configuration.
func (c *Config) Leniencies() []Leniency {
	all := []Leniency{}
	for _, issuer := range c.Issuers {
		for _, takes := range issuer.Leniencies() {
			all = append(all, Leniency{Issuer: issuer.Issuer, Takes: takes})
		}
	}
	return all
}

// CheckAdmin says what is wrong with the console's address, or nil.
func (c *Config) CheckAdmin() error {
	if c.Admin == "" {
		return nil
	}
	return console.Check(c.Admin).Err()
}

// RecordKeys maps keys of Audit to those of the file; the files of keys have none, and
// are named themselves.
func (c *Config) RecordKeys(problems authz.Problems) authz.Problems {
	mapped := slices.Clone(problems)
	for i, problem := range mapped {
		switch problem.Key {
		case audit.PseudonymKeyProblem:
			mapped[i].File, mapped[i].Key = c.Audit.PseudonymKey, ""
		case audit.InputKeyProblem:
			mapped[i].File, mapped[i].Key = c.Audit.InputKey, ""
		default:
			mapped[i].Key = "audit." + problem.Key
		}
	}
	return mapped
}

// Digest is a SHA-256 over the file as it is in force, with what the environment's
// references stood for, for the snapshot's revision.
func (c *Config) Digest() []byte {
	hash := sha256.New()
	// Lengths stand before texts, so that no two configurations hash alike.
	fmt.Fprintf(hash, "%d:%s", len(c.text), c.text)
	for _, value := range c.expanded {
		fmt.Fprintf(hash, "%d:%s", len(value), value)
	}
	return hash.Sum(nil)
}

// Locate gives problems of the value at prefix this file's name and the line of
// their key, or of the nearest key around it that is there. Problems that have a
// file of their own keep it.
func (c *Config) Locate(prefix string, problems authz.Problems) authz.Problems {
	located := slices.Clone(problems)
	for i, problem := range located {
		if problem.File != "" {
			continue
		}
		key := strings.Trim(prefix+"."+problem.Key, ".")
		located[i].File, located[i].Key, located[i].Line = c.file, c.named(key), c.line(key)
	}
	return located
}

// line is that of the key or of the nearest one around it, else 1.
func (c *Config) line(key string) int {
	for key != "" {
		if line, ok := c.lines[key]; ok {
			return line
		}
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
	}
	return 1
}

// TokenKeys maps keys of Tokens, which has the APIs by name, to those of the file.
func (c *Config) TokenKeys(problems authz.Problems) authz.Problems {
	mapped := slices.Clone(problems)
	for i, problem := range mapped {
		if rest, ok := strings.CutPrefix(problem.Key, "cache."); ok {
			mapped[i].Key = "token_cache." + rest
		}
		for n, api := range c.APIs {
			rest, ok := strings.CutPrefix(problem.Key, "apis."+string(api.Contract.Name)+".")
			if ok {
				mapped[i].Key = "apis[" + strconv.Itoa(n) + "]." + rest
			}
		}
	}
	return mapped
}

// Readable reports whether the file was YAML at all, so that what it names can be
// judged too.
func (c *Config) Readable() bool { return len(c.lines) > 0 }
