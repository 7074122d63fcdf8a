package rego

import (
	"crypto/fips140"
	"encoding/json"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// pinned are the built-ins that OPA calls nondeterministic and that the decision's
// time and seed make repeat.
var pinned = []string{"time.now_ns", "rand.intn", "uuid.rfc4122", "io.jwt.decode_verify"}

// unflagged are those that OPA calls deterministic, and whose answers are not the same
// everywhere.
var unflagged = []string{verifiedNow, "strings.render_template"}

// unapproved are the built-ins that panic where FIPS 140-3 is enforced, whatever their
// operands.
var unapproved = []string{"crypto.md5", "crypto.sha1", "crypto.hmac.md5", "crypto.hmac.sha1"}

// capabilities are OPA's own, less every built-in whose answer depends on more
// than its operands, the decision's time and its seed. What a later OPA adds of
// that sort is left out too. So is what could only deny where FIPS 140-3 is enforced.
func capabilities() *ast.Capabilities {
	all := ast.CapabilitiesForThisVersion()
	// Empty means no host; nil would mean any.
	all.AllowNet = []string{}
	all.Builtins = slices.DeleteFunc(all.Builtins, func(b *ast.Builtin) bool { return forbidden(b.Name) })
	return all
}

// Capabilities is what policies may call, as New gives it to them in this process: OPA's
// capabilities file, for opa check --capabilities and editors.
func Capabilities() ([]byte, error) {
	all := capabilities()
	// OPA leaves an empty list out, which would mean any host.
	return json.MarshalIndent(struct {
		*ast.Capabilities
		AllowNet []string `json:"allow_net"`
	}{all, all.AllowNet}, "", "  ")
}

// forbidden reports a built-in that is kept from policies.
func forbidden(name string) bool {
	return impure(name) || fips140.Enforced() && slices.Contains(unapproved, name)
}

func impure(name string) bool {
	builtin, known := ast.BuiltinMap[name]
	return known && (builtin.Nondeterministic && !slices.Contains(pinned, name) || slices.Contains(unflagged, name))
}

// impurity says why policies are not given a built-in.
func impurity(name string) string {
	switch name {
	case "http.send", "net.lookup_ip_addr":
		return "it asks the network"
	case "opa.runtime":
		return "it reads the environment"
	case "json.match_schema", "json.verify_schema":
		return "a schema's $ref reads files and asks the network"
	case "io.jwt.encode_sign", "io.jwt.encode_sign_raw":
		return "signatures are random, and policies issue no tokens"
	case verifiedNow:
		return "it reads the machine's clock; " + verifiedAt + " takes a CurrentTime"
	case "strings.render_template":
		return "a template can print addresses in memory, and no deadline ends it; use sprintf"
	case "crypto.md5", "crypto.sha1", "crypto.hmac.md5", "crypto.hmac.sha1":
		return "FIPS 140-3 is enforced"
	}
	return "its answer is not the same each time"
}
