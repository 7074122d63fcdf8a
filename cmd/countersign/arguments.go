package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
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

// timeFlag defines a flag that takes a time, or the word now.
func timeFlag(flags *flag.FlagSet, into *time.Time, name, usage string, now time.Time) {
	flags.Func(name, usage, func(value string) error {
		if value == "now" {
			*into = now
			return nil
		}
		at, err := time.Parse(time.RFC3339, value)
		if err != nil {
			return errors.New("is no time as RFC 3339 writes it")
		}
		*into = at
		return nil
	})
}

// atFlag defines the time as of which something is decided.
func atFlag(flags *flag.FlagSet, into *time.Time) {
	timeFlag(flags, into, "at", "decide as if the request came at this `time`, such as 2026-11-21T10:00:00Z (default now)", time.Now())
}

// readInput reads a file, or standard input where its name is -. Of what is longer than
// most bytes it reads one more, so that the caller can tell.
func readInput(name string, stdin io.Reader, most int64) ([]byte, error) {
	from := stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		from = file
	}
	return io.ReadAll(io.LimitReader(from, most+1))
}

// inputName is what to call such a file.
func inputName(name string) string {
	if name == "-" {
		return "standard input"
	}
	return name
}

// cause is an error of a file without its name, which is told beside it.
func cause(err error) string {
	var fault *os.PathError
	if errors.As(err, &fault) {
		return fault.Err.Error()
	}
	return err.Error()
}
