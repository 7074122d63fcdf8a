package audit

import (
	"errors"
	"path/filepath"
	"slices"
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

func TestOpenTellsAllFaultsAtOnce(t *testing.T) {
	absent := filepath.Join(t.TempDir(), "absent")
	folder := t.TempDir()
	key := func(name string) string { return filepath.Join(folder, name) }
	tests := []struct {
		name string
		cfg  Config
		keys []string
	}{
		{"the zero config", Config{}, []string{"folder"}},
		{"words and numbers", Config{Folder: folder, Durability: "sometimes", Inputs: "some", SegmentBytes: 5, ReserveBytes: -1},
			[]string{"durability", "inputs", "segment_bytes", "reserve_bytes"}},
		{"keys that cannot be made", Config{Folder: folder, PseudonymKey: filepath.Join(absent, "p"), InputKey: filepath.Join(absent, "i")},
			[]string{PseudonymKeyProblem, InputKeyProblem}},
		{"no such folder", Config{Folder: absent, PseudonymKey: key("p.key"), InputKey: key("i.key")}, []string{"folder"}},
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
			if !slices.Equal(keys, test.keys) {
				t.Errorf("problems of %v, want of %v:\n%v", keys, test.keys, err)
			}
		})
	}
}
