package rego

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	opa "github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"
	"github.com/open-policy-agent/opa/v1/topdown/cache"

	"github.com/countersign-io/countersign/authz"
)

// askers are the built-ins that can be allowed by name.
var askers = []string{httpSend, lookupAddress}

const (
	httpSend      = "http.send"
	lookupAddress = "net.lookup_ip_addr"
)

const (
	// maxAnswer bounds an answer's body, and maxCached what http.send is asked to cache of
	// them. opa-envoy-plugin has no such bounds.
	maxAnswer = 1 << 20
	maxCached = 32 << 20
)

// network is what a policy may ask; nil is nothing.
type network struct {
	names []string
	cache cache.InterQueryCache
}

func newNetwork(names []string) *network {
	if len(names) == 0 {
		return nil
	}
	most, all, never := int64(maxCached), int64(100), int64(0)
	return &network{names: names, cache: cache.NewInterQueryCache(&cache.Config{InterQueryBuiltinCache: cache.InterQueryBuiltinCacheConfig{
		MaxSizeBytes: &most, ForcedEvictionThresholdPercentage: &all, StaleEntryEvictionPeriodSeconds: &never}})}
}

// asking is what one decision asks, and is answered. It is for one goroutine.
type asking struct {
	network *network
	id      authz.DecisionID
	// request is what is decided on; it is not known when recalled.
	request *authz.Request
	// recalled is whether answers are those of then, and none is asked for.
	recalled bool
	// answers are by built-in and by what was asked, as told writes them. A failure is
	// null, and nil is what cannot be told.
	answers map[string]map[string]json.RawMessage
	size    int
	// lacking are what was asked when recalled and is not among the answers.
	lacking []string
}

// ask is for a decision that is made now.
func (n *network) ask(facts *authz.Facts) *asking {
	return &asking{network: n, id: facts.ID, request: facts.Request, answers: map[string]map[string]json.RawMessage{}}
}

var errAnswers = errors.New("the answers are not as they were kept")

// recall is for a decision that is made again, by the answers of then.
func (n *network) recall(kept []byte, id authz.DecisionID) (*asking, error) {
	a := &asking{network: n, id: id, recalled: true, answers: map[string]map[string]json.RawMessage{}}
	if kept == nil {
		return a, nil
	}
	if err := json.Unmarshal(kept, &a.answers); err != nil {
		return nil, errAnswers
	}
	return a, nil
}

// options have OPA ask through a: its cache of what is not deterministic, which it looks
// into before it calls a built-in, and puts the answer into, is ours.
func (a *asking) options() []opa.EvalOption {
	cached := builtins.NDBCache{}
	for _, name := range a.network.names {
		cached[name] = &answered{Object: ast.NewObject(), name: name, of: a}
	}
	options := []opa.EvalOption{
		opa.EvalNDBuiltinCache(cached),
		opa.EvalHTTPRoundTripper(a.over),
	}
	if !a.recalled {
		options = append(options, opa.EvalInterQueryBuiltinCache(a.network.cache))
	}
	return options
}

// told are the answers, in the form of OPA's nd_builtin_cache, or nil where nothing was
// asked.
func (a *asking) told() *authz.Lookups {
	if len(a.answers) == 0 {
		return nil
	}
	told := &authz.Lookups{Builtins: slices.Sorted(maps.Keys(a.answers))}
	if a.size > maxDocument {
		return told
	}
	for _, answers := range a.answers {
		maps.DeleteFunc(answers, func(_ string, answer json.RawMessage) bool { return answer == nil })
	}
	if text, err := json.Marshal(a.answers); err == nil {
		told.Answers = text
	}
	return told
}

// answered is what OPA takes for the cache of one built-in. What is said to it is all that
// OPA asks of it.
type answered struct {
	ast.Object
	name string
	of   *asking
}

// failed is the answer of a built-in that had none, and unsettled one of two that differ
// although the same was asked, as far as can be kept.
var failed, unsettled = json.RawMessage("null"), json.RawMessage(nil)

// Get is asked before a built-in is called, with its operands. What it returns is taken
// for the answer; nil has it called.
func (c *answered) Get(operands *ast.Term) *ast.Term {
	key := c.of.key(c.name, operands)
	if !c.of.recalled {
		c.of.note(c.name, key, failed) // until it is answered
		return nil
	}
	answer, there := c.of.answers[c.name][key]
	switch {
	case there && string(answer) != string(failed):
		if value, err := parsedAnswer(c.name, answer); err == nil {
			return ast.NewTerm(value)
		}
	case there && c.name == httpSend && !retries(operands):
		return nil // fails again: its requests go nowhere
	}
	// Whatever is decided by the null is thrown away.
	c.of.lacking = append(c.of.lacking, c.name+": what it was not asked then, or was not kept")
	return ast.NullTerm()
}

// Insert is told an answer.
func (c *answered) Insert(operands, answer *ast.Term) {
	if c.of.recalled {
		return
	}
	key := c.of.key(c.name, operands)
	written := &jsonText{}
	err := written.value(listed(answer.Value), maxDepth)
	switch {
	case errors.Is(err, errTooLarge):
		c.of.size = maxDocument + 1
	case err != nil, tellsURL(answer):
		c.of.note(c.name, key, unsettled)
	default:
		c.of.note(c.name, key, written.text)
	}
}

