// Package contract finds the operation that a request means in the OpenAPI 3.0 and
// 3.1 documents of the configured APIs, and reads the objects that it names.
//
// What a document says of paths, methods, parameters and security is the whole
// truth: what it does not describe is unknown, and what it leaves open (an
// operation without security, two templates that match the same path) does not
// load. What OpenAPI cannot say stands in x-countersign extensions. Nothing here
// knows who is calling, and bodies are not held against schemas.
package contract

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"iter"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz"
)

// Config are the APIs that have a contract. Where there is none, every request is for none.
type Config struct {
	APIs []API
}

// API is one contracted API.
type API struct {
	// Name is what Envoy's context_extensions say; it is unique and not empty.
	Name authz.API `yaml:"name"`
	// Document is the file of the OpenAPI document, YAML or JSON. It must be
	// whole: a $ref into another file is refused.
	Document string `yaml:"document"`
	// Hosts choose this API for requests that Envoy sends without a name: exact
	// names without port, in any case. Most deployments need none.
	Hosts []string `yaml:"hosts"`
	// BasePath stands before every path of the document, such as
	// "/open-banking/v4.0"; "" means none. The document's own servers are not
	// used for paths: they say where an API is published, not where Envoy sees it.
	BasePath string `yaml:"base_path"`
	// Audiences are the API's names for itself in tokens, which whoever reads the
	// configuration fills in: they stand there once.
	Audiences []string `yaml:"-"`
	// Resource is the API's identifier as a protected resource (RFC 9728 §1.2), such as
	// "https://api.bank.example/open-banking", by which challenges name its metadata; ""
	// means none.
	Resource string `yaml:"resource"`
	// InteractionID gives every request an interaction id, the client's where it is a
	// UUID, which upstream, client and record are told.
	InteractionID bool `yaml:"interaction_id"`
}

// Contracts are the operations of every API. They are immutable and safe for
// concurrent use.
type Contracts struct {
	apis       map[authz.API]*served
	hosts      map[string]*served
	operations []*authz.Operation
	readings   map[*authz.Operation]reading
	// from and digest are the configuration and the hash of what it and its documents say.
	from   Config
	digest []byte
}

// served is an API ready to be matched.
type served struct {
	name authz.API
	// base are the decoded segments of the base path.
	base    []string
	tree    *node
	answers authz.Answers
}

var _ authz.Contracts = (*Contracts)(nil)

