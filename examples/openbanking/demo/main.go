// Command demo tells the demo bank's stories: real HTTPS requests through a real
// Envoy, each of which asks a real Countersign.
//
// It starts everything on loopback, tells every story and holds what came of it
// against what the story says, and shows one decision's trace. It exits 0 only if
// all went as told. On a terminal it then stays, for requests of one's own.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// ready bounds the start of everything.
const ready = 60 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run returns the exit code: 0 if every story went as told, 1 if not, 2 for a
// mistake in the arguments.
func run(ctx context.Context, arguments []string, stdin *os.File, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	countersign := flags.String("countersign", "countersign", "the countersign program")
	envoy := flags.String("envoy", "envoy", "the envoy program, 1.40 or later")
	jaeger := flags.String("jaeger", "", "Jaeger's all-in-one program, 1.76, to send the traces to; by default the demo receives them itself")
	folder := flags.String("dir", "", "run folder; by default a temporary one, removed at the end")
	if err := flags.Parse(arguments); err != nil {
		return 2
	}
	dir := *folder
	if dir == "" {
		temporary, err := os.MkdirTemp("", "countersign-demo-")
		if err != nil {
			fmt.Fprintln(stderr, "demo:", err)
			return 1
		}
		defer os.RemoveAll(temporary)
		dir = temporary
	}
	options := bank.Options{Dir: dir, Countersign: *countersign, Envoy: *envoy, Jaeger: *jaeger}
	if err := demonstrate(ctx, options, stdin, stdout); err != nil {
		fmt.Fprintln(stderr, "demo:", err)
		return 1
	}
	return 0
}

// demonstrate starts the bank, tells the stories, and stops it. The last line it
// writes counts the stories that went as told.
func demonstrate(ctx context.Context, options bank.Options, stdin *os.File, out io.Writer) (err error) {
	stories, err := bank.Stories()
	if err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, ready)
	defer cancel()
	stack, err := bank.Start(starting, options)
	if err != nil {
		return err
	}
	told := telling{stack: stack, out: out}
	told.all(ctx, stories)
	told.trace(ctx)
	told.links()
	if isTerminal(stdin) && ctx.Err() == nil {
		if err = invite(stack, out); err == nil {
			<-ctx.Done()
		}
	}
	if closing := stack.Close(); closing != nil {
		return closing
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d of %d stories as told\n", told.asTold, len(stories)+1)
	if told.asTold != len(stories)+1 {
		return fmt.Errorf("%d stories did not go as told", len(stories)+1-told.asTold)
	}
	return nil
}

// isTerminal reports a character device that is not the null device.
func isTerminal(file *os.File) bool {
	information, err := file.Stat()
	if err != nil || information.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err == nil && !os.SameFile(information, null)
}
