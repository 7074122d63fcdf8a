package rego

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

// tableReader holds the library's tables against what the library makes of them. Its rules take
// what is written wrong for nothing: a misspelt permission would have no hours.
type tableReader struct {
	problems authz.Problems
	// roles and permissions are those that data.roles and the tables have, and liftable
	// the requirements that broken glass can lift.
	roles, permissions, liftable []string
	// inherits is what each role inherits by name.
	inherits map[string][]string
}

// tableFaults are those of data.access and data.roles, where the decision reads the one.
func (s *source) tableFaults(reached reach) authz.Problems {
	if !s.readsAccess(reached) {
		return nil
	}
	written, there := s.data[access]
	if !there {
		return s.tableRules()
	}
	t := &tableReader{liftable: s.textsOf("break_glass.rego", "liftable")}
	t.names(s.data["roles"], written)
	fieldsOf(accessTables)(t, access, written)
	for i := range t.problems {
		t.problems[i].File, t.problems[i].Key = s.path, "data."+t.problems[i].Key
	}
	return append(t.problems, s.tableRules()...)
}

// tableRules are the rules at data.access. What they make of the input could be anybody's
// ticket for ever, and nothing would have looked through it.
func (s *source) tableRules() authz.Problems {
	var problems authz.Problems
	for _, module := range s.modules {
		for _, rule := range module.Rules {
			if ref := rule.Ref().GroundPrefix(); ref.HasPrefix(accessRef) {
				problems = append(problems, s.problem(rule.Location, "the library's tables are no rules: nothing holds what a rule makes to their form",
					"write it as data, in a .json or .yaml file; or name the package otherwise, where it is none of the library's"))
			}
		}
	}
	inOrder(problems)
	return problems
}

// readsAccess reports a rule of the library among those that are reached that reads
// data.access.
func (s *source) readsAccess(reached reach) bool {
	reads := false
	for name, module := range s.modules {
		for _, rule := range module.Rules {
			if !isLibrary(name) || !reached.rules[spotOf(rule)] {
				continue
			}
			ast.WalkRefs(rule, func(ref ast.Ref) bool {
				reads = reads || ref[0].Equal(ast.DefaultRootDocument) && agree(ref.ConstantPrefix()[1:], []string{access})
				return reads
			})
		}
	}
	return reads
}

// textsOf are the texts of a constant rule of the library, as they are written.
func (s *source) textsOf(file, rule string) []string {
	var found []*ast.Term
	for _, r := range s.modules[libraryFolder+file].Rules {
		if r.Head.Name.Equal(ast.Var(rule)) {
			ast.WalkTerms(r.Head.Value, func(term *ast.Term) bool {
				if _, ok := term.Value.(ast.String); ok {
					found = append(found, term)
				}
				return false
			})
		}
	}
	slices.SortStableFunc(found, func(a, b *ast.Term) int { return a.Location.Compare(b.Location) })
	texts := make([]string, len(found))
	for i, term := range found {
		texts[i] = string(term.Value.(ast.String))
	}
	return texts
}

// table is how what stands under a key is read.
type table func(t *tableReader, key string, value any)

var accessTables = map[string]table{
	"inherits":    (*tableReader).inherit,
	"grants":      perSubject(entriesOf(grantFields, nil)),
	"clients":     perSubject((*tableReader).texts),
	"kinds":       objectOf((*tableReader).listOrAll, authz.Customer.String(), authz.Client.String(), authz.Staff.String()),
	"tenants":     objectOf((*tableReader).listOrAll),
	"relations":   objectOf((*tableReader).listOrAll),
	"actors":      perSubject((*tableReader).listOrAll),
	"hours":       fieldsOf(map[string]table{"permissions": objectOfKnown((*tableReader).knownPermission, (*tableReader).windows), "roles": objectOfKnown((*tableReader).knownRole, (*tableReader).windows)}),
	"admin":       fieldsOf(map[string]table{"roles": each((*tableReader).knownRole), "permissions": each((*tableReader).knownPermission), "operations": (*tableReader).texts}, "roles"),
	"break_glass": perSubject(entriesOf(glassFields, (*tableReader).glassTime)),
}

