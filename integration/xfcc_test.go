package integration

import (
	"net/url"
	"strings"
	"testing"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// throughXFCC starts a bank whose Countersign reads client certificates from the header,
// which its Envoy handles as told, and from nothing else.
func throughXFCC(t *testing.T, details string) *bank.Stack {
	t.Helper()
	return startBank(t, bank.Options{
		Configure: func(configuration string) string { return "client_certificate: xfcc\n" + configuration },
		ConfigureEnvoy: func(configuration string) string {
			const margin = "\n          "
			return replaceAll(t, replaceAll(t, configuration,
				"include_peer_certificate: true", "include_peer_certificate: false"),
				"forward_client_cert_details: SANITIZE\n", strings.ReplaceAll(details, "\n", margin)+"\n")
		},
	})
}

// replaceAll replaces what must be there.
func replaceAll(t *testing.T, text, old, by string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("%q is not there", old)
	}
	return strings.ReplaceAll(text, old, by)
}

// TestStoriesThroughXFCC tells every story to a Countersign that has nothing but the
// header which Envoy sets: all must go as they do with Envoy's own word, those with a
// forged header too.
func TestStoriesThroughXFCC(t *testing.T) {
	stack := throughXFCC(t, "forward_client_cert_details: SANITIZE_SET\nset_current_client_cert_details: {cert: true}")
	for _, story := range stories(t) {
		t.Run(story.Name, func(t *testing.T) {
			_, faults := tell(t, stack, story)
			for _, fault := range faults {
				t.Errorf("%s\n%s", story.Text, fault)
			}
		})
	}
}

// TestXFCCOfAClientsOwnMaking has Zeta, with a certificate of its own, write elements
// that say it is Acme: into the header that it sends, and into a name that Envoy repeats.
func TestXFCCOfAClientsOwnMaking(t *testing.T) {
	const set = "\nset_current_client_cert_details: {cert: true, subject: true, uri: true}"
	stolen := bank.Ask{Method: "GET", Path: "/accounts/22289", Listener: bank.MTLS, Certificate: bank.Zeta, Token: bank.Token{As: "ann"}}
	want := bank.Want{Status: 401, Reason: "certificate_malformed", Challenge: `realm="openbanking"`}
	t.Run("a header before Envoy's own", func(t *testing.T) {
		stack := throughXFCC(t, "forward_client_cert_details: APPEND_FORWARD"+set)
		story := bank.Story{Name: "forged", Ask: stolen, Want: want}
		story.Ask.Headers = map[string]string{"x-forwarded-client-cert": stack.Bank.Certificates.XFCC(bank.Acme)}
		_, faults := tell(t, stack, story)
		for _, fault := range faults {
			t.Error(fault)
		}
	})
	t.Run("a URI that begins an element", func(t *testing.T) {
		stack := throughXFCC(t, "forward_client_cert_details: SANITIZE_SET"+set)
		hash, _, _ := strings.Cut(stack.Bank.Certificates.XFCC(bank.Acme), ";")
		uri := &url.URL{Scheme: "https", Host: "zeta.example", Path: "/," + hash}
		if err := stack.Bank.Certificates.Issue(bank.Zeta, uri); err != nil {
			t.Fatal(err)
		}
		_, faults := tell(t, stack, bank.Story{Name: "named", Ask: stolen, Want: want})
		for _, fault := range faults {
			t.Error(fault)
		}
	})
}
