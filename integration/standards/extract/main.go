// Command extract prints the ids of the rules that a standards document numbers, in
// order, one a line. The document is kept elsewhere, so that nothing runs this by itself:
// whoever changes the document does, and tests then ask for each rule that is new.
//
//	go run ./integration/standards/extract standards.md > integration/standards/testdata/ids.txt
//
// What it looks for is the form of the document: rules such as B1 and J10 at the start
// of a line of a list, or following one another within a section, the numbered facts on Envoy as
// P1 to P9, and the rows of the table of a proof's checks as D1 to D12b.
package main

import (
	"fmt"
	"os"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: extract FILE")
		os.Exit(2)
	}
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "extract:", err)
		os.Exit(1)
	}
	fmt.Println(strings.Join(numbered(string(text)), "\n"))
}
