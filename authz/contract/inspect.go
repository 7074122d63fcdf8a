package contract

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/countersign-io/countersign/authz"
)

// Limits on what a request names.
const (
	maxObjects  = 100
	maxObjectID = 256
)

// Inspect reads the objects that a matched request names, by the rules of its
// operation, and its body where the contract has one and it is JSON. What an upstream
// could read differently is refused: a name that many upstreams do not tell apart from
// a rule's, a repeated header, a number that does not survive a double, a form.
func (c *Contracts) Inspect(match authz.Match, request *authz.Request, target authz.Target) (authz.Inspection, error) {
	operation := match.Operation
	if operation == nil {
		return authz.Inspection{}, errors.New("contract: no operation to inspect a request by")
	}
	reading, known := c.readings[operation]
	if !known {
		return authz.Inspection{}, errors.New("contract: an operation of another contract")
	}
	names := naming{operation: operation, reading: reading}
	body, parsed, err := names.readBody(request)
	if err != nil {
		return authz.Inspection{}, err
	}
	if err := names.unnamed(target); err != nil {
		return authz.Inspection{}, err
	}
	for _, rule := range operation.Objects {
		switch rule.In {
		case authz.InPath:
			err = names.path(rule, match.Parameters)
		case authz.InQuery:
			err = names.query(rule, target)
		case authz.InHeader:
			err = names.header(rule, request.Headers)
		case authz.InBody:
			err = names.wholeBody(rule, body)
		default:
			err = fmt.Errorf("contract: a rule reads %q", rule.In)
		}
		if err := names.settle(err, rule); err != nil {
			return authz.Inspection{}, err
		}
	}
	return authz.Inspection{Objects: names.found, Body: body, Parsed: parsed, Observed: names.observed}, nil
}

// reading is how an operation's requests are read, beside its rules.
type reading struct {
	// hasBody is whether the contract has a body, and mediaTypes are those it may have.
	hasBody    bool
	mediaTypes []string
	// unnamed are parameters that must not be in the query: the document says of
	// their names that they name objects, and the operation does not declare them.
	unnamed []authz.ObjectRule
}

// naming collects what a request names.
type naming struct {
	operation *authz.Operation
	reading   reading
	found     []authz.Named
	// observed are the failures that end nothing.
	observed []error
	// bodyless says that the body could not be read, which is observed: no rule is to take
	// it for empty.
	bodyless bool
}

// settle is an error of following rules, or nil where the operation only observes it. Then
// each of them may name an object that nobody knows, and none that is the caller's.
func (n *naming) settle(err error, rules ...authz.ObjectRule) error {
	reason := authz.ReasonOf(err)
	if err == nil || !reason.Observable() || !n.operation.Observes(reason.String()) {
		return err
	}
	n.observed = append(n.observed, err)
	n.unread(rules...)
	return nil
}

func (n *naming) unread(rules ...authz.ObjectRule) {
	for _, rule := range rules {
		n.found = append(n.found, authz.Named{Object: authz.Object{Type: rule.Type, ID: authz.Unread}, Where: string(rule.In) + rule.Pointer})
	}
}

// unnamed refuses query parameters that would name objects, and that nobody checks.
func (n *naming) unnamed(target authz.Target) error {
	for _, unnamed := range n.reading.unnamed {
		for name := range target.Query {
			if !folds(name, unnamed.Name) || n.isRule(name) {
				continue
			}
			err := fmt.Errorf("contract: %w: query %s, which the operation does not declare", authz.ObjectMalformed, unnamed.Name)
			if err := n.settle(err, unnamed); err != nil {
				return err
			}
			break
		}
	}
	return nil
}

// isRule reports the exact name of a rule for the query.
func (n *naming) isRule(name string) bool {
	return slices.ContainsFunc(n.operation.Objects, func(r authz.ObjectRule) bool { return r.In == authz.InQuery && r.Name == name })
}

