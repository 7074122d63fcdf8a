package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/rego/bundles"
)

const policyPurpose = `tell which bundles are kept, and have some of them stay in force

  countersign policy list  --config countersign.yaml
  countersign policy pin   --config countersign.yaml REVISION
  countersign policy unpin --config countersign.yaml

REVISION is the id of a set that list tells, or the revision of a bundle that only one
set has. It is in force within seconds in each Countersign that has the same state, and
stays over a restart; what is downloaded waits until unpin.`

// keptSet is a set of bundles as list and pin tell it.
type keptSet struct {
	Set string `json:"set"`
	// Since is when it was put in force last.
	Since   time.Time      `json:"since"`
	Bundles []authz.Bundle `json:"bundles"`
	Pinned  bool           `json:"pinned"`
}

// policy tells which bundles are kept, and pins.
func policy(_ context.Context, args []string, w world) error {
	verb := ""
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	var file, output string
	define := func(f *flag.FlagSet) {
		f.StringVar(&file, "config", "countersign.yaml", "the configuration")
		outputFlag(f, &output)
	}
	if verb != "list" && verb != "pin" && verb != "unpin" {
		if _, err := operands("policy", policyPurpose, append([]string{verb}, args...), w, define); err != nil {
			return err
		}
		fmt.Fprintln(w.stderr, "countersign policy: takes list, pin or unpin; see countersign policy --help")
		return errArguments
	}
	rest, err := operands("policy "+verb, policyPurpose, args, w, define)
	if err != nil {
		return err
	}
	if wanted := map[string]int{"pin": 1}[verb]; len(rest) != wanted {
		fmt.Fprintf(w.stderr, "countersign policy %s: takes %d revisions, and is given %d; see countersign policy --help\n", verb, wanted, len(rest))
		return errArguments
	}
	store, err := storeOf(file, w)
	if err != nil {
		return tell(err, output, w)
	}
	switch verb {
	case "pin":
		err = pin(store, rest[0], output, w)
	case "unpin":
		err = unpin(store, output, w)
	default:
		err = listKept(store, output, w)
	}
	return tell(err, output, w)
}

// storeOf is where a configuration's bundles are kept. What else is wrong with the file is
// no hindrance: a policy is rolled back in a hurry.
func storeOf(file string, w world) (bundles.Store, error) {
	cfg, faults := config.Load(file, w.environ)
	switch {
	case cfg == nil || !cfg.Readable() || cfg.State == "":
		return bundles.Store{}, faults
	case !cfg.Policy.Downloads.Used():
		return bundles.Store{}, cfg.Locate("policy", authz.Problems{{Key: "bundles", What: "is missing: the policy is no bundles", Fix: "roll back the policy's files instead"}})
	}
	return cfg.Bundles(), nil
}

func pin(store bundles.Store, revision, output string, w world) error {
	kept, err := store.Pin(revision, time.Now())
	if err != nil {
		return err
	}
	if output == "json" {
		return json.NewEncoder(w.stdout).Encode(keptSet{Set: kept.ID, Since: kept.Since, Bundles: kept.Names(), Pinned: true})
	}
	_, err = fmt.Fprintf(w.stdout, "pinned: %s\nin force within seconds; what is downloaded waits until countersign policy unpin\n", kept.String())
	return err
}

func unpin(store bundles.Store, output string, w world) error {
	was, err := store.Unpin()
	if err != nil {
		return err
	}
	if output == "json" {
		return json.NewEncoder(w.stdout).Encode(map[string]bool{"was_pinned": was})
	}
	told := "nothing was pinned"
	if was {
		told = "no longer pinned: what was downloaded last is in force within seconds"
	}
	_, err = fmt.Fprintln(w.stdout, told)
	return err
}

func listKept(store bundles.Store, output string, w world) error {
	all, err := store.List()
	if err != nil {
		return err
	}
	pin, err := store.Pinned()
	if err != nil {
		return err
	}
	list := []keptSet{}
	for _, kept := range all {
		list = append(list, keptSet{Set: kept.ID, Since: kept.Since, Bundles: kept.Names(), Pinned: pin != nil && pin.Set == kept.ID})
	}
	if output == "json" {
		return json.NewEncoder(w.stdout).Encode(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(w.stdout, "no bundles are kept yet")
	}
	for _, each := range list {
		mark := ""
		if each.Pinned {
			mark = "  pinned"
		}
		fmt.Fprintf(w.stdout, "%s  %s  %s%s\n", each.Set, each.Since.Format(time.RFC3339), visible(cmp.Or(authz.BundleNames(each.Bundles), "(damaged on disk)")), mark)
	}
	return nil
}
