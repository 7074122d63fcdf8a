// Package bundlestest makes and serves bundles for tests: signed ones, by OPA's own
// packages, and a server of HTTP that can be killed.
package bundlestest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/open-policy-agent/opa/v1/bundle"
)

// Key signs bundles by ES256.
type Key struct {
	ID string
	// Public and private are PEM.
	Public, private string
}

// NewKey makes one.
func NewKey(t testing.TB, id string) Key {
	t.Helper()
	made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&made.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(made)
	if err != nil {
		t.Fatal(err)
	}
	return Key{
		ID:      id,
		Public:  string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
		private: string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})),
	}
}

// Bundle is one to be made.
type Bundle struct {
	Revision string
	// Roots are all of data where nil.
	Roots []string
	// Files are texts by their paths, .manifest apart.
	Files map[string]string
	// By signs it; the zero Key does not.
	By Key
}

// Build makes it, as opa build and opa sign do.
func (b Bundle) Build(t testing.TB) []byte {
	t.Helper()
	manifest := map[string]any{"revision": b.Revision}
	if b.Roots != nil {
		manifest["roots"] = b.Roots
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	files := maps.Clone(b.Files)
	files["/.manifest"] = string(text)
	raw := Pack(t, files)
	if b.By.ID == "" {
		return raw
	}
	read, err := bundle.NewReader(bytes.NewReader(raw)).Read()
	if err != nil {
		t.Fatal(err)
	}
	if err := read.GenerateSignature(bundle.NewSigningConfig(b.By.private, "ES256", ""), b.By.ID, false); err != nil {
		t.Fatal(err)
	}
	var signed bytes.Buffer
	if err := bundle.Write(&signed, read); err != nil {
		t.Fatal(err)
	}
	return signed.Bytes()
}

// Pack is a .tar.gz of files.
func Pack(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	packed := gzip.NewWriter(&out)
	archive := tar.NewWriter(packed)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(files[name])), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(archive, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Unpack is the reverse.
func Unpack(t testing.TB, raw []byte) map[string]string {
	t.Helper()
	packed, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	files, archive := map[string]string{}, tar.NewReader(packed)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = string(text)
	}
}

// Server serves bundles with an ETag each, and takes reports of status.
type Server struct {
	// URL stays the same over a Restart.
	URL string

	address string
	mu      sync.Mutex
	server  *http.Server
	files   map[string][]byte
	// sent and unchanged are how often a bundle was, and status what was reported.
	sent, unchanged int
	status          [][]byte
}

// Serve starts a server, which ends with the test.
func Serve(t testing.TB) *Server {
	t.Helper()
	s := &Server{files: map[string][]byte{}, address: "127.0.0.1:0"}
	s.Restart(t)
	t.Cleanup(s.Kill)
	return s
}

// Restart listens where it did before.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	s.URL = "http://" + s.address
	server := &http.Server{Handler: s}
	s.mu.Lock()
	s.server = server
	s.mu.Unlock()
	go server.Serve(listener)
}

// Kill ends it, and every connection.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server.Close()
}

// Put serves content at a path from now on.
func (s *Server) Put(path string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files["/"+path] = content
}

// Asked is how often a bundle was sent, and how often it was told that nothing is new.
func (s *Server) Asked() (sent, unchanged int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent, s.unchanged
}

// Status are the reports that were posted.
func (s *Server) Status() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.status)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/status") {
		s.status = append(s.status, body)
		return
	}
	content, there := s.files[r.URL.Path]
	if !there {
		http.NotFound(w, r)
		return
	}
	sum := sha256.Sum256(content)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		s.unchanged++
		w.WriteHeader(http.StatusNotModified)
		return
	}
	s.sent++
	w.Header().Set("Content-Type", "application/gzip")
	_, _ = w.Write(content)
}
