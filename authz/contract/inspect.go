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
// operation, and its body where that is JSON. What an upstream could read
// differently is refused: a name that differs from a rule's only in case (many
// upstreams do not tell them apart), a repeated header, a number that does not
// survive a double.
func (c *Contracts) Inspect(match authz.Match, request *authz.Request, target authz.Target) (authz.Inspection, error) {
	operation := match.Operation
	if operation == nil {
		return authz.Inspection{}, errors.New("contract: no operation to inspect a request by")
	}
	body, parsed, err := readBody(operation, request)
	if err != nil {
		return authz.Inspection{}, err
	}
	var names naming
	for _, rule := range operation.Objects {
		switch rule.In {
		case authz.InPath:
			err = names.path(rule, match.Parameters)
		case authz.InQuery:
			err = names.query(rule, target)
		case authz.InHeader:
			err = names.header(rule, request.Headers)
		case authz.InBody:
			err = names.body(rule, body, rule.Pointer, "body")
		default:
			err = fmt.Errorf("contract: a rule reads %q", rule.In)
		}
		if err != nil {
			return authz.Inspection{}, err
		}
	}
	return authz.Inspection{Objects: names.found, Body: body, Parsed: parsed}, nil
}

// naming collects what a request names.
type naming struct{ found []authz.Named }

func (n *naming) path(rule authz.ObjectRule, parameters map[string]string) error {
	value, ok := parameters[rule.Name]
	if !ok {
		return fmt.Errorf("contract: the path has no parameter %q", rule.Name)
	}
	return n.text(rule, value)
}

func (n *naming) query(rule authz.ObjectRule, target authz.Target) error {
	for name := range target.Query {
		if name != rule.Name && strings.EqualFold(name, rule.Name) {
			return fmt.Errorf("contract: %w: a query parameter differs from %q in case", authz.ObjectMalformed, rule.Name)
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
	case len(n.found) == maxObjects:
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

func requiresBody(operation *authz.Operation) bool {
	return slices.ContainsFunc(operation.Objects, func(r authz.ObjectRule) bool { return r.In == authz.InBody && !r.Optional })
}
