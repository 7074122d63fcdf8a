package contract

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/countersign-io/countersign/authz"
)

var update = flag.Bool("update", false, "write what is found into testdata")

// Every fault of a document is said, at its line, in one go.
func TestProblemsOfDocuments(t *testing.T) {
	const path = "testdata/problems.txtar"
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, file := range archive.Files {
		if strings.HasPrefix(file.Name, "want ") {
			continue
		}
		want := &archive.Files[i+1]
		t.Run(file.Name, func(t *testing.T) {
			if want.Name != "want "+file.Name {
				t.Fatalf("%q follows, want %q", want.Name, "want "+file.Name)
			}
			_, problems := compile(API{Name: "bank", Document: "openapi.yaml"}, file.Data, &node{})
			got := problems.Error() + "\n"
			if *update {
				want.Data = []byte(got)
			}
			if diff := cmp.Diff(string(want.Data), got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
	if *update {
		if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Every fault of the configuration is said in one go, with the documents' own.
func TestProblemsOfConfig(t *testing.T) {
	dir := t.TempDir()
	good := write(t, dir, "good.yaml", minimal)
	bad := write(t, dir, "bad.yaml", "openapi: 3.1.0\n")
	tests := []struct {
		name string
		cfg  Config
		want []string
	}{
		{"an API needs a name and a document", Config{APIs: []API{{}}}, []string{"apis[0].name", "apis[0].document"}},
		{"a document that is not there", Config{APIs: []API{{Name: "a", Document: filepath.Join(dir, "absent")}}}, []string{"apis[0].document"}},
		{"a document that is a directory", Config{APIs: []API{{Name: "a", Document: dir}}}, []string{"apis[0].document"}},
		{"two APIs of one name", Config{APIs: []API{{Name: "a", Document: good}, {Name: "a", Document: good}}}, []string{"apis[1].name"}},
		{"hosts are names, each listed once", Config{APIs: []API{
			{Name: "a", Document: good, Hosts: []string{"", "a:443", "https://a", "*.a", "a b", "[::1]", "A.example."}},
			{Name: "b", Document: good, Hosts: []string{"a.EXAMPLE"}},
		}}, []string{"apis[0].hosts[0]", "apis[0].hosts[1]", "apis[0].hosts[2]", "apis[0].hosts[3]", "apis[0].hosts[4]", "apis[0].hosts[5]", "apis[1].hosts[0]"}},
		{"base path with a slash after it", Config{APIs: []API{{Name: "a", Document: good, BasePath: "/a/"}}}, []string{"apis[0].base_path"}},
		{"base path without a slash before it", Config{APIs: []API{{Name: "a", Document: good, BasePath: "a"}}}, []string{"apis[0].base_path"}},
		{"base path that is only a slash", Config{APIs: []API{{Name: "a", Document: good, BasePath: "/"}}}, []string{"apis[0].base_path"}},
		{"base path with a query", Config{APIs: []API{{Name: "a", Document: good, BasePath: "/a?"}}}, []string{"apis[0].base_path"}},
		{"base path with dot segments", Config{APIs: []API{{Name: "a", Document: good, BasePath: "/a/../b"}}}, []string{"apis[0].base_path"}},
		{"faults of configuration and documents come together", Config{APIs: []API{
			{Name: "", Document: bad},
			{Name: "b", Document: good, BasePath: "b"},
		}}, []string{"apis[0].name", bad + ":1 paths", "apis[1].base_path"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			contracts, err := New(test.cfg)
			var problems authz.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("New = %v, %v, want problems", contracts, err)
			}
			var got []string
			for _, p := range problems {
				key := p.Key
				if p.File != "" {
					key = p.File + ":1 " + p.Key
				}
				got = append(got, key)
				if p.What == "" || p.Fix == "" {
					t.Errorf("problem %q does not say what is wrong and what to do", p.Error())
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("keys (-want +got):\n%s\n%v", diff, err)
			}
		})
	}
}

const minimal = `
openapi: 3.1.0
info: {title: minimal, version: "1"}
paths:
  /health:
    get: {operationId: health, security: []}
`

func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
