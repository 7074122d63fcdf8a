package audit

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMask(t *testing.T) {
	known := names{"": "EMPTY", "ann": "A", "1": "ONE", "22289": "ACC", "/accounts/22289": "[path]", "-": "DASH", "é": "E", "a b": "AB"}
	tests := []struct{ name, text, want string }{
		{"no name", "nothing to see", "nothing to see"},
		{"empty", "", ""},
		{"the whole text", "ann", "A"},
		{"a word of its own", `is "ann" (ann,ann)`, `is "A" (A,A)`},
		{"not within a word", "annabel joann ann_x _ann", "annabel joann ann_x _ann"},
		{"not within a number", "1 of 10 in 2026-11", "ONE of 10 in 2026-11"},
		{"the longest name wins", "GET /accounts/22289 for 22289", "GET [path] for ACC"},
		{"punctuation is no name", "a-c - d", "a-c - d"},
		{"a letter beyond ASCII ends no word", "éé é", "éé E"},
		{"a name of two words", "a b c", "AB c"},
		{"invalid UTF-8 is passed on", "\xffann\xff", "\xffA\xff"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := known.mask(test.text); got != test.want {
				t.Errorf("mask(%q) = %q, want %q", test.text, got, test.want)
			}
		})
	}
}

func TestCodesAreNotTakenOutOfARecordByNames(t *testing.T) {
	known := names{"consent": "C", "not_owner": "N", "22289": "ACC"}
	got := known.maskCodes([]string{"consent", "not_owner", "not_owner:22289", "consent:22289"})
	want := []string{"consent", "not_owner", "N:ACC", "C:ACC"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("maskCodes (-want +got):\n%s", diff)
	}
}

func FuzzMask(f *testing.F) {
	f.Add("account 22289 is not hers", "22289")
	f.Add("\xff\xfe", "\xfe")
	f.Add("aa aa", "aa")
	f.Fuzz(func(t *testing.T, text, name string) {
		got := names{name: "§"}.mask(text)
		if name == "" && got != text {
			t.Errorf("mask changed %q to %q for no name", text, got)
		}
		if hasWord(name) && strings.HasPrefix(text, name+" ") && strings.HasPrefix(got, name+" ") {
			t.Errorf("mask left %q in %q", name, got)
		}
	})
}
