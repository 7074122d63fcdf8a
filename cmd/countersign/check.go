package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
)

// summary is what check tells of a configuration that is right.
type summary struct {
	Operations int `json:"operations"`
	// Public are the operations that take requests without a token.
	Public []string `json:"public"`
	// Reaches are the paths of the input document that the policy can read.
	Reaches []string `json:"reaches"`
	// Leniencies are what issuers' tokens are forgiven.
	Leniencies []config.Leniency `json:"leniencies"`
	// Observed are the checks whose failures refuse nothing.
	Observed []wire.Observed `json:"observed"`
	// Shadow is null where no policy is tried.
	Shadow *tried `json:"shadow"`
	// Notes are what is no fault of the policy, and was likely not meant.
	Notes []problem `json:"notes"`
	// PolicyOnly are the APIs that a policy of their own decides on, and nothing else.
	PolicyOnly []authz.API `json:"policy_only"`
	// Network are those of them whose policies may ask others.
	Network []config.Network `json:"network"`
	// Set and Bundles are those that were judged, where the policy is of bundles.
	Set     string         `json:"set,omitempty"`
	Bundles []authz.Bundle `json:"bundles,omitempty"`
}

// check finds every fault of a configuration and all that it names, without
// changing anything and without the network.
func check(_ context.Context, args []string, w world) error {
	var file, output string
	err := arguments("check", "find every fault of a configuration", args, w, func(f *flag.FlagSet) {
		f.StringVar(&file, "config", "countersign.yaml", "the configuration")
		outputFlag(f, &output)
	})
	if err != nil {
		return err
	}
	loaded, err := load(file, w)
	if err != nil {
		return tell(err, output, w)
	}
	defer loaded.Close()
	s := summarise(loaded)
	if output == "json" {
		return json.NewEncoder(w.stdout).Encode(s)
	}
	fmt.Fprintf(w.stdout, "%s is right: %d operations, %d of them public%s\n", file, s.Operations, len(s.Public), listed(s.Public))
	for _, each := range s.Leniencies {
		fmt.Fprintf(w.stdout, "note: taken of %s: %s\n", each.Issuer, each.Takes)
	}
	for _, each := range s.Observed {
		fmt.Fprintf(w.stdout, "note: only observed, in %s: %s: what fails refuses nothing\n", each.Where(), strings.Join(each.Checks, ", "))
	}
	for _, each := range notes(loaded) {
		fmt.Fprintf(w.stdout, "note: %v\n", each)
	}
	if s.Shadow != nil {
		fmt.Fprintf(w.stdout, "note: %s\n", s.Shadow.words())
	}
	for _, api := range s.PolicyOnly {
		fmt.Fprintf(w.stdout, "note: %s is decided by its policy alone: no token, certificate or path is checked\n", api)
	}
	for _, each := range s.Network {
		fmt.Fprintf(w.stdout, "note: the policy of %s may ask the network: %s, of %s\n", each.API, strings.Join(each.Builtins, ", "), each.Whom())
	}
	if s.Set != "" {
		fmt.Fprintf(w.stdout, "the policy is of the bundles %s, as they were in force last: %s\n", s.Set, authz.BundleNames(s.Bundles))
	}
	if loaded.Policy == nil {
		return nil
	}
	_, err = fmt.Fprint(w.stdout, read(s.Reaches))
	return err
}

// width is how long a line may become that lists paths.
const width = 100

// read tells paths of the input: in one line, or where that would be too long in one for
// each key of the input, which goes on in others.
func read(paths []string) string {
	if line := "the policy reads " + strings.Join(paths, ", "); len(line) <= width {
		return line + "\n"
	}
	lines, section := []string{"the policy reads"}, ""
	for _, path := range paths {
		head, rest := path, ""
		if parts := strings.SplitN(path, ".", 3); len(parts) == 3 {
			head, rest = parts[0]+"."+parts[1], parts[2]
		}
		last := &lines[len(lines)-1]
		switch {
		case rest == "":
			lines = append(lines, "  "+head)
		case head != section:
			lines = append(lines, "  "+head+": "+rest)
		case len(*last)+len(", "+rest) > width:
			*last += ","
			lines = append(lines, "    "+rest)
		default:
			*last += ", " + rest
		}
		section = head
	}
	return strings.Join(lines, "\n") + "\n"
}

