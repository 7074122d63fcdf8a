package rego

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/countersign-io/countersign/authz"
)

func peerFile(t testing.TB, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func peerOf(t testing.TB, text string) *Peer {
	t.Helper()
	peer, err := NewPeer(PeerConfig{Paths: []string{peerFile(t, "policy.rego", text)}})
	if err != nil {
		t.Fatal(err)
	}
	return peer
}

// peerFacts are those of a request with a body.
func peerFacts(kind, body string) *authz.Facts {
	http := map[string]any{"path": "/a/b", "headers": map[string]any{"content-type": kind}}
	if body != "" {
		http["rawBody"] = base64.StdEncoding.EncodeToString([]byte(body))
	}
	return &authz.Facts{Request: &authz.Request{
		Body:       []byte(body),
		Attributes: func() map[string]any { return map[string]any{"request": map[string]any{"http": http}} },
	}}
}

// TestPeerRefusesToLoad holds that what could never decide, or reaches past the input,
// does not start.
func TestPeerRefusesToLoad(t *testing.T) {
	policy := peerFile(t, "policy.rego", "package envoy.authz\n\nallow := true")
	tests := []struct {
		name string
		cfg  PeerConfig
		want string
	}{
		{"nothing", PeerConfig{}, "paths: is empty"},
		{"a file that is not there", PeerConfig{Paths: []string{"none.rego"}}, "none.rego"},
		{"no such rule", PeerConfig{Paths: []string{policy}, Decision: "envoy/authz/result"}, `decision: the policy has no rule at "envoy/authz/result"`},
		{"the network", PeerConfig{Paths: []string{peerFile(t, "net.rego", "package envoy.authz\n\nallow if http.send({\"method\": \"GET\", \"url\": \"http://127.0.0.1\"}).status_code == 200")}},
			"or allow it by name, under builtins"},
		{"what asks no network", PeerConfig{Paths: []string{policy}, Builtins: []string{"http.send", "opa.runtime"}}, `builtins[1]: "opa.runtime" asks no network`},
		{"hosts that nothing may ask", PeerConfig{Paths: []string{policy}, Hosts: []string{"a.example"}}, "hosts: are whom nothing may ask"},
		{"one of the network that is not allowed", PeerConfig{Builtins: []string{"http.send"}, Paths: []string{peerFile(t, "dns.rego", "package envoy.authz\n\nallow if net.lookup_ip_addr(\"a.example\")")}},
			"net.lookup_ip_addr is not for policies: it asks the network"},
		{"Rego of before OPA 1.0", PeerConfig{Paths: []string{peerFile(t, "old.rego", oldRego)}}, "rego_version: is v1, and this looks like Rego v0"},
		{"a version that there is not", PeerConfig{Paths: []string{policy}, RegoVersion: "v2"}, `rego_version: "v2" is not known`},
		{"what is no Rego at all", PeerConfig{Paths: []string{peerFile(t, "none.rego", "package a\n\nallow if {")}}, "none.rego:"},
		{"descriptors that are not there", PeerConfig{Paths: []string{policy}, Descriptors: "none.pb"}, "descriptors: open none.pb"},
		{"descriptors that are none", PeerConfig{Paths: []string{policy}, Descriptors: policy}, "descriptors: is no whole FileDescriptorSet"},
	}
	for _, test := range tests {
		if _, err := NewPeer(test.cfg); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: NewPeer() = %v, want %q", test.name, err, test.want)
		}
	}
}

// TestPeerHostsAreHosts holds that hosts are what OPA compares, so that none is listed in
// vain, and none stands for more than it says.
func TestPeerHostsAreHosts(t *testing.T) {
	policy := peerFile(t, "policy.rego", "package envoy.authz\n\nallow := true")
	of := func(host string) error {
		_, err := NewPeer(PeerConfig{Paths: []string{policy}, Builtins: []string{httpSend}, Hosts: []string{"a.example", host}})
		return err
	}
	for _, host := range []string{"localhost", "Directory.example", "directory.example.", "a_b.c-d.example", "127.0.0.1", "xn--bcher-kva.example"} {
		if err := of(host); err != nil {
			t.Errorf("%q: %v, want none", host, err)
		}
	}
	for _, host := range []string{"", "[", "[::1]", "::1", "::ffff:127.0.0.1", "directory.example:443", "https://directory.example", "directory.example/",
		"*.example", ".example", "a..example", "a@b.example", " a.example", "a.example\n", "bücher.example"} {
		if err := of(host); err == nil || !strings.Contains(err.Error(), "hosts[1]: ") {
			t.Errorf("%q: %v, want it refused", host, err)
		}
	}
}

