package contract

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz"
)

// segment is one segment of a path template: a parameter between literal text, or
// literal text alone, which is then prefix and name is "". Literal text is decoded.
type segment struct{ prefix, name, suffix string }

// parseTemplate reads a path template (OpenAPI 3.1 §4.8.8.1). A segment has at most
// one parameter: of two, nobody can say where the first ends.
func parseTemplate(template string) ([]segment, error) {
	if !strings.HasPrefix(template, "/") {
		return nil, errors.New(`does not begin with "/"`)
	}
	if strings.Contains(template, "?") {
		return nil, errors.New("has a query")
	}
	var segments []segment
	var names []string
	// sample is a path that the template matches.
	var sample strings.Builder
	for text := range strings.SplitSeq(template[1:], "/") {
		s, err := parseSegment(text)
		if err != nil {
			return nil, err
		}
		sample.WriteByte('/')
		if s.name == "" {
			sample.WriteString(text)
		} else {
			sample.WriteString(strings.Replace(text, "{"+s.name+"}", "x", 1))
			if slices.Contains(names, s.name) {
				return nil, fmt.Errorf("has the parameter %q twice", s.name)
			}
			names = append(names, s.name)
		}
		segments = append(segments, s)
	}
	if _, err := authz.ParseTarget(sample.String()); err != nil {
		return nil, errors.New("is not a canonical path: no request can match it")
	}
	return segments, nil
}

func parseSegment(text string) (segment, error) {
	before, rest, opens := strings.Cut(text, "{")
	name, after, closes := strings.Cut(rest, "}")
	switch {
	case opens != closes || strings.Contains(before, "}") || strings.ContainsRune(name, '{'):
		return segment{}, fmt.Errorf("has an unbalanced brace in segment %q", text)
	case strings.ContainsAny(after, "{}"):
		return segment{}, fmt.Errorf("has more than one parameter in segment %q", text)
	case opens && name == "":
		return segment{}, fmt.Errorf("has a parameter without a name in segment %q", text)
	}
	prefix, err := url.PathUnescape(before)
	if err != nil {
		return segment{}, fmt.Errorf("has bad percent-encoding in segment %q", text)
	}
	suffix, err := url.PathUnescape(after)
	if err != nil {
		return segment{}, fmt.Errorf("has bad percent-encoding in segment %q", text)
	}
	return segment{prefix: prefix, name: name, suffix: suffix}, nil
}