// notes are what is no fault, of the policy and of what it comes from.
func notes(loaded *wire.Loaded) authz.Problems {
	var all authz.Problems
	if loaded.Policy != nil {
		all = slices.Concat(loaded.Policy.Notes(), loaded.Unsaid(), loaded.Unchanged())
	}
	if loaded.Tries() {
		all = append(all, loaded.Shadow.Notes()...)
	}
	if loaded.Fault != nil {
		all = append(all, authz.Problem{Key: "policy.bundles", What: "no policy is judged: " + loaded.Fault.Error(), Fix: "countersign serve downloads it"})
	}
	for _, name := range loaded.Config.Policy.Downloads.Unsigned() {
		all = append(all, authz.Problem{Key: "policy.bundles." + name, What: "is taken without a signature, or with files that none covers: who can write to its server decides", Fix: "sign it, and name the key under signing"})
	}
	return all
}

// load reads a configuration and opens what it names.
func load(file string, w world) (*wire.Loaded, error) {
	cfg, faults := config.Load(file, w.environ)
	return open(cfg, faults, wire.Load)
}

// open opens what a configuration names, by wire's Load or Read. What is wrong with the
// file, its faults, does not hide what is wrong with what it names, as far as that can
// be told.
func open(cfg *config.Config, faults error, by func(*config.Config) (*wire.Loaded, error)) (*wire.Loaded, error) {
	if cfg == nil || !cfg.Readable() {
		return nil, faults
	}
	loaded, err := by(cfg)
	if faults == nil {
		return loaded, err
	}
	if loaded != nil {
		err = loaded.Close()
	}
	return nil, wire.Merge(faults, err)
}

func summarise(loaded *wire.Loaded) summary {
	s := summary{Public: []string{}, Reaches: []string{}, Leniencies: loaded.Config.Leniencies(),
		Observed: wire.ObservedBy(loaded.Contracts), Shadow: triedBy(loaded), Notes: problemList(notes(loaded)), PolicyOnly: loaded.Config.PolicyOnly(), Network: loaded.Config.Network(), Bundles: loaded.Set.Names()}
	if loaded.Policy != nil {
		s.Reaches = loaded.Policy.Reaches()
	}
	if loaded.Set != nil {
		s.Set = loaded.Set.ID
	}
	for operation := range loaded.Contracts.Operations() {
		s.Operations++
		if operation.TakesAnonymous() {
			s.Public = append(s.Public, operation.ID)
		}
	}
	return s
}

// tried is a policy that is tried beside the one in force.
type tried struct {
	Path string `json:"path"`
	// Same says that it is the one in force, and is not tried.
	Same    bool     `json:"same"`
	Reaches []string `json:"reaches"`
	// beyond is what the policy in force does not read.
	beyond []string
}

func triedBy(loaded *wire.Loaded) *tried {
	if loaded.Shadow == nil {
		return nil
	}
	t := &tried{Path: loaded.Config.Policy.Shadow.Path, Same: !loaded.Tries(), Reaches: loaded.Shadow.Reaches()}
	t.beyond = t.Reaches
	if loaded.Policy != nil {
		inForce := loaded.Policy.Reaches()
		t.beyond = slices.DeleteFunc(slices.Clone(t.Reaches), func(path string) bool { return slices.Contains(inForce, path) })
	}
	return t
}

func (t *tried) words() string {
	if t.Same {
		return "policy.shadow is the policy in force: nothing is tried"
	}
	if len(t.beyond) == 0 {
		return t.Path + " is tried beside the policy in force, and reads no more"
	}
	return fmt.Sprintf("%s is tried beside the policy in force; it reads more: %s", t.Path, strings.Join(t.beyond, ", "))
}

// tell writes problems as JSON where that is asked for; text is main's.
func tell(err error, output string, w world) error {
	var problems authz.Problems
	if output != "json" || !errors.As(err, &problems) {
		return err
	}
	return errors.Join(json.NewEncoder(w.stdout).Encode(map[string]any{"problems": problemList(problems)}), err)
}

// problem is authz.Problem as programs read it.
type problem struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Key  string `json:"key,omitempty"`
	What string `json:"what"`
	Fix  string `json:"fix,omitempty"`
}

func problemList(problems authz.Problems) []problem {
	list := make([]problem, len(problems))
	for i, p := range problems {
		list[i] = problem(p)
	}
	return list
}

func listed(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, ", ") + ")"
}