// folds reports a name of a parameter that some upstreams read as another: in any
// case, with blanks around it, as far as a NUL, and as an array or an element of one
// ("id[]", "id[0]").
func folds(name, other string) bool {
	name, _, _ = strings.Cut(name, "\x00")
	other = strings.TrimSuffix(other, "[]")
	for end := range len(name) + 1 {
		if (end == len(name) || name[end] == '[') && strings.EqualFold(strings.TrimSpace(name[:end]), other) {
			return true
		}
	}
	return false
}

func (n *naming) path(rule authz.ObjectRule, parameters map[string]string) error {
	value, ok := parameters[rule.Name]
	if !ok {
		return fmt.Errorf("contract: the path has no parameter %q", rule.Name)
	}
	return n.text(rule, value)
}

func (n *naming) query(rule authz.ObjectRule, target authz.Target) error {
	for name := range target.Query {
		if name != rule.Name && folds(name, rule.Name) && !n.isRule(name) {
			return fmt.Errorf("contract: %w: a query parameter's name could be taken for %q", authz.ObjectMalformed, rule.Name)
		}
	}
	values := target.Query[rule.Name]
	if len(values) == 0 {
		return missing(rule)
	}
	for _, value := range values {
		if err := n.text(rule, value); err != nil {
			return err
		}
	}
	return nil
}

func (n *naming) header(rule authz.ObjectRule, headers authz.Headers) error {
	seen := false
	for value := range headers.Values(rule.Name) {
		// Envoy joins fields of one name: a comma may be two ids, of which the
		// upstream takes one.
		if seen && !rule.List || !rule.List && strings.Contains(value, ",") {
			return fmt.Errorf("contract: %w: header %q is repeated", authz.ObjectMalformed, rule.Name)
		}
		seen = true
		if err := n.text(rule, value); err != nil {
			return err
		}
	}
	if !seen {
		return missing(rule)
	}
	return nil
}

// text adds the ids of a parameter's value.
func (n *naming) text(rule authz.ObjectRule, value string) error {
	if !rule.List {
		return n.add(rule, value, string(rule.In))
	}
	for id := range strings.SplitSeq(value, ",") {
		if err := n.add(rule, strings.TrimSpace(id), string(rule.In)); err != nil {
			return err
		}
	}
	return nil
}

func (n *naming) add(rule authz.ObjectRule, id, where string) error {
	switch {
	case !isObjectID(id):
		return malformed(rule)
	case len(n.found) >= maxObjects:
		return fmt.Errorf("contract: %w: over %d", authz.TooManyObjects, maxObjects)
	}
	n.found = append(n.found, authz.Named{Object: authz.Object{Type: rule.Type, ID: authz.ObjectID(id)}, Where: where})
	return nil
}

// isObjectID refuses U+FFFD, too: it stands for what could not be decoded, which
// an upstream may decode.
func isObjectID(id string) bool {
	return id != "" && len(id) <= maxObjectID && utf8.ValidString(id) &&
		!strings.ContainsRune(id, utf8.RuneError) && !strings.ContainsFunc(id, unicode.IsControl)
}

// missing is nil where the rule lets a request not name the object.
func missing(rule authz.ObjectRule) error {
	if rule.Optional {
		return nil
	}
	return fmt.Errorf("contract: %w: %s", authz.ObjectMissing, source(rule))
}

func malformed(rule authz.ObjectRule) error {
	return fmt.Errorf("contract: %w: %s", authz.ObjectMalformed, source(rule))
}

// source says where the rule looks: the contract's words, nothing of the request's.
func source(rule authz.ObjectRule) string {
	return string(rule.In) + " " + rule.Name + rule.Pointer
}

func readsBody(operation *authz.Operation) bool {
	return slices.ContainsFunc(operation.Objects, func(r authz.ObjectRule) bool { return r.In == authz.InBody })
}

func readsQuery(operation *authz.Operation) bool {
	return slices.ContainsFunc(operation.Objects, func(r authz.ObjectRule) bool { return r.In == authz.InQuery })
}

func requiresBody(operation *authz.Operation) bool {
	return slices.ContainsFunc(operation.Objects, func(r authz.ObjectRule) bool { return r.In == authz.InBody && !r.Optional })
}
