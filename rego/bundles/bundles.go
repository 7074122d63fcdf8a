// Package bundles brings policies from where OPA's bundles are served, by OPA's own
// downloader, and keeps those that were in force.
//
// What is downloaded is held against its signature, and all bundles together are one Set,
// or none. It is put in force nowhere: a Set is a candidate, which whoever compiles it
// takes whole or refuses. There is no plugin of OPA's here, and no store of it.
package bundles

import (
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/keys"
	"github.com/open-policy-agent/opa/v1/plugins/bundle"
	"github.com/open-policy-agent/opa/v1/plugins/rest"
)

// Config is what OPA's own configuration says of bundles, by OPA's own types: their keys
// are known by their json tags. Credentials that need a plugin, images (OCI), and files in
// place of a service are refused by Check.
type Config struct {
	// Services are servers, by name.
	Services map[string]rest.Config `yaml:"services"`
	// Keys are what bundles are verified by, by id.
	Keys map[string]keys.Config `yaml:"keys"`
	// Bundles are downloaded, and together are the policy, by name.
	Bundles map[string]bundle.Source `yaml:"bundles"`
	// Status is reported to a service; nil is not.
	Status *Status `yaml:"status"`
	// AsOPA reads modules as opa run does: annotations are comments. V0 takes them for Rego v0
	// where a bundle's manifest does not say.
	AsOPA bool `yaml:"-"`
	V0    bool `yaml:"-"`
}

func (c *Config) parser() ast.ParserOptions {
	options := ast.ParserOptions{RegoVersion: ast.RegoV1, ProcessAnnotation: !c.AsOPA}
	if c.V0 {
		options.RegoVersion = ast.RegoV0
	}
	return options
}

// Status says where it is told what became of bundles.
type Status struct {
	// Service is one of Services; "" is the only one.
	Service string `yaml:"service"`
	// PartitionName ends the path that is posted to: /status/<partition_name>.
	PartitionName string `yaml:"partition_name"`
}

const (
	// defaultSize bounds a bundle, and what it holds unpacked, where nothing is said.
	defaultSize = 64 << 20
	// largestSize is what can be allowed.
	largestSize = 1 << 30
)

// Used reports a configuration that has bundles.
func (c *Config) Used() bool { return len(c.Bundles) > 0 }

// Unsigned are the bundles that are taken without a signature, or with files that none
// covers, in order.
func (c *Config) Unsigned() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(c.Bundles)) {
		if signing := c.Bundles[name].Signing; signing == nil || len(signing.Exclude) > 0 {
			names = append(names, name)
		}
	}
	return names
}

// Paths calls each for each path of a file in c, to be changed.
func (c *Config) Paths(each func(path *string)) {
	for _, service := range c.Services {
		if service.TLS != nil {
			each(&service.TLS.CACert)
		}
		with := service.Credentials
		if with.Bearer != nil {
			each(&with.Bearer.TokenPath)
		}
		if with.ClientTLS != nil {
			each(&with.ClientTLS.Cert)
			each(&with.ClientTLS.PrivateKey)
			each(&with.ClientTLS.CACert)
		}
		if with.OAuth2 != nil {
			each(&with.OAuth2.ClientAssertionPath)
		}
	}
}
