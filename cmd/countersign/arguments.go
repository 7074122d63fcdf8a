package main

import (
	"errors"
	"flag"
	"fmt"
)

// errArguments is told where the flag package has told what is wrong.
var errArguments = errors.New("wrong arguments")

// arguments parses a command's flags, which are all that it takes.
func arguments(name, purpose string, args []string, w world, define func(*flag.FlagSet)) error {
	rest, err := operands(name, purpose, args, w, define)
	if err == nil && len(rest) > 0 {
		fmt.Fprintf(w.stderr, "countersign %s: %q is no argument; see countersign %s --help\n", name, rest[0], name)
		return errArguments
	}
	return err
}

// operands parses a command's flags and returns what follows them.
func operands(name, purpose string, args []string, w world, define func(*flag.FlagSet)) ([]string, error) {
	flags := flag.NewFlagSet("countersign "+name, flag.ContinueOnError)
	flags.SetOutput(w.stderr)
	flags.Usage = func() {
		fmt.Fprintf(w.stderr, "countersign %s: %s\n\n", name, purpose)
		flags.PrintDefaults()
	}
	define(flags)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil, err
	case err != nil:
		return nil, errArguments
	}
	return flags.Args(), nil
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