// New reads every document. Its error is authz.Problems, all faults of the
// configuration and the documents in one go: those of a document have its file,
// line and key; the rest have a key relative to Config and no file.
func New(cfg Config) (*Contracts, error) {
	c := &Contracts{apis: map[authz.API]*served{}, hosts: map[string]*served{}, readings: map[*authz.Operation]reading{}, from: cfg}
	var problems authz.Problems
	digest := sha256.New()
	for i, api := range cfg.APIs {
		key := fmt.Sprintf("apis[%d]", i)
		s := c.admit(key, api, &problems)
		raw := c.read(key, api, s, &problems)
		api.hash(digest, raw)
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	c.digest = digest.Sum(nil)
	return c, nil
}

// Again is New, and gives c itself where neither the configuration nor what its documents
// hold has changed: to read a document again takes longer than to compile a policy. c may
// be nil.
func (c *Contracts) Again(cfg Config) (*Contracts, error) {
	if c != nil && reflect.DeepEqual(cfg, c.from) && bytes.Equal(cfg.digest(), c.digest) {
		return c, nil
	}
	return New(cfg)
}

// digest is that of Contracts which New would make, if the documents have no fault; nil
// where one cannot be read.
func (cfg Config) digest() []byte {
	digest := sha256.New()
	for _, api := range cfg.APIs {
		raw, err := readFile(api.Document)
		if err != nil {
			return nil
		}
		api.hash(digest, raw)
	}
	return digest.Sum(nil)
}

// hash hashes an API and its document. Lengths stand before values, so that no two
// configurations hash alike.
func (a API) hash(digest io.Writer, document []byte) {
	fmt.Fprintf(digest, "%d:%s %d:%s %d:%q %d:%q ", len(a.Name), a.Name, len(a.BasePath), a.BasePath,
		len(a.Hosts), a.Hosts, len(a.Audiences), a.Audiences)
	fmt.Fprintf(digest, "%d:%s %t ", len(a.Resource), a.Resource, a.InteractionID)
	fmt.Fprintf(digest, "%d:", len(document))
	digest.Write(document)
}

// Operations yields every operation, APIs in the order of the configuration,
// then by path and method.
func (c *Contracts) Operations() iter.Seq[*authz.Operation] { return slices.Values(c.operations) }

// ParsesBody reports an operation of c whose requests can have a JSON body that is parsed.
func (c *Contracts) ParsesBody(operation *authz.Operation) bool {
	return c.readings[operation].hasBody && !operation.Stream
}

// Digest is a SHA-256 over the documents' bytes and the configuration, for the
// snapshot's revision. Where a document is kept does not count.
func (c *Contracts) Digest() []byte { return slices.Clone(c.digest) }

// admit checks what the configuration says of an API, and registers it.
func (c *Contracts) admit(key string, api API, problems *authz.Problems) *served {
	s := &served{name: api.Name, tree: &node{}}
	switch _, twice := c.apis[api.Name]; {
	case api.Name == "":
		problems.Add(key+".name", "is empty", "name the API as context_extensions do")
	case twice:
		problems.Add(key+".name", fmt.Sprintf("%q is the name of another API, too", api.Name), "give each API a name of its own")
	}
	c.admitResource(key+".resource", api, problems)
	s.answers = authz.Answers{Metadata: api.Metadata(), Interactions: api.InteractionID}
	c.apis[api.Name] = s
	for i, host := range api.Hosts {
		c.admitHost(fmt.Sprintf("%s.hosts[%d]", key, i), host, s, problems)
	}
	s.base = basePath(key+".base_path", api.BasePath, problems)
	return s
}

func (c *Contracts) admitHost(key, host string, s *served, problems *authz.Problems) {
	name := hostname(host)
	switch _, twice := c.hosts[name]; {
	case name == "" || strings.ContainsAny(host, ":/*@[] "):
		problems.Add(key, fmt.Sprintf("%q is not a host name", host), "write the name alone, without scheme, port or wildcard")
	case twice:
		problems.Add(key, fmt.Sprintf("%q is listed twice", name), "tell the APIs of one host apart by context_extensions in Envoy's routes")
	}
	c.hosts[name] = s
}

// basePath returns the decoded segments of a base path, none for "".
func basePath(key, path string, problems *authz.Problems) []string {
	if path == "" {
		return nil
	}
	target, err := authz.ParseTarget(path)
	if err != nil || target.Path != path || strings.HasSuffix(path, "/") {
		problems.Add(key, fmt.Sprintf("%q is not a canonical path prefix", path), `write it as "/open-banking/v4.0": a slash before, none after, no query`)
		return nil
	}
	return target.Segments
}

// read adds the document's operations to s and to c, and returns its bytes.
func (c *Contracts) read(key string, api API, s *served, problems *authz.Problems) []byte {
	raw, err := readFile(api.Document)
	if err != nil {
		problems.Add(key+".document", err.Error(), "name a readable OpenAPI 3.0 or 3.1 document")
		return nil
	}
	operations, faults := compile(api, raw, s.tree)
	for _, o := range operations {
		c.operations = append(c.operations, o.Operation)
		c.readings[o.Operation] = o.reading
		s.answers.Browsers = s.answers.Browsers || o.Browsers
	}
	*problems = append(*problems, faults...)
	return raw
}

// maxDocument bounds a document: the largest real ones are a few MiB.
const maxDocument = 64 << 20

func readFile(path string) ([]byte, error) {
	if path == "" {
		return nil, fmt.Errorf("is empty")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if len(raw) > maxDocument {
		return nil, fmt.Errorf("is over %d MiB", maxDocument>>20)
	}
	return raw, nil
}
