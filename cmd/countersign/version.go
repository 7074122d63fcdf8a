package main

import (
	"context"
	"crypto/fips140"
	"encoding/json"
	"flag"
	"fmt"
	"runtime/debug"
)

type versions struct {
	Countersign string `json:"countersign"`
	Go          string `json:"go"`
	OPA         string `json:"opa"`
	// FIPS is how FIPS 140-3 mode stands.
	FIPS string `json:"fips140"`
}

func version(_ context.Context, args []string, w world) error {
	var output string
	if err := arguments("version", "say which version this is", args, w, func(f *flag.FlagSet) { outputFlag(f, &output) }); err != nil {
		return err
	}
	v := readVersions()
	if output == "json" {
		return json.NewEncoder(w.stdout).Encode(v)
	}
	_, err := fmt.Fprintf(w.stdout, "countersign %s (%s, OPA %s, FIPS 140-3 %s)\n", v.Countersign, v.Go, v.OPA, v.FIPS)
	return err
}

func readVersions() versions {
	v := versions{Countersign: "unknown", Go: "unknown", OPA: "unknown", FIPS: fipsMode()}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Countersign, v.Go = build.Main.Version, build.GoVersion
	for _, module := range build.Deps {
		if module.Path == "github.com/open-policy-agent/opa" {
			v.OPA = module.Version
		}
	}
	return v
}

// fipsMode is off, on or enforced, and which version of Go's cryptographic module it is
// that is on.
func fipsMode() string {
	switch {
	case !fips140.Enabled():
		return "off"
	case fips140.Enforced():
		return "enforced, module " + fips140.Version()
	}
	return "on, module " + fips140.Version()
}