var grantFields = map[string]table{"role": named((*tableReader).knownRole), "from": (*tableReader).instant, "until": (*tableReader).instant}

var glassFields = map[string]table{
	"ticket": named((*tableReader).ticket), "from": (*tableReader).instant, "until": (*tableReader).instant,
	"permissions": each((*tableReader).knownPermission), "requirements": each((*tableReader).lifts), "objects": (*tableReader).objects,
}

var windowFields = map[string]table{
	"days": each((*tableReader).day), "from": named((*tableReader).clock), "to": named((*tableReader).clock), "zone": named((*tableReader).zone),
}

// fieldsOf is an object of these keys and no others, of which some must be there.
func fieldsOf(fields map[string]table, needed ...string) table {
	return func(t *tableReader, key string, value any) {
		for _, name := range t.keys(key, value) {
			read, known := fields[name]
			if !known {
				t.problems.Add(key+"."+name, "the library has no such key", authz.Suggest(name, slices.Sorted(maps.Keys(fields))))
				continue
			}
			read(t, key+"."+name, value.(map[string]any)[name])
		}
		for _, name := range needed {
			if object, ok := value.(map[string]any); ok && object[name] == nil {
				t.problems.Add(key+"."+name, "is not there, so that the rest holds for nobody", "write it, or take "+key+" away")
			}
		}
	}
}

// objectOf is an object of whatever keys, or of these alone.
func objectOf(read table, known ...string) table {
	return objectOfKnown(func(t *tableReader, key, name string) {
		if len(known) > 0 && !slices.Contains(known, name) {
			t.problems.Add(key, "there is no such kind of caller", authz.Suggest(name, known))
		}
	}, read)
}

// judge says what is wrong with a text.
type judge func(t *tableReader, key, text string)

func objectOfKnown(known judge, read table) table {
	return func(t *tableReader, key string, value any) {
		for _, name := range t.keys(key, value) {
			known(t, key+"."+name, name)
			read(t, key+"."+name, value.(map[string]any)[name])
		}
	}
}

// perSubject is an object by issuer, and below it by a name that the issuer gave.
func perSubject(read table) table { return objectOf(objectOf(read)) }

// entriesOf is a list of objects of all of these keys; also looks at each as a whole.
func entriesOf(fields map[string]table, also func(t *tableReader, key string, entry map[string]any)) table {
	needed := slices.Sorted(maps.Keys(fields))
	return func(t *tableReader, key string, value any) {
		for i, entry := range t.list(key, value) {
			at := fmt.Sprintf("%s[%d]", key, i)
			before := len(t.problems)
			fieldsOf(fields, needed...)(t, at, entry)
			if len(t.problems) == before && also != nil {
				also(t, at, entry.(map[string]any))
			}
		}
	}
}

// named is one text, and each a list of them.
func named(fault judge) table {
	return func(t *tableReader, key string, value any) {
		text, ok := value.(string)
		if !ok || text == "" {
			t.problems.Add(key, "is no text", "write one")
			return
		}
		fault(t, key, text)
	}
}

func each(fault judge) table {
	return func(t *tableReader, key string, value any) {
		for i, item := range t.list(key, value) {
			named(fault)(t, fmt.Sprintf("%s[%d]", key, i), item)
		}
	}
}

func (t *tableReader) keys(key string, value any) []string {
	object, ok := value.(map[string]any)
	if !ok {
		t.problems.Add(key, "is no object", "write one, or take the key away")
	}
	return slices.Sorted(maps.Keys(object))
}

func (t *tableReader) list(key string, value any) []any {
	list, ok := value.([]any)
	if !ok {
		t.problems.Add(key, "is no list", "write one")
	}
	return list
}

