package main

import (
	"errors"
	"flag"
	"fmt"
)

// errArguments is told where the flag package has told what is wrong.
var errArguments = errors.New("wrong arguments")

// arguments parses a command's flags.
func arguments(name, purpose string, args []string, w world, define func(*flag.FlagSet)) error {
	flags := flag.NewFlagSet("countersign "+name, flag.ContinueOnError)
	flags.SetOutput(w.stderr)
	flags.Usage = func() {
		fmt.Fprintf(w.stderr, "countersign %s: %s\n\n", name, purpose)
		flags.PrintDefaults()
	}
	define(flags)
	if err := flags.Parse(args); err != nil {
		return errArguments
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(w.stderr, "countersign %s: %q is no argument; see countersign %s --help\n", name, flags.Arg(0), name)
		return errArguments
	}
	return nil
}

func outputFlag(flags *flag.FlagSet, into *string) {
	*into = "text"
	flags.Func("output", "text or json (default text)", func(value string) error {
		if value != "text" && value != "json" {
			return errors.New("is neither text nor json")
		}
		*into = value
		return nil
	})
}
