package config

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/rego"
)

// Peer is what stands in for a configuration where opa-envoy-plugin's is used.
type Peer struct {
	// File is OPA's configuration, with the plugin's among it.
	File string
	// Policies are the files and folders that opa run is given.
	Policies []string
	// State is Config's; "" is the folder state.
	State string
	// Admin is Config's.
	Admin string
	// Allow are the built-ins by which the policy may ask the network.
	Allow []string
	// V0 takes the policy for Rego v0.
	V0 bool
}

// Set reports that anything is said beside the file and the policies.
func (p *Peer) Set() bool { return p.State != "" || p.Admin != "" || len(p.Allow) > 0 || p.V0 }

// Unheeded is a key of OPA's configuration that changes nothing here.
type Unheeded struct {
	Line         int
	Key, Because string
}

// peerAddress is where opa-envoy-plugin listens unless told otherwise.
const peerAddress = ":9191"

// What OPA's configuration and the plugin's say of nothing that is decided, and why it can
// be left.
var (
	unheededOPA = map[string]string{
		"labels": "records have none", "decision_logs": "every decision is recorded below the state folder",
		"status": "without bundles there is nothing to report", "server": "OPA's own server is not there", "storage": "policies and data are the files that are named",
		"caching": "of what http.send has cached 32 MiB are kept", "distributed_tracing": "OpenTelemetry's OTEL_* variables say where spans go",
		"nd_builtin_cache": "what the network answers is always kept, with the input", "persistence_directory": "bundles that were in force are kept below the state folder",
		"default_decision": "it is for OPA's own server", "default_authorization_decision": "it is for OPA's own server",
		"services": "without bundles nothing is downloaded", "keys": "without bundles nothing is verified", "metrics": "the buckets are Countersign's",
	}
	unheededPlugin = map[string]string{
		"enable-reflection": "gRPC reflection is not served", "enable-performance-metrics": "metrics are always there",
		"grpc-max-send-msg-size": "answers are small", "grpc-request-duration-seconds-buckets": "the buckets are Countersign's",
	}
	decidingOPA = map[string]string{
		"discovery": "write what it would discover here: it is not asked for",
		"bundle":    "write it under bundles, by its name",
	}
)

// LoadPeer reads OPA's configuration for opa-envoy-plugin. What it says of decisions and
// is not done here is a problem, and so is a key that nobody knows, which OPA would
// overlook; what else is not heeded is among Unheeded. Paths are as they are given. Its
// error is authz.Problems.
func LoadPeer(peer Peer, environ func(name string) (string, bool)) (*Config, error) {
	text, err := read(peer.File)
	if err != nil {
		return nil, authz.Problems{{File: peer.File, What: err.Error(), Fix: "name OPA's configuration with --opa-config"}}
	}
	policy := &PolicyOnly{Peer: rego.PeerConfig{Paths: peer.Policies, Builtins: peer.Allow}}
	if peer.V0 {
		policy.Peer.RegoVersion = "v0"
	}
	cfg := &Config{file: peer.File, text: text, lines: map[string]int{"": 1}, State: cmp.Or(peer.State, "state"), Admin: peer.Admin,
		APIs:    []API{{Enforce: EnforcePolicyOnly, Policy: policy}},
		foreign: map[string]string{"apis[0].policy.paths": "policy files", "apis[0].policy.rego_version": "--v0-compatible", "admin": "--admin"}}
	for i := range peer.Allow {
		cfg.foreign[fmt.Sprintf("apis[0].policy.builtins[%d]", i)] = "--allow"
	}
	cfg.Policy.Downloads.AsOPA, cfg.Policy.Downloads.V0 = true, peer.V0
	p := &peerReader{decoder: decoder{environ: environ, lines: cfg.lines}, cfg: cfg, policy: policy, addr: peerAddress}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		p.problems = append(p.problems, syntaxProblem(err))
	} else if len(document.Content) > 0 {
		p.bundled = has(document.Content[0], "bundles")
		p.members("", document.Content[0], p.top)
	}
	p.checkPolicies(len(peer.Policies))
	p.listen()
	cfg.expanded = p.expanded
	for i := range p.problems {
		p.problems[i].File, p.problems[i].Key = peer.File, strings.TrimPrefix(p.problems[i].Key, "policy.")
	}
	cfg.resolve("")
	return cfg, p.problems.Err()
}

