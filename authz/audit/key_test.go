package audit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-io/countersign/authz"
)

func TestPseudonymsTellApart(t *testing.T) {
	other := &key{id: "k1", secret: []byte("another 32 bytes, another secret")}
	pseudonyms := map[string]string{
		"a subject":                     testKey.subject("https://a.example", "1"),
		"the subject of another issuer": testKey.subject("https://b.example", "1"),
		"another subject":               testKey.subject("https://a.example", "2"),
		"a subject by another key":      other.subject("https://a.example", "1"),
		"a moved boundary":              testKey.subject("https://a.example1", "1"),
		"a consent":                     testKey.consent("https://a.example", "1"),
		"a consent of another issuer":   testKey.consent("https://b.example", "1"),
		"an account":                    testKey.object(authz.Object{Type: "account", ID: "1"}),
		"a beneficiary":                 testKey.object(authz.Object{Type: "beneficiary", ID: "1"}),
		"an object of no type":          testKey.object(authz.Object{ID: "1"}),
		"label and issuer run together": testKey.pseudonym("subjecthttps://a.example", "", "1"),
		"issuer and value run together": testKey.pseudonym(labelSubject, "", "https://a.example1"),
	}
	seen := map[string]string{}
	for what, pseudonym := range pseudonyms {
		if earlier, twice := seen[pseudonym]; twice {
			t.Errorf("%s and %s have the same pseudonym", what, earlier)
		}
		seen[pseudonym] = what
		if id, hash, _ := strings.Cut(pseudonym, "."); id != "k1" || len(hash) != 22 {
			t.Errorf("pseudonym of %s = %q, want k1.<22 characters>", what, pseudonym)
		}
	}
}

func TestNobodyHasNoPseudonym(t *testing.T) {
	log := &Log{key: testKey}
	if got := log.Subject(authz.Caller{Kind: authz.Client, Issuer: "https://a.example"}); got != "" {
		t.Errorf("Subject of a caller without one = %q, want none", got)
	}
	caller := authz.Caller{Issuer: "https://a.example", Subject: "1"}
	if got, want := log.Subject(caller), testKey.subject("https://a.example", "1"); got != want {
		t.Errorf("Subject = %q, want %q", got, want)
	}
}

func TestKeyIsMadeOnceAndKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pseudonym.key")
	var problems authz.Problems
	made := openKey(path, &problems)
	again := openKey(path, &problems)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if got, want := again.consent("i", "1"), made.consent("i", "1"); got != want {
		t.Errorf("pseudonym after a restart = %q, want %q", got, want)
	}
	status, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if status.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key = %v, want 0600", status.Mode())
	}
	elsewhere := openKey(filepath.Join(t.TempDir(), "pseudonym.key"), &problems)
	if elsewhere.id == made.id || string(elsewhere.secret) == string(made.secret) {
		t.Error("two keys are the same")
	}
}

func TestFaultyKeyFilesAreRefused(t *testing.T) {
	const secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	tests := []struct {
		name string
		text string
		mode os.FileMode
		want string
	}{
		{"a good one is taken", `{"id":"k1","key":"` + secret + `"}`, 0o600, ""},
		{"read-only is enough", `{"id":"k1","key":"` + secret + `"}`, 0o400, ""},
		{"its group can read it", `{"id":"k1","key":"` + secret + `"}`, 0o640, "key: can be read"},
		{"everybody can read it", `{"id":"k1","key":"` + secret + `"}`, 0o604, "key: can be read"},
		{"its group can write it", `{"id":"k1","key":"` + secret + `"}`, 0o620, "key: can be read"},
		{"empty, as a crash leaves it", "", 0o600, "key: does not hold"},
		{"cut short", `{"id":"k1","ke`, 0o600, "key: does not hold"},
		{"no id", `{"key":"` + secret + `"}`, 0o600, "key: does not hold"},
		{"an id that is no word", `{"id":"k.1","key":"` + secret + `"}`, 0o600, "key: does not hold"},
		{"an id without end", `{"id":"` + strings.Repeat("k", 33) + `","key":"` + secret + `"}`, 0o600, "key: does not hold"},
		{"a short key", `{"id":"k1","key":"MDEy"}`, 0o600, "key: does not hold"},
		{"an unknown member", `{"id":"k1","kye":"","key":"` + secret + `"}`, 0o600, "key: does not hold"},
		{"two of them", `{"id":"k1","key":"` + secret + `"}{}`, 0o600, "key: does not hold"},
		{"a file without end", strings.Repeat(" ", maxKeyFile) + `{"id":"k1","key":"` + secret + `"}`, 0o600, "key: does not hold"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pseudonym.key")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, test.mode); err != nil {
				t.Fatal(err)
			}
			var problems authz.Problems
			openKey(path, &problems)
			if got := problems.Error(); !strings.HasPrefix(got, test.want) || test.want == "" && got != "" {
				t.Errorf("problems = %q, want %q…", got, test.want)
			}
			if strings.Contains(problems.Error(), secret) {
				t.Error("a problem's text holds the key")
			}
		})
	}
}

func TestOpenTellsAllFaultsAtOnce(t *testing.T) {
	absent := filepath.Join(t.TempDir(), "absent")
	folder := t.TempDir()
	tests := []struct {
		name string
		cfg  Config
		keys []string
	}{
		{"the zero config", Config{}, []string{"file", "key"}},
		{"one file for both", Config{File: "one", Key: "one"}, []string{"key"}},
		{"no such folder", Config{File: filepath.Join(absent, "log"), Key: filepath.Join(absent, "key")}, []string{"key", "file"}},
		{"folders instead of files", Config{File: folder, Key: folder + "/."}, []string{"key", "file"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			log, err := Open(test.cfg)
			var problems authz.Problems
			if log != nil || !errors.As(err, &problems) {
				t.Fatalf("Open = %v, %v; want problems", log, err)
			}
			var keys []string
			for _, problem := range problems {
				keys = append(keys, problem.Key)
				if problem.Fix == "" || problem.What == "" {
					t.Errorf("%v: no word on what is wrong, or what to do", problem)
				}
			}
			if strings.Join(keys, " ") != strings.Join(test.keys, " ") {
				t.Errorf("problems of %v, want of %v:\n%v", keys, test.keys, err)
			}
		})
	}
}
