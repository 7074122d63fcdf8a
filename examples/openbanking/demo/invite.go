package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// lifetime of the tokens that are handed out to try things with: what is left of 90m, up to
// which age the bank takes them, when they are read.
const lifetime = "80m"

// withCertificate is curl's configuration of a client that has one.
const withCertificate = `cacert = "ca.pem"
cert = "acme.pem"
key = "acme.key"
`

// invite writes what requests of one's own need into the run folder, and prints
// commands that use it.
func invite(stack *bank.Stack, out io.Writer) error {
	files := map[string]string{"acme.curl": withCertificate, "plain.curl": "cacert = \"ca.pem\"\n"}
	for _, name := range []string{"ann", "sam"} {
		token, err := stack.Bank.Sign(bank.Token{As: name, Claims: map[string]any{"exp": lifetime}})
		if err != nil {
			return err
		}
		// A file, since every process can read another's arguments.
		files[name+".header"] = "Authorization: Bearer " + token + "\n"
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(stack.Bank.Dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, `The bank stays open until Ctrl-C. In another terminal:
  cd %[1]s

Ann reads her own account, and Bob's:
  curl -i -K acme.curl -H @ann.header https://%[2]s/accounts/22289
  curl -i -K acme.curl -H @ann.header https://%[2]s/accounts/31820

A thief has her token, but not the certificate:
  curl -i -K plain.curl -H @ann.header https://%[2]s/accounts/22289

Sam of support reads Bob's account, for which he has an open case, and Ann's:
  curl -i -K plain.curl -H @sam.header https://%[2]s/backoffice/accounts/31820
  curl -i -K plain.curl -H @sam.header https://%[2]s/backoffice/accounts/22289

What was recorded and why, of the last decision, and what was counted:
  grep '"id"' records/decisions-*.jsonl | tail -n 1
  %[4]s explain --decision $(grep -ho '"id":"[0-9a-f-]\{36\}' records/decisions-*.jsonl | tail -n 1 | cut -c 7-)
  curl %[3]s/metrics

`, stack.Bank.Dir, stack.Address(bank.MTLS), stack.Admin, stack.Program)
	return nil
}