// oldRego is what OPA took before 1.0.
const oldRego = "package envoy.authz\n\ndefault allow = false\n\nallow { members[input.parsed_path[_]] }\n\nmembers[name] { name := [\"a\"][_] }\n"

// TestPeerTakesOldRego holds that policies that were written for OPA before 1.0 run as they
// are, where that is said.
func TestPeerTakesOldRego(t *testing.T) {
	for _, text := range []string{oldRego, "package envoy.authz\n\nimport rego.v1\n\nallow if input.parsed_path[0] == \"a\""} {
		peer, err := NewPeer(PeerConfig{Paths: []string{peerFile(t, "old.rego", text)}, RegoVersion: "v0"})
		if err != nil {
			t.Fatal(err)
		}
		if verdict, err := peer.Decide(t.Context(), peerFacts("", "")); err != nil || !verdict.Allowed {
			t.Errorf("Decide() = %+v, %v, want an allow", verdict, err)
		}
	}
}

// TestPeerTakesBundlesAsTheyAre holds that a bundle's manifest says which Rego it is.
func TestPeerTakesBundlesAsTheyAre(t *testing.T) {
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	files := tar.NewWriter(zipped)
	for name, text := range map[string]string{"/.manifest": `{"revision": "r", "rego_version": 0, "roots": [""]}`, "/policy.rego": oldRego} {
		if err := files.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := files.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(files.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	peer, err := NewPeer(PeerConfig{Paths: []string{peerFile(t, "bundle.tar.gz", packed.String())}})
	if err != nil {
		t.Fatal(err)
	}
	if verdict, err := peer.Decide(t.Context(), peerFacts("", "")); err != nil || !verdict.Allowed {
		t.Errorf("Decide() = %+v, %v, want an allow", verdict, err)
	}
}

// TestPeerTakesData holds that data stands beside policies as opa run has it: files at
// the root, those of folders below the folder's name; and that tests are left out.
func TestPeerTakesData(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"policy.rego": "package envoy.authz\n\nallow if data.users.ann == data.wanted", "policy_test.rego": "package envoy.authz\n\nallow := 1",
		"users/data.json": `{"ann": 7}`,
	} {
		file := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	peer, err := NewPeer(PeerConfig{Paths: []string{folder, peerFile(t, "wanted.json", `{"wanted": 7}`)}})
	if err != nil {
		t.Fatal(err)
	}
	verdict, err := peer.Decide(t.Context(), peerFacts("", ""))
	if err != nil || !verdict.Allowed {
		t.Errorf("Decide() = %+v, %v, want an allow", verdict, err)
	}
}

// TestPeerDigestIsOfAllThatDecides holds that two that could decide otherwise differ.
func TestPeerDigestIsOfAllThatDecides(t *testing.T) {
	policy := peerFile(t, "policy.rego", "package envoy.authz\n\nallow := true\n\nother := true")
	seen := map[string]int{}
	for i, cfg := range []PeerConfig{
		{Paths: []string{policy}},
		{Paths: []string{policy}, Decision: "envoy/authz/other"},
		{Paths: []string{policy}, SkipBody: true},
		{Paths: []string{policy}, Builtins: []string{"http.send"}},
		{Paths: []string{policy}, Builtins: []string{"http.send"}, Hosts: []string{"a.example"}},
		{Paths: []string{policy}, RegoVersion: "v0"},
		{Paths: []string{policy, peerFile(t, "a.json", `{"a": 1}`)}},
	} {
		peer, err := NewPeer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if before, twice := seen[string(peer.Digest())]; twice {
			t.Errorf("%+v has the digest of number %d", cfg, before)
		}
		seen[string(peer.Digest())] = i
	}
}

// TestPeerBoundsBodies holds that a body of ever so many values is refused before they
// are made.
func TestPeerBoundsBodies(t *testing.T) {
	peer := peerOf(t, "package envoy.authz\n\nallow := true")
	for kind, body := range map[string]string{
		"application/json":                  "[" + strings.Repeat("1,", maxSeparators) + "1]",
		"application/x-www-form-urlencoded": strings.Repeat("a=1&", maxSeparators+1),
		"multipart/form-data; boundary=x":   strings.Repeat("--x\n\n\n", maxSeparators),
	} {
		if verdict, err := peer.Decide(t.Context(), peerFacts(kind, body)); !errors.Is(err, authz.RequestTooLarge) || verdict.Allowed {
			t.Errorf("%s: Decide() = %+v, %v, want %v", kind, verdict, err, authz.RequestTooLarge)
		}
	}
}

// bookDescriptors are of a service whose messages are texts.
func bookDescriptors(t *testing.T) string {
	t.Helper()
	set := &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{
		Name: proto.String("book.proto"), Package: proto.String("a"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Book"), Field: []*descriptorpb.FieldDescriptorProto{{
			Name: proto.String("text"), Number: proto.Int32(1), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}}}},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Books"), Method: []*descriptorpb.MethodDescriptorProto{{
			Name: proto.String("Add"), InputType: proto.String(".a.Book"), OutputType: proto.String(".a.Book"),
		}}}},
	}}}
	text, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return peerFile(t, "book.pb", string(text))
}