func (t *tableReader) texts(key string, value any) {
	each(func(*tableReader, string, string) {})(t, key, value)
}

func (t *tableReader) listOrAll(key string, value any) {
	if text, ok := value.(string); ok {
		if text != "all" {
			t.problems.Add(key, "is neither a list of permissions nor all", `write a list, or "all"`)
		}
		return
	}
	t.texts(key, value)
}

func (t *tableReader) knownRole(key, role string) {
	if !slices.Contains(t.roles, role) {
		t.problems.Add(key, fmt.Sprintf("data.roles has no role %q", role), authz.Suggest(role, t.roles))
	}
}

func (t *tableReader) knownPermission(key, permission string) {
	if !slices.Contains(t.permissions, permission) {
		t.problems.Add(key, fmt.Sprintf("no role and no client has the permission %q", permission), authz.Suggest(permission, t.permissions))
	}
}

func (t *tableReader) lifts(key, requirement string) {
	if !slices.Contains(t.liftable, requirement) {
		t.problems.Add(key, fmt.Sprintf("broken glass does not lift %q", requirement), authz.Suggest(requirement, t.liftable))
	}
}

func (t *tableReader) ticket(key, ticket string) {
	if !isTicket(ticket) {
		t.problems.Add(key, "is no ticket", "write a case's name, [A-Za-z0-9][A-Za-z0-9._-]{0,63}")
	}
}

// objects are "all", or names such as "account:22289".
func (t *tableReader) objects(key string, value any) {
	if value == "all" {
		return
	}
	each(func(t *tableReader, key, name string) {
		if kind, id, found := strings.Cut(name, ":"); !found || !isKind(kind) || id == "" {
			t.problems.Add(key, "names no object", `write type and id, such as "account:22289"`)
		}
	})(t, key, value)
}

// ---- Times ----

const (
	instantLayout = "2006-01-02T15:04:05Z"
	// maxGlass is how long glass can stay broken.
	maxGlass = 7 * 24 * time.Hour
)

func (t *tableReader) instant(key string, value any) {
	if text, ok := value.(string); !ok || !isInstantText(text) {
		t.problems.Add(key, "is no instant of UTC", `write it as "2026-11-21T09:00:00Z"`)
	}
}

func isInstantText(text string) bool {
	at, err := time.Parse(instantLayout, text)
	return err == nil && at.Format(instantLayout) == text
}

// glassTime holds an entry to an end.
func (t *tableReader) glassTime(key string, entry map[string]any) {
	from, _ := time.Parse(instantLayout, entry["from"].(string))
	until, _ := time.Parse(instantLayout, entry["until"].(string))
	if until.Sub(from) > maxGlass {
		t.problems.Add(key+".until", "is more than 7 days after from", "what is needed for longer is a role: see grants")
	}
}

var (
	days    = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
	isClock = regexp.MustCompile(`^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$`).MatchString
	isZone  = regexp.MustCompile(`^(UTC|[A-Za-z]+(/[A-Za-z0-9_+-]+)+)$`).MatchString
)

func (t *tableReader) windows(key string, value any) {
	entriesOf(windowFields, func(t *tableReader, key string, window map[string]any) {
		if from, to := window["from"].(string), window["to"].(string); from == to || from == "24:00" {
			t.problems.Add(key, "begins when it ends, or never", `write a whole day as "00:00" to "24:00"`)
		}
	})(t, key, value)
}

func (t *tableReader) day(key, day string) {
	if !slices.Contains(days, day) {
		t.problems.Add(key, fmt.Sprintf("%q is no day", day), authz.Suggest(day, days))
	}
}

func (t *tableReader) clock(key, text string) {
	if !isClock(text) {
		t.problems.Add(key, "is no time of day", `write it as "08:00"`)
	}
}

func (t *tableReader) zone(key, zone string) {
	if _, err := time.LoadLocation(zone); err != nil || !isZone(zone) {
		t.problems.Add(key, "is no time zone of IANA's", `write it as "Europe/London"`)
	}
}
