package rego

import (
	"fmt"
	"math/big"
	"strings"
	"testing"
)

// TestFormatsThatAskForAddresses goes through all short formats of what package fmt reads:
// none may print where a number stands that is not told.
func TestFormatsThatAskForAddresses(t *testing.T) {
	const parts, longest = "%p[]1*.- d", 6
	one, other := big.NewInt(7), big.NewInt(7)
	asking := 0
	var try func(format string)
	try = func(format string) {
		if strings.Contains(format, "p") && fmt.Sprintf(format, one, one) != fmt.Sprintf(format, other, other) {
			asking++
			if !asksAddress(format) {
				t.Fatalf("%q prints an address", format)
			}
		}
		if len(format) == longest {
			return
		}
		for _, part := range parts {
			try(format + string(part))
		}
	}
	try("")
	if asking < 1000 {
		t.Errorf("%d formats print addresses, which are too few", asking)
	}
	for _, format := range []string{"", "p", "%d percent", "%d%% per year", "100%%p", "%d%%p", "%s: %v, %x"} {
		if asksAddress(format) {
			t.Errorf("%q asks for no address", format)
		}
	}
}

// TestPrintingLargeNumbers holds that a policy that asks where one stands fails, and that
// one that only looks like it is told the number.
func TestPrintingLargeNumbers(t *testing.T) {
	e := engine(t, "site.decision", map[string]string{"a.rego": "package site\n\ndecision := {\"allowed\": true, \"detail\": sprintf(\"%d %v %p%%\", [123456789012345678901234567890, 1e400, 7])}\n"})
	if verdict, err := e.Decide(t.Context(), fullFacts()); err == nil || verdict.Allowed {
		t.Errorf("Decide() = %+v, %v, want a failure", verdict, err)
	}
	e = engine(t, "site.decision", map[string]string{"a.rego": "package site\n\ndecision := {\"allowed\": true, \"detail\": sprintf(\"%d %s%%p\", [123456789012345678901234567890, \"x\"])}\n"})
	if verdict := decide(t, e, fullFacts()); verdict.Detail != "123456789012345678901234567890 x%p" {
		t.Errorf("detail = %q, want the number", verdict.Detail)
	}
}
