// Command countersign decides, for Envoy, which requests to an API may pass.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// Exit codes.
const (
	exitOK = iota
	exitFailed
	// exitWrong is for what the caller wrote: arguments, configuration.
	exitWrong
)

// world is what a command uses of the process around it.
type world struct {
	environ        func(name string) (string, bool)
	stdin          io.Reader
	stdout, stderr io.Writer
	// polls tell serve, and test --watch, when to look at files; nil means every second.
	polls <-chan time.Time
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], world{environ: os.LookupEnv, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}))
}

const usage = `countersign decides, for Envoy, which requests to an API may pass.

  countersign serve        --config countersign.yaml                 answer Envoy's ext_authz calls
  countersign serve        --opa-config config.yaml policy.rego …    stand in for opa-envoy-plugin
  countersign check        --config countersign.yaml                 find every fault of a configuration
  countersign test         --config countersign.yaml                 run the tests of a policy
  countersign explain      --config countersign.yaml request.json    say how a request is decided, and why
  countersign explain      --config countersign.yaml --decision ID   say how one was decided, and why
  countersign replay       --config countersign.yaml --policy DIR    say what another policy would have decided
  countersign token        --config countersign.yaml token.jwt       say which check a token fails
  countersign revoke       --issuer ISSUER --subject SUBJECT         have tokens be refused from now on
  countersign status       ADDR …                                    say which revision each process enforces
  countersign policy       list | pin REVISION | unpin               roll a policy of bundles back to one that is kept
  countersign metadata     --config countersign.yaml                 print what clients are told of an API
  countersign schema                                                 print the JSON Schema of a policy's input
  countersign capabilities                                           print which built-ins policies may call
  countersign version                                                say which version this is

Each command has --help. Exit codes: 0 done, 1 failed, 2 wrong arguments or configuration.
`

var commands = map[string]func(context.Context, []string, world) error{
	"serve":        serve,
	"check":        check,
	"explain":      explain,
	"replay":       replayLog,
	"token":        judgeToken,
	"revoke":       revoke,
	"status":       fleet,
	"policy":       policy,
	"metadata":     metadata,
	"capabilities": capabilities,
	"schema":       schema,
	"test":         test,
	"version":      version,
}

func run(ctx context.Context, args []string, w world) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "--help" || args[0] == "-h" {
		fmt.Fprint(w.stdout, usage)
		return exitOK
	}
	command, known := commands[args[0]]
	if !known {
		fmt.Fprintf(w.stderr, "countersign: there is no command %q; countersign help lists them\n", args[0])
		return exitWrong
	}
	return exitCode(command(ctx, args[1:], w), w.stderr)
}

// exitCode says what went wrong, a line for each problem, and is the process's exit.
func exitCode(err error, stderr io.Writer) int {
	var problems authz.Problems
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &problems):
		fmt.Fprintln(stderr, problems.Error())
		return exitWrong
	case errors.Is(err, errArguments):
		return exitWrong
	case errors.Is(err, errRefused), errors.Is(err, errDiffers):
		return exitFailed
	}
	fmt.Fprintf(stderr, "countersign: %v\n", err)
	return exitFailed
}
