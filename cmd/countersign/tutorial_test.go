package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// TestTutorialScripts does what the documentation has its reader do, as of now: what a
// reader serves has the clock of the machine.
func TestTutorialScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/tutorial",
		Setup: func(env *testscript.Env) error {
			made, err := openBankAt(env.WorkDir, time.Now())
			env.Values["bank"] = made
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"steady": steadyNow, "type": typeLine, "step": step, "asks": sends, "awaits": awaits, "kept": kept,
		},
		UpdateScripts: *update,
	})
}

// momentary is what differs where all is as of now.
var momentary = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z|\b([0-9a-f]{64}|[0-9a-f]{32})\b`)

// steadyNow is steady without the moments either.
func steadyNow(script *testscript.TestScript, negated bool, args []string) {
	steady(script, negated, args)
	text := momentary.ReplaceAllString(script.ReadFile("told"), "…")
	script.Check(os.WriteFile(script.MkAbs("told"), []byte(text), 0o600))
}

// step runs the next line of the file commands, by the shell, and holds its exit code
// against the argument, or 0. One that ends in & goes on until the script is over.
func step(script *testscript.TestScript, _ bool, args []string) {
	next, rest, found := strings.Cut(script.ReadFile("commands"), "\n")
	if !found {
		script.Fatalf("there are no more commands")
	}
	script.Check(os.WriteFile(script.MkAbs("commands"), []byte(rest), 0o600))
	if command, is := strings.CutSuffix(next, " &"); is {
		goOn(script, command)
		return
	}
	want := "0"
	if len(args) > 0 {
		want = args[0]
	}
	exitsBy(script, want, "sh", "-c", next)
}

// goOn starts what serves, and sets CONSOLE and ENVOYS to where.
func goOn(script *testscript.TestScript, command string) {
	said := &lockedBuffer{}
	serving := exec.Command("sh", "-c", "exec "+command)
	serving.Dir, serving.Stdout, serving.Stderr = script.MkAbs("."), said, said
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		serving.Env = append(serving.Env, name+"="+script.Getenv(name))
	}
	script.Check(serving.Start())
	script.Defer(func() {
		script.Check(errors.Join(serving.Process.Signal(syscall.SIGTERM), serving.Wait()))
	})
	address := regexp.MustCompile(`msg=serving address=(\S+)`)
	console := regexp.MustCompile(`msg=console address=(\S+)`)
	until(script, "it serves", func() error {
		if text := said.String(); !address.MatchString(text) || !console.MatchString(text) {
			return errors.New(text)
		}
		return nil
	})
	script.Setenv("ENVOYS", address.FindStringSubmatch(said.String())[1])
	script.Setenv("CONSOLE", "http://"+console.FindStringSubmatch(said.String())[1])
}

// until waits until there is no error.
func until(script *testscript.TestScript, what string, holds func() error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	over := time.After(patience)
	for {
		err := holds()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-over:
			script.Fatalf("it never came to be that %s: %v", what, err)
		}
	}
}

// typeLine puts the line of a file in place of the configuration's that has the same key.
func typeLine(script *testscript.TestScript, _ bool, args []string) {
	line := script.ReadFile(args[0])
	key, _, _ := strings.Cut(line, ":")
	configured := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(key) + ":.*\n")
	text := script.ReadFile("countersign.yaml")
	if len(configured.FindAllString(text, -1)) != 1 {
		script.Fatalf("countersign.yaml has not one line %s", key)
	}
	script.Check(os.WriteFile(script.MkAbs("countersign.yaml"), []byte(configured.ReplaceAllLiteralString(text, line)), 0o600))
}

// sends has what is served decide a request, made as by ask, until its reason is the one
// that is wanted.
func sends(script *testscript.TestScript, _ bool, args []string) {
	story := bank.Story{Ask: bank.Ask{Listener: bank.MTLS}}
	script.Check(json.Unmarshal([]byte(script.ReadFile(args[0])), &story.Ask))
	made, err := story.Request(script.Value("bank").(*bank.Bank), "")
	script.Check(err)
	text, err := json.Marshal(checkRequest(made))
	script.Check(err)
	request := &authv3.CheckRequest{}
	script.Check(protojson.Unmarshal(text, request))
	connection, err := grpc.NewClient(script.Getenv("ENVOYS"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	script.Check(err)
	defer connection.Close()
	until(script, "it is "+args[1], func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		response, err := authv3.NewAuthorizationClient(connection).Check(ctx, request)
		if err != nil {
			return err
		}
		told := response.GetDynamicMetadata().GetFields()
		script.Setenv("ID", told["decision_id"].GetStringValue())
		if reason := told["reason"].GetStringValue(); reason != args[1] {
			return errors.New(reason)
		}
		return nil
	})
}

// awaits waits until a page of the console has a text.
func awaits(script *testscript.TestScript, _ bool, args []string) {
	until(script, args[0]+" tells "+args[1], func() error {
		response, err := http.Get(script.Getenv("CONSOLE") + args[0])
		if err != nil {
			return err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err == nil && !bytes.Contains(text, []byte(args[1])) {
			err = fmt.Errorf("it tells %s", text)
		}
		return err
	})
}

// kept waits until the input of the decision ID is on disk, and the texts in the records: both
// come a moment after the answer.
func kept(script *testscript.TestScript, _ bool, texts []string) {
	until(script, "it is kept", func() error {
		inputs, err := allOf(script.MkAbs("records/inputs-*.jsonl"))
		if err == nil && (!bytes.Contains(inputs, []byte(script.Getenv("ID"))) || !bytes.HasSuffix(inputs, []byte("}\n"))) {
			err = errors.New("the input is not")
		}
		records, damage := allOf(script.MkAbs("records/decisions-*.jsonl"))
		for _, text := range texts {
			if !bytes.Contains(records, []byte(text)) {
				err = errors.Join(err, fmt.Errorf("no record has %s", text))
			}
		}
		return errors.Join(err, damage)
	})
}

// allOf is what the files of a pattern hold.
func allOf(pattern string) ([]byte, error) {
	files, err := filepath.Glob(pattern)
	var all []byte
	for _, file := range files {
		text, fault := os.ReadFile(file)
		all, err = append(all, text...), errors.Join(err, fault)
	}
	return all, err
}
