package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/countersign-io/countersign/authz"
)

// maxNesting bounds how deep aliases can lead the decoder.
const maxNesting = 32

// decoder fills structs from YAML by their yaml tags, strictly: an unknown key, a
// key that stands twice and a value of the wrong type are problems, all of them
// found in one go.
type decoder struct {
	environ  func(name string) (string, bool)
	problems authz.Problems
	// lines are those of each key that was read.
	lines map[string]int
	// expanded are the values that held references, as expanded.
	expanded []string
}

// decode fills what into points to.
func (d *decoder) decode(text []byte, into any) {
	var document, second yaml.Node
	documents := yaml.NewDecoder(bytes.NewReader(text))
	if err := documents.Decode(&document); err != nil && !errors.Is(err, io.EOF) {
		d.problems = append(d.problems, syntaxProblem(err))
		return
	}
	if len(document.Content) == 0 || document.Content[0].Tag == "!!null" {
		d.problems.Add("", "is empty", "begin with listen, apis and issuers: docs/configuration.md has an example")
		return
	}
	d.value("", document.Content[0], reflect.ValueOf(into).Elem(), 0)
	if err := documents.Decode(&second); err == nil {
		d.fault("", &second, "is a second document, which would not be read", "keep one, without ---")
	} else if !errors.Is(err, io.EOF) {
		d.problems = append(d.problems, syntaxProblem(err))
	}
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (.*)`)

func syntaxProblem(err error) authz.Problem {
	problem := authz.Problem{What: "is no YAML: " + strings.TrimPrefix(err.Error(), "yaml: "), Fix: "mend the syntax"}
	if found := yamlLine.FindStringSubmatch(err.Error()); found != nil {
		problem.Line, _ = strconv.Atoi(found[1])
		problem.What = "is no YAML: " + found[2]
	}
	return problem
}

func (d *decoder) fault(key string, node *yaml.Node, what, fix string) {
	d.problems = append(d.problems, authz.Problem{Line: node.Line, Key: key, What: what, Fix: fix})
}

func (d *decoder) value(key string, node *yaml.Node, into reflect.Value, depth int) {
	if depth > maxNesting {
		d.fault(key, node, "is nested too deeply", "write it flatter")
		return
	}
	if _, seen := d.lines[key]; !seen {
		d.lines[key] = node.Line
	}
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Tag == "!!null" {
		d.fault(key, node, "is left blank", "give it a value, or remove the key")
		return
	}
	switch into.Kind() {
	case reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		d.value(key, node, into.Elem(), depth+1)
	case reflect.Struct:
		d.object(key, node, into, depth)
	case reflect.Slice:
		d.list(key, node, into, depth)
	case reflect.Map:
		d.table(key, node, into, depth)
	default:
		d.scalar(key, node, into)
	}
}

func (d *decoder) object(key string, node *yaml.Node, into reflect.Value, depth int) {
	fields := fieldsOf(into)
	d.members(key, node, func(name string, keyNode, valueNode *yaml.Node) {
		field, known := fields[name]
		if !known {
			d.fault(join(key, name), keyNode, "is no key that is known here", authz.Suggest(name, slices.Sorted(maps.Keys(fields))))
			return
		}
		d.lines[join(key, name)] = keyNode.Line
		d.value(join(key, name), valueNode, field, depth+1)
	})
}

func (d *decoder) table(key string, node *yaml.Node, into reflect.Value, depth int) {
	into.Set(reflect.MakeMap(into.Type()))
	d.members(key, node, func(name string, keyNode, valueNode *yaml.Node) {
		element := reflect.New(into.Type().Elem()).Elem()
		d.lines[join(key, name)] = keyNode.Line
		d.value(join(key, name), valueNode, element, depth+1)
		into.SetMapIndex(reflect.ValueOf(name).Convert(into.Type().Key()), element)
	})
}

// members calls each for the members of a mapping, each name once.
func (d *decoder) members(key string, node *yaml.Node, each func(name string, keyNode, valueNode *yaml.Node)) {
	if node.Kind != yaml.MappingNode {
		d.fault(key, node, "is "+kindOf(node)+", not keys and values", "write key: value pairs")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name := node.Content[i].Value
		if seen[name] {
			d.fault(join(key, name), node.Content[i], "stands twice", "keep one of them")
			continue
		}
		seen[name] = true
		each(name, node.Content[i], node.Content[i+1])
	}
}

func (d *decoder) list(key string, node *yaml.Node, into reflect.Value, depth int) {
	if node.Kind != yaml.SequenceNode {
		d.fault(key, node, "is "+kindOf(node)+", not a list", "write [a, b], or a line with - for each")
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), len(node.Content), len(node.Content)))
	for i, element := range node.Content {
		d.value(fmt.Sprintf("%s[%d]", key, i), element, into.Index(i), depth+1)
	}
}

func (d *decoder) scalar(key string, node *yaml.Node, into reflect.Value) {
	if node.Kind != yaml.ScalarNode {
		d.fault(key, node, "is "+kindOf(node)+", not a single value", "write one value")
		return
	}
	text, err := d.expand(node.Value)
	if err != nil {
		d.fault(key, node, err.Error(), "set it where countersign is started, or write the value")
		return
	}
	switch {
	case into.Type() == reflect.TypeFor[time.Duration]():
		duration, err := time.ParseDuration(text)
		if err != nil {
			d.fault(key, node, fmt.Sprintf("%q is no duration", text), "write a number with its unit, such as 500ms, 10s or 5m")
			return
		}
		into.SetInt(int64(duration))
	case into.Kind() == reflect.String:
		if node.Tag != "!!str" {
			d.fault(key, node, "is "+kindOf(node)+", not text", `put it in quotes: "`+text+`"`)
			return
		}
		into.SetString(text)
	case into.Kind() == reflect.Bool:
		if node.Tag != "!!bool" {
			d.fault(key, node, fmt.Sprintf("%q is neither true nor false", text), "write true or false")
			return
		}
		into.SetBool(text == "true")
	case into.Kind() == reflect.Interface:
		var value any
		if err := node.Decode(&value); err != nil || node.Tag == "!!str" {
			value = text
		}
		into.Set(reflect.ValueOf(value))
	default:
		number, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			d.fault(key, node, fmt.Sprintf("%q is no whole number", text), "write a number without unit or fraction")
			return
		}
		into.SetInt(number)
	}
}

var reference = regexp.MustCompile(`\$\{([^}]*)\}`)

// expand puts the environment's values in place of ${NAME}.
func (d *decoder) expand(text string) (string, error) {
	var absent error
	expanded := reference.ReplaceAllStringFunc(text, func(found string) string {
		name := found[2 : len(found)-1]
		value, ok := d.environ(name)
		if !ok {
			absent = errors.New("refers to ${" + name + "}, which the environment does not have")
		}
		return value
	})
	if expanded != text {
		d.expanded = append(d.expanded, expanded)
	}
	return expanded, absent
}

// fieldsOf are a struct's fields by their yaml tag, those of inlined ones included.
func fieldsOf(value reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for i := range value.NumField() {
		switch tag := tagOf(value.Type().Field(i)); tag {
		case "", "-":
		case ",inline":
			for name, field := range fieldsOf(value.Field(i)) {
				fields[name] = field
			}
		default:
			fields[tag] = value.Field(i)
		}
	}
	return fields
}

// tagOf is a field's yaml tag. Types of OPA's have only those of JSON, which mean the same.
func tagOf(field reflect.StructField) string {
	tag, there := field.Tag.Lookup("yaml")
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	switch {
	case there:
		return tag
	case name == "" && field.Anonymous:
		return ",inline"
	case !field.IsExported():
		return ""
	}
	return name
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

func kindOf(node *yaml.Node) string {
	switch {
	case node.Kind == yaml.MappingNode:
		return "keys and values"
	case node.Kind == yaml.SequenceNode:
		return "a list"
	case node.Tag == "!!int" || node.Tag == "!!float":
		return "a number"
	case node.Tag == "!!bool":
		return "true or false"
	case node.Tag == "!!timestamp":
		return "a date"
	}
	return "text"
}