// TestPeerBoundsMessages holds that a message may be as large as its bound, and no larger.
func TestPeerBoundsMessages(t *testing.T) {
	policy := peerFile(t, "policy.rego", "package envoy.authz\n\nallow if count(input.parsed_body.text) > 0")
	peer, err := NewPeer(PeerConfig{Paths: []string{policy}, Descriptors: bookDescriptors(t)})
	if err != nil {
		t.Fatal(err)
	}
	for beyond, want := range map[int]error{0: nil, 1: authz.RequestTooLarge} {
		const head = 4 // the field's tag, and its length
		size := maxMessage - head + beyond
		message := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), strings.Repeat("a", size))
		frame := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
		facts := peerFacts("application/grpc", string(frame))
		attributes := facts.Request.Attributes()
		attributes["request"].(map[string]any)["http"].(map[string]any)["path"] = "/a.Books/Add"
		verdict, err := peer.Decide(t.Context(), facts)
		if !errors.Is(err, want) || verdict.Allowed != (want == nil) {
			t.Errorf("%d bytes: Decide() = %+v, %v, want %v", len(message), verdict, err, want)
		}
	}
}

// TestPeerIsStopped holds that a policy that runs too long ends with its time.
func TestPeerIsStopped(t *testing.T) {
	peer := peerOf(t, "package envoy.authz\n\nallow if {\n\tsome a in numbers.range(1, 1000000)\n\tsome b in numbers.range(1, 1000000)\n\ta * b < 0\n}")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if verdict, err := peer.Decide(over, peerFacts("", "")); err == nil || !cmp.Equal(verdict, authz.Verdict{}) {
		t.Errorf("Decide() = %+v, %v, want an error and a denial", verdict, err)
	}
}

// FuzzPeerBody holds that no body is too much for what reads it, and that what cannot be
// parsed is the request's fault.
func FuzzPeerBody(f *testing.F) {
	peer := peerOf(f, "package envoy.authz\n\ndefault allow := false\n\nallow if input.parsed_body == {1}")
	for _, kind := range []string{"application/json", "application/grpc", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
		for _, body := range []string{`{"a": [1, null]}`, "a=1&a=2", "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x--", "\x00\x00\x00\x00\x01a"} {
			f.Add(kind, body)
		}
	}
	f.Fuzz(func(t *testing.T, kind, body string) {
		verdict, err := peer.Decide(t.Context(), peerFacts(kind, body))
		if reason := authz.ReasonOf(err); err != nil && reason != authz.BodyMalformed && reason != authz.RequestTooLarge {
			t.Errorf("Decide() = %v, want a fault of the body", err)
		}
		if verdict.Allowed {
			t.Error("allowed, by what no body can be")
		}
	})
}
