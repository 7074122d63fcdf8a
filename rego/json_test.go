package rego

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

func written(value ast.Value) (string, error) {
	j := new(jsonText)
	err := j.value(value, maxDepth)
	return string(j.text), err
}

func TestJSONOfValues(t *testing.T) {
	for _, c := range []struct{ value, want string }{
		{`null`, `null`},
		{`[true, false, []]`, `[true,false,[]]`},
		{`{"b": 1, "a": {"d": {}, "c": [1, 2]}}`, `{"a":{"c":[1,2],"d":{}},"b":1}`},
		{`[10.00000000000000000001, 1.0, -0, 1e3, 12345678901234567890]`, `[10.00000000000000000001,1.0,-0,1e3,12345678901234567890]`},
		{`"<a href=\"x\">&\\\b\f\n\r\t\u0000\u001f\u007f"`, `"<a href=\"x\">&\\\b\f\n\r\t\u0000\u001f` + "\x7f" + `"`},
		{`"é€😀\u2028\u2029"`, `"é€😀\u2028\u2029"`},
		{`{"a\nb": 1}`, `{"a\nb":1}`},
	} {
		value, err := ast.InterfaceToValue(parsed(t, c.value))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := written(value); err != nil || got != c.want {
			t.Errorf("%s is written %s, %v, want %s", c.value, got, err, c.want)
		}
	}
	if got, err := written(ast.String("a\xffb\xed\xa0\x80")); err != nil || got != `"a\ufffdb\ufffd\ufffd\ufffd"` {
		t.Errorf("what is not UTF-8 is written %s, %v", got, err)
	}
}

func TestWhatJSONCannotSay(t *testing.T) {
	for name, value := range map[string]ast.Value{
		"a set":                  ast.NewSet(ast.StringTerm("a")),
		"a set within":           ast.NewArray(ast.NewTerm(ast.NewSet())),
		"a key that is a number": ast.NewObject(pair{ast.NumberTerm("1"), ast.StringTerm("a")}),
		"a reference":            ast.MustParseRef("input.a"),
		"no number":              ast.Number("NaN"),
		"an infinite number":     ast.Number("-Inf"),
		"an empty number":        ast.Number(""),
		"text for a number":      ast.Number("1,2"),
		"a number and a space":   ast.Number("1 "),
	} {
		if got, err := written(value); !errors.Is(err, errNotJSON) {
			t.Errorf("%s is written %s, %v, want %v", name, got, err, errNotJSON)
		}
	}
}

// TestBoundsAreThoseOfTheParser holds that what is written at the bounds can be read,
// and that nothing beyond them is written.
func TestBoundsAreThoseOfTheParser(t *testing.T) {
	nested := func(depth int) ast.Value {
		value := ast.NewArray()
		for range depth - 1 {
			value = ast.NewArray(ast.NewTerm(value))
		}
		return value
	}
	long := func(values int) ast.Value {
		terms := make([]*ast.Term, values-1)
		for i := range terms {
			terms[i] = ast.NullTerm()
		}
		return ast.NewArray(terms...)
	}
	for name, c := range map[string]struct{ within, beyond ast.Value }{
		"depth":  {nested(maxDepth), nested(maxDepth + 1)},
		"values": {long(maxValues), long(maxValues + 1)},
	} {
		text, err := written(c.within)
		if err != nil {
			t.Errorf("%s: what is within is not written: %v", name, err)
		}
		if _, err := authz.ParseJSON([]byte(text), maxDepth); err != nil {
			t.Errorf("%s: what is within cannot be read: %v", name, err)
		}
		if _, err := written(c.beyond); !errors.Is(err, errTooLarge) {
			t.Errorf("%s: what is beyond is written: %v", name, err)
		}
	}
	big := ast.StringTerm(strings.Repeat("a", maxDocument))
	if _, err := written(ast.NewArray(big, big)); !errors.Is(err, errTooLarge) {
		t.Errorf("writing goes on beyond the bound: %v", err)
	}
}

// FuzzJSON holds that encoding/json reads what is written as the value that it was,
// and a string of any bytes with U+FFFD for each that is not UTF-8.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"b":[1,2.50,{"a":null}],"a":"x\u2028\ud800"}`, `[1e400,-0,true]`, "\xff\"\\\x00<>", `"\u007f"`, `{"":{"":""}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		readAs(t, ast.String(data), string([]rune(string(data))))
		want, err := authz.ParseJSON(data, maxDepth)
		if err != nil {
			return
		}
		if value, err := ast.InterfaceToValue(want); err == nil {
			readAs(t, value, want)
		}
	})
}

func readAs(t *testing.T, value ast.Value, want any) {
	t.Helper()
	text, err := written(value)
	if err != nil {
		t.Fatalf("%v is not written: %v", value, err)
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var got any
	if err := decoder.Decode(&got); err != nil {
		t.Fatalf("%s cannot be read: %v", text, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (-value +read):\n%s", text, diff)
	}
}
