package authz

import (
	"cmp"
	"strings"
)

// Bundle is one of those that the policy was made of, as records name it.
type Bundle struct {
	// Name is the configuration's.
	Name string `json:"name"`
	// Revision is what the bundle calls itself, or "".
	Revision string `json:"revision,omitempty"`
	// Signer is the id of the key that it was verified by, or "" where no signature was
	// asked for.
	Signer string `json:"signer,omitempty"`
}

// BundleNames are bundles in words: "accounts v7, signed by release; limits, unsigned".
func BundleNames(bundles []Bundle) string {
	told := make([]string, len(bundles))
	for i, b := range bundles {
		signed := "unsigned"
		if b.Signer != "" {
			signed = "signed by " + b.Signer
		}
		told[i] = b.Name + " " + cmp.Or(b.Revision, "(no revision)") + ", " + signed
	}
	return strings.Join(told, "; ")
}
