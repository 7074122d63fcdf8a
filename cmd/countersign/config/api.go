package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/contract"
	"github.com/countersign-io/countersign/authz/token"
	"github.com/countersign-io/countersign/rego"
)

// API is one API: its document, and what its tokens must be, or the policy that decides
// alone.
type API struct {
	Contract contract.API `yaml:",inline"`
	Tokens   token.API    `yaml:",inline"`
	// Enforce is EnforceContract where empty.
	Enforce Enforcement `yaml:"enforce"`
	// Policy is for EnforcePolicyOnly, and required there.
	Policy *PolicyOnly `yaml:"policy"`
}

// Enforcement says what an API's requests are held against.
type Enforcement string

const (
	// EnforceContract is the API's contract, and all that is native. It is the default.
	EnforceContract Enforcement = "contract"
	// EnforcePolicyOnly is the API's own policy and nothing else.
	EnforcePolicyOnly Enforcement = "policy-only"
)

// PolicyOnly is the policy of an API that has nothing else.
type PolicyOnly struct {
	Peer rego.PeerConfig `yaml:",inline"`
	// DryRun lets pass what the policy refuses, and records that.
	DryRun bool `yaml:"dry_run"`
}

// IsPolicyOnly reports an API that a policy alone decides on.
func (a *API) IsPolicyOnly() bool { return a.Enforce == EnforcePolicyOnly }

// PolicyOnly are the APIs that a policy alone decides on.
func (c *Config) PolicyOnly() []authz.API {
	names := []authz.API{}
	for i := range c.APIs {
		if c.APIs[i].IsPolicyOnly() {
			names = append(names, c.APIs[i].Contract.Name)
		}
	}
	return names
}

// Network is whom a policy may ask.
type Network struct {
	API      authz.API `json:"api"`
	Builtins []string  `json:"builtins"`
	// Hosts are none where it may ask anybody.
	Hosts []string `json:"hosts,omitempty"`
}

// Whom are the hosts, in words.
func (n *Network) Whom() string {
	if len(n.Hosts) == 0 {
		return "anybody"
	}
	return strings.Join(n.Hosts, ", ")
}

// Network is what policies may ask, for whoever starts or checks the configuration.
func (c *Config) Network() []Network {
	all := []Network{}
	for _, api := range c.APIs {
		if api.Policy != nil && len(api.Policy.Peer.Builtins) > 0 {
			all = append(all, Network{API: api.Contract.Name, Builtins: api.Policy.Peer.Builtins, Hosts: api.Policy.Peer.Hosts})
		}
	}
	return all
}

// checkAPIs holds that no API is enforced by half: it has a contract, or its own policy.
func (c *Config) checkAPIs(problems *authz.Problems) {
	names := map[authz.API]bool{}
	for i := range c.APIs {
		api, key := &c.APIs[i], "apis["+strconv.Itoa(i)+"]"
		switch {
		case api.IsPolicyOnly():
			api.checkPolicyOnly(key, names[api.Contract.Name], problems)
		case api.Enforce != "" && api.Enforce != EnforceContract:
			problems.Add(key+".enforce", fmt.Sprintf("%q is not known", api.Enforce), "write contract or policy-only")
		case api.Policy != nil:
			problems.Add(key+".policy", "stands at an API that has a contract, which the policy at the top decides on", "remove it, or write enforce: policy-only")
		}
		names[api.Contract.Name] = true
	}
}

func (a *API) checkPolicyOnly(key string, twice bool, problems *authz.Problems) {
	switch name := a.Contract.Name; {
	case name == "":
		problems.Add(key+".name", "is empty", "name the API as context_extensions do")
	case twice:
		problems.Add(key+".name", fmt.Sprintf("%q is the name of another API, too", name), "give each API a name of its own")
	}
	if a.Policy == nil {
		problems.Add(key+".policy", "is missing", "name the files of the policy that decides, under paths")
	}
	bare := API{Contract: contract.API{Name: a.Contract.Name}, Enforce: a.Enforce, Policy: a.Policy}
	set, unset := fieldsOf(reflect.ValueOf(a).Elem()), fieldsOf(reflect.ValueOf(&bare).Elem())
	for name, value := range set {
		if !reflect.DeepEqual(value.Interface(), unset[name].Interface()) {
			problems.Add(key+"."+name, "is not for an API that is enforced by its policy alone: nothing would heed it", "remove it, or have a contract enforced")
		}
	}
}

// contracted are the places in APIs of those that have a contract.
func (c *Config) contracted() []int {
	var places []int
	for i := range c.APIs {
		if !c.APIs[i].IsPolicyOnly() {
			places = append(places, i)
		}
	}
	return places
}

// Contracts is the configuration of package contract.
func (c *Config) Contracts() contract.Config {
	var apis []contract.API
	for _, i := range c.contracted() {
		api := c.APIs[i]
		api.Contract.Audiences = api.Tokens.Audiences
		apis = append(apis, api.Contract)
	}
	return contract.Config{APIs: apis}
}

// ContractKeys maps keys of Contracts to those of the file, where there are other APIs
// between.
func (c *Config) ContractKeys(problems authz.Problems) authz.Problems {
	mapped := slices.Clone(problems)
	places := c.contracted()
	for i, problem := range mapped {
		number, rest, _ := strings.Cut(strings.TrimPrefix(problem.Key, "apis["), "]")
		if at, err := strconv.Atoi(number); err == nil && at < len(places) {
			mapped[i].Key = fmt.Sprintf("apis[%d]%s", places[at], rest)
		}
	}
	return mapped
}

// Tokens is the configuration of package token.
func (c *Config) Tokens() token.Config {
	apis := map[authz.API]token.API{}
	for _, i := range c.contracted() {
		apis[c.APIs[i].Contract.Name] = c.APIs[i].Tokens
	}
	return token.Config{Issuers: c.Issuers, APIs: apis, Cache: c.TokenCache, Environment: c.Environment}
}
