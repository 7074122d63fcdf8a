package rego

import (
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/loader"
	"github.com/open-policy-agent/opa/v1/version"

	"github.com/countersign-io/countersign/authz"
)

//go:embed library/standard.rego library/tables.rego library/roles.rego library/callers.rego library/hours.rego library/break_glass.rego library/details.rego library/amounts.rego
var library embed.FS

// libraryFolder begins the names of the library's files in messages. No file of a site
// may have it: it would be taken for the library's.
const libraryFolder = "(standard library)/"

func isLibrary(file string) bool { return strings.HasPrefix(file, libraryFolder) }

func isTest(file string) bool { return strings.HasSuffix(file, "_test.rego") }

// source is a policy as written: the library's modules and the site's modules and data.
type source struct {
	// path is where the site's files are, "" where there is no site, or they are in
	// several places, and named in full.
	path    string
	modules map[string]*ast.Module
	// raw are the modules' texts, by the same names.
	raw  map[string][]byte
	data map[string]any
	// rawData is the data as JSON, keys in order.
	rawData []byte
	// set is the id of the bundles' Set, or "".
	set string
	// parser says how modules are read.
	parser ast.ParserOptions
}

// load reads and parses the policy that cfg names, beside the library. Its error is
// authz.Problems with every file that cannot be read.
func load(cfg Config) (*source, error) { return loadWith(cfg, false) }

// loadWith is load, with the policy's tests or without.
func loadWith(cfg Config, tests bool) (*source, error) {
	s := &source{path: cfg.Path, modules: map[string]*ast.Module{}, raw: map[string][]byte{}, data: map[string]any{}, parser: parserOptions()}
	if err := s.addLibrary(); err != nil {
		return nil, s.problems(err)
	}
	if cfg.Path == "" && !cfg.Downloads.Used() {
		return s, nil
	}
	if cfg.Path == "" {
		return s.addSet(cfg.Set, tests)
	}
	leaveOut := served
	if tests {
		leaveOut = tested
	}
	stat, err := os.Stat(cfg.Path)
	switch {
	case err != nil:
		return nil, authz.Problems{{Key: "path", What: err.Error(), Fix: "name a directory of .rego files or a bundle"}}
	case stat.IsDir():
		err = s.addDirectory(leaveOut)
	default:
		err = s.addBundle(leaveOut)
	}
	if err == nil {
		s.rawData, err = json.Marshal(s.data)
	}
	if err != nil {
		return nil, s.problems(err)
	}
	return s, s.intrusions().Err()
}

func parserOptions() ast.ParserOptions {
	return ast.ParserOptions{RegoVersion: ast.RegoV1, ProcessAnnotation: true, Capabilities: capabilities()}
}

func parse(name string, text []byte) (*ast.Module, error) {
	return ast.ParseModuleWithOpts(name, string(text), parserOptions())
}

func (s *source) add(name string, text []byte) error { return s.addAs(name, text, ast.RegoV1) }

func (s *source) addAs(name string, text []byte, version ast.RegoVersion) error {
	options := s.parser
	options.RegoVersion = version
	module, err := ast.ParseModuleWithOpts(name, string(text), options)
	if err != nil {
		return err
	}
	s.modules[name], s.raw[name] = module, text
	return nil
}

func fileLoader() loader.FileLoader {
	return loader.NewFileLoader().
		WithRegoVersion(ast.RegoV1).
		WithProcessAnnotation(true).
		WithCapabilities(capabilities())
}

// addLibrary gives the source a library of its own: what walks a module may sort what is
// in it, and another engine may be made at the same time.
func (s *source) addLibrary() error {
	files, err := parsedLibrary()
	for _, file := range files {
		s.modules[file.name], s.raw[file.name] = file.module.Copy(), file.text
	}
	return err
}

// libraryFile is a file of the library. All sources copy it, and nothing else reads it.
type libraryFile struct {
	name   string
	text   []byte
	module *ast.Module
}

// parsedLibrary parses the library once a process: that takes longer than all else of
// loading a policy.
var parsedLibrary = sync.OnceValues(func() (files []libraryFile, err error) {
	err = fs.WalkDir(library, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := library.ReadFile(name)
		if err != nil {
			return err
		}
		name = libraryFolder + entry.Name()
		module, err := parse(name, text)
		files = append(files, libraryFile{name, text, module})
		return err
	})
	return files, err
})

func (s *source) addDirectory(leaveOut loader.Filter) error {
	// Files are named within the directory, so that a digest does not depend on
	// where it is, and a colon in its name is not taken for OPA's prefix syntax.
	loaded, err := fileLoader().WithFS(os.DirFS(s.path)).Filtered([]string{"."}, leaveOut)
	if err != nil {
		return err
	}
	for name, file := range loaded.Modules {
		if isLibrary(name) {
			return fmt.Errorf("file %q %w", name, errSameFile)
		}
		s.modules[name], s.raw[name] = file.Parsed, file.Raw
	}
	s.data = loaded.Documents
	return nil
}

func (s *source) addBundle(leaveOut loader.Filter) error {
	loaded, err := fileLoader().WithFilter(leaveOut).AsBundle(s.path)
	if err != nil {
		return err
	}
	if len(loaded.WasmModules) > 0 || len(loaded.PlanModules) > 0 || loaded.Type() != bundle.SnapshotBundleType {
		return errors.New("the bundle is compiled or a delta; build it with opa build, target rego")
	}
	if err := s.addModules("", loaded, true); err != nil {
		return err
	}
	s.data = loaded.Data
	return nil
}

// served leaves out what is no part of a policy in force: tests, files of other
// kinds, and dot names, among them the doubles that Kubernetes mounts beside a
// ConfigMap's files.
func served(path string, file fs.FileInfo, depth int) bool {
	return isTest(file.Name()) || tested(path, file, depth)
}

// tested leaves out the same, but keeps tests.
func tested(_ string, file fs.FileInfo, depth int) bool {
	switch {
	case depth > 0 && strings.HasPrefix(file.Name(), "."):
		return true
	case file.IsDir() || depth == 0:
		return false
	}
	return !slices.Contains([]string{".rego", ".json", ".yaml", ".yml"}, filepath.Ext(file.Name()))
}

// digest hashes all that decides. Everything is preceded by its length, so that
// nothing can be moved from one part to the next.
func (s *source) digest(decision ast.Ref) []byte {
	sum := sha256.New()
	frame(sum, []byte(version.Version))
	frame(sum, []byte(decision.String()))
	names := make([]string, 0, len(s.raw))
	for name := range s.raw {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		frame(sum, []byte(name))
		frame(sum, s.raw[name])
	}
	frame(sum, s.rawData)
	if s.set != "" { // what bundles are called is in records
		frame(sum, []byte(s.set))
	}
	return sum.Sum(nil)
}

// joined is the SHA-256 of parts.
func joined(parts ...[]byte) []byte {
	sum := sha256.New()
	for _, part := range parts {
		frame(sum, part)
	}
	return sum.Sum(nil)
}

func frame(sum hash.Hash, part []byte) {
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(part)))
	sum.Write(length[:])
	sum.Write(part)
}
