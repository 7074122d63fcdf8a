package config

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

// TestAPIsAreEnforcedByOneThing holds that an API has a contract or a policy of its own,
// and that nothing stands there that nothing would heed.
func TestAPIsAreEnforcedByOneThing(t *testing.T) {
	tests := []struct {
		name, apis string
		want       []string
	}{
		{"a policy", `[{name: a, enforce: policy-only, policy: {paths: [p.rego]}}]`, nil},
		{"a contract, in so many words", `[{name: a, enforce: contract, document: a.yaml}]`, nil},
		{"something else", `[{name: a, enforce: none}]`, []string{"apis[0].enforce"}},
		{"no policy", `[{name: a, enforce: policy-only}]`, []string{"apis[0].policy"}},
		{"no name", `[{enforce: policy-only, policy: {paths: [p]}}]`, []string{"apis[0].name"}},
		{"a name twice", `[{name: a, document: a.yaml}, {name: a, enforce: policy-only, policy: {paths: [p]}}]`, []string{"apis[1].name"}},
		{"a contract and a policy", `[{name: a, document: a.yaml, policy: {paths: [p]}}]`, []string{"apis[0].policy"}},
		{"what only contracts have", `[{name: a, enforce: policy-only, policy: {paths: [p]}, document: a.yaml, hosts: [a.example], audiences: [a], interaction_id: true}]`,
			[]string{"apis[0].audiences", "apis[0].document", "apis[0].hosts", "apis[0].interaction_id"}},
	}
	for _, test := range tests {
		file := filepath.Join(t.TempDir(), "countersign.yaml")
		if err := os.WriteFile(file, []byte("state: state\napis: "+test.apis+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(file, func(string) (string, bool) { return "", false })
		var got []string
		for _, problem := range authz.ProblemsOf(err) {
			got = append(got, problem.Key)
		}
		slices.Sort(got)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// TestContractKeysAreThoseOfTheFile holds that a fault of a contract is told where it is,
// with an API before it that has none.
func TestContractKeysAreThoseOfTheFile(t *testing.T) {
	c := &Config{APIs: []API{{Enforce: EnforcePolicyOnly}, {}, {Enforce: EnforcePolicyOnly}, {}}}
	got := c.ContractKeys(authz.Problems{{Key: "apis[0].name"}, {Key: "apis[1].hosts[2]"}, {Key: "apis"}})
	want := authz.Problems{{Key: "apis[1].name"}, {Key: "apis[3].hosts[2]"}, {Key: "apis"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ContractKeys() (-want +got):\n%s", diff)
	}
	if n := len(c.Contracts().APIs); n != 2 {
		t.Errorf("%d contracts, want 2", n)
	}
}
