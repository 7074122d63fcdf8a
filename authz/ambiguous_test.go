package authz_test

import (
	"errors"
	"testing"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/targettest"
)

func TestAmbiguousTargetsAreRefused(t *testing.T) {
	for _, test := range targettest.Ambiguous() {
		t.Run(test.Name, func(t *testing.T) {
			if got, err := authz.ParseTarget(test.Raw); !errors.Is(err, test.Want) {
				t.Errorf("ParseTarget(%q) = %+v, %v; want %v", test.Raw, got, err, test.Want)
			}
		})
	}
}