// peerReader reads the two parts of the file.
type peerReader struct {
	decoder
	cfg    *Config
	policy *PolicyOnly
	addr   string
	// bundled says that there are bundles, which are the policy.
	bundled bool
	// decided is the key that names the decision, once there is one.
	decided string
}

func (p *peerReader) top(name string, key, value *yaml.Node) {
	fix, decides := decidingOPA[name]
	because, left := unheededOPA[name]
	switch {
	case name == "plugins":
		p.members(name, value, p.plugin)
	case p.bundled && slices.Contains(downloading, name):
		p.download(name, key, value)
	case decides:
		p.fault(name, key, "is not heeded", fix)
	case left:
		p.leave(name, key, because)
	default:
		p.fault(name, key, "is no key of OPA's configuration that is known here", authz.Suggest(name, slices.Sorted(maps.Keys(unheededOPA))))
	}
}

func (p *peerReader) plugin(name string, key, value *yaml.Node) {
	if name != "envoy_ext_authz_grpc" && name != "envoy.ext_authz.grpc" {
		p.fault("plugins."+name, key, "is a plugin that is not there", "remove it")
		return
	}
	within := "plugins." + name
	p.members(within, value, func(name string, key, value *yaml.Node) { p.setting(within, name, key, value) })
}

// setting reads a key of the plugin's.
func (p *peerReader) setting(within, name string, key, value *yaml.Node) {
	full := join(within, name)
	switch name {
	case "addr":
		p.into("listen", full, value, &p.addr)
	case "path", "query":
		p.decision(name, full, key, value)
	case "dry-run":
		p.into("apis[0].policy.dry_run", full, value, &p.policy.DryRun)
	case "proto-descriptor":
		p.into("apis[0].policy.descriptors", full, value, &p.policy.Peer.Descriptors)
	case "skip-request-body-parse":
		p.into("apis[0].policy.skip_body", full, value, &p.policy.Peer.SkipBody)
	case "grpc-max-recv-msg-size":
		p.into("max_message_bytes", full, value, &p.cfg.Server.MaxMessageBytes)
	default:
		if because, left := unheededPlugin[name]; left {
			p.leave(full, key, because)
			return
		}
		known := append(slices.Sorted(maps.Keys(unheededPlugin)), "addr", "path", "query", "dry-run", "proto-descriptor", "skip-request-body-parse", "grpc-max-recv-msg-size")
		p.fault(full, key, "is no key of opa-envoy-plugin, which would overlook it", authz.Suggest(name, known))
	}
}

// into reads a value, and has problems of our own key told of theirs.
func (p *peerReader) into(own, full string, node *yaml.Node, value any) {
	p.cfg.foreign[own], p.lines[own] = full, node.Line
	text, err := p.expand(node.Value)
	expanded := *node
	expanded.Value = text
	if err == nil {
		err = expanded.Decode(value)
	}
	if err != nil {
		p.fault(full, node, "has no value that can be read", "write what opa-envoy-plugin takes")
	}
}

// decision takes a query that is no more than a path.
func (p *peerReader) decision(name, full string, key, value *yaml.Node) {
	if p.decided != "" {
		p.fault(full, key, "stands beside "+p.decided, "keep one of them")
		return
	}
	p.decided = name
	var text string
	p.into("apis[0].policy.decision", full, value, &text)
	if name == "query" {
		rest, ofData := strings.CutPrefix(text, "data.")
		if !ofData || strings.Trim(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") != "" {
			p.fault(full, key, "is more than a path, which is not evaluated", "write it as a rule, and name that by path, such as envoy/authz/allow")
			return
		}
		text = strings.ReplaceAll(rest, ".", "/")
	}
	p.policy.Peer.Decision = text
}