// note keeps an answer, unless they are too large together.
func (a *asking) note(name, key string, answer json.RawMessage) {
	if a.answers[name] == nil {
		a.answers[name] = map[string]json.RawMessage{}
	}
	if a.size += len(key) + len(answer); a.size > maxDocument {
		return
	}
	before, there := a.answers[name][key]
	switch {
	case !there, string(before) == string(failed):
		a.answers[name][key] = answer
	case string(answer) != string(failed) && string(before) != string(answer):
		a.answers[name][key] = unsettled
	}
}

// tellsURL reports the answer of http.send that says why there is none: it quotes the whole
// URL, in which there may be secrets.
func tellsURL(answer *ast.Term) bool {
	object, ok := answer.Value.(ast.Object)
	if !ok {
		return false
	}
	fault, ok := valueOf(object, "error").(ast.Object)
	if !ok {
		return false
	}
	message, _ := valueOf(fault, "message").(ast.String)
	return strings.ContainsAny(string(message), "?@")
}

// listed is a set as an array, in order: JSON has no sets.
func listed(value ast.Value) ast.Value {
	if set, ok := value.(ast.Set); ok {
		return set.Sorted()
	}
	return value
}

func parsedAnswer(name string, text json.RawMessage) (ast.Value, error) {
	parsed, err := authz.ParseJSON(text, maxDepth)
	if err != nil {
		return nil, err
	}
	value, err := ast.InterfaceToValue(parsed)
	if array, ok := value.(*ast.Array); ok && name == lookupAddress {
		set := ast.NewSet()
		array.Foreach(set.Add)
		return set, err
	}
	return value, err
}

// retries reports a request that http.send would send again, after a while, where it fails.
func retries(operands *ast.Term) bool {
	array, _ := operands.Value.(*ast.Array)
	if array == nil || array.Len() == 0 {
		return false
	}
	request, ok := array.Elem(0).Value.(ast.Object)
	return ok && request.Get(ast.StringTerm("max_retry_attempts")) != nil
}

// key is what was asked, as it is kept: JSON, in which what may be secret, or whatever the
// client wrote, is a short hash that depends on the decision. It tells what was asked
// apart; see hash.
func (a *asking) key(name string, operands *ast.Term) string {
	asked := operands.Value
	if array, ok := asked.(*ast.Array); ok && name == httpSend && array.Len() > 0 {
		asked = ast.NewArray(ast.NewTerm(a.masked(array.Elem(0).Value)))
	}
	written := &jsonText{}
	if err := written.value(asked, maxDepth); err != nil {
		return a.hash(asked)
	}
	return string(written.text)
}

// masked is http.send's operand without secrets: of its headers the names are left, and of
// its URL what stands before a query, but whom it is signed in as.
func (a *asking) masked(request ast.Value) ast.Value {
	object, ok := request.(ast.Object)
	if !ok {
		return ast.String(a.hash(request))
	}
	pairs := make([]pair, 0, object.Len())
	object.Foreach(func(key, value *ast.Term) {
		switch name(key) {
		case "method", "enable_redirect", "force_json_decode", "force_yaml_decode", "timeout", "cache", "force_cache",
			"force_cache_duration_seconds", "raise_error", "caching_mode", "max_retry_attempts", "cache_ignored_headers",
			"tls_use_system_certs", "tls_insecure_skip_verify", "tls_server_name":
		case "url":
			value = ast.StringTerm(a.maskedURL(value.Value))
		case "headers":
			value = ast.NewTerm(a.maskedHeaders(value.Value))
		default:
			value = ast.StringTerm(a.hash(value.Value))
		}
		pairs = append(pairs, pair{key, value})
	})
	return ast.NewObject(pairs...)
}

func (a *asking) maskedURL(value ast.Value) string {
	text, ok := value.(ast.String)
	if !ok {
		return a.hash(value)
	}
	shown, _, _ := strings.Cut(string(text), "?")
	shown, _, _ = strings.Cut(shown, "#")
	scheme, rest, found := strings.Cut(shown, "://")
	host, path, _ := strings.Cut(rest, "/")
	host = host[strings.LastIndex(host, "@")+1:]
	if masked := scheme + "://" + host + "/" + path; found && masked == string(text) {
		return masked
	} else if found {
		return masked + " " + a.hash(value)
	}
	return a.hash(value)
}

func (a *asking) maskedHeaders(value ast.Value) ast.Value {
	object, ok := value.(ast.Object)
	if !ok {
		return ast.String(a.hash(value))
	}
	pairs := make([]pair, 0, object.Len())
	object.Foreach(func(key, value *ast.Term) { pairs = append(pairs, pair{key, ast.StringTerm(a.hash(value.Value))}) })
	return ast.NewObject(pairs...)
}

// hash tells values apart, so that no answer is taken for another's. Whoever reads it and
// knows the decision can try values: of few, such as PINs, the one that fits is found. Only
// what cannot be guessed is hidden. A key that is not kept could not be had for a replay.
func (a *asking) hash(value ast.Value) string {
	const length = 4
	return "hidden " + hex.EncodeToString(joined(a.id[:], []byte(value.String()))[:length])
}