// listen turns the plugin's address into ours.
func (p *peerReader) listen() {
	scheme, rest, found := strings.Cut(p.addr, "://")
	switch {
	case !found:
		p.cfg.Server.Listen = p.addr
	case scheme == "grpc":
		p.cfg.Server.Listen = rest
	case scheme == "unix":
		p.cfg.Server.Listen = "unix:" + rest
	default:
		p.problems = append(p.problems, authz.Problem{Line: p.lines["listen"], Key: p.cfg.foreign["listen"],
			What: "has the scheme " + strconv.Quote(scheme), Fix: `write "host:port", "grpc://host:port" or "unix:///path"`})
	}
}

func (p *peerReader) leave(name string, key *yaml.Node, because string) {
	p.cfg.unheeded = append(p.cfg.unheeded, Unheeded{Line: key.Line, Key: name, Because: because})
}

// downloading are OPA's keys of bundles.
var downloading = []string{"services", "keys", "bundles", "status"}

// download reads such a key, by OPA's own types, as the policy section of ours has it.
func (p *peerReader) download(name string, key, value *yaml.Node) {
	into := &p.cfg.Policy.Downloads
	within := "policy." + name
	p.lines[within] = key.Line
	switch name {
	case "services":
		p.value(within, byName(value), reflect.ValueOf(&into.Services).Elem(), 0)
	case "keys":
		p.value(within, value, reflect.ValueOf(&into.Keys).Elem(), 0)
	case "bundles":
		p.value(within, value, reflect.ValueOf(&into.Bundles).Elem(), 0)
	case "status":
		if rest := p.reported(value); has(rest, "service") {
			p.value(within, rest, reflect.ValueOf(&into.Status).Elem(), 0)
		}
	}
}

// reported are the keys of a status that say where it is reported. The others change
// nothing here.
func (p *peerReader) reported(status *yaml.Node) *yaml.Node {
	rest := *status
	rest.Content = nil
	for i := 0; i+1 < len(status.Content); i += 2 {
		key := status.Content[i]
		if slices.Contains([]string{"console", "prometheus", "prometheus_config", "trigger", "plugin"}, key.Value) {
			p.leave("status."+key.Value, key, "the log and /metrics tell it")
			continue
		}
		rest.Content = append(rest.Content, key, status.Content[i+1])
	}
	return &rest
}

// byName turns a list of services, each with its name, into the table that it stands for.
func byName(services *yaml.Node) *yaml.Node {
	if services.Kind != yaml.SequenceNode {
		return services
	}
	table := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: services.Line}
	for _, service := range services.Content {
		name := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Line: service.Line}
		for i := 0; i+1 < len(service.Content); i += 2 {
			if service.Content[i].Value == "name" {
				name.Value = service.Content[i+1].Value
			}
		}
		table.Content = append(table.Content, name, service)
	}
	return table
}

func has(mapping *yaml.Node, name string) bool {
	for i := 0; mapping.Kind == yaml.MappingNode && i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return true
		}
	}
	return false
}

// checkPolicies holds that files or bundles are the policy.
func (p *peerReader) checkPolicies(files int) {
	p.policy.Peer.Bundled = p.bundled
	if p.bundled && files > 0 {
		p.problems = append(p.problems, authz.Problem{Line: p.lines["policy.bundles"], Key: "policy.bundles",
			What: "stand beside policy files, and one policy decides", Fix: "put the files in a bundle of their own, or remove the bundles"})
	}
}

// Unheeded are the keys of OPA's configuration that change nothing here, each told, so
// that nobody waits for what they would do.
func (c *Config) Unheeded() []Unheeded { return c.unheeded }

// named is the key as the file has it, where that is OPA's.
func (c *Config) named(key string) string {
	if foreign, there := c.foreign[key]; there {
		return foreign
	}
	if c.foreign != nil {
		return strings.TrimPrefix(key, "policy.")
	}
	return key
}
