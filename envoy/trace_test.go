package envoy

import (
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"
)

func TestTraceContextIsW3C(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b91cdd5412ac23ad-01"
	for name, row := range map[string]struct {
		parents, states []string
		wantParent      bool
		wantState       string
	}{
		"what Envoy sends":                     {[]string{parent}, []string{""}, true, ""},
		"a vendor's state":                     {[]string{parent}, []string{"congo=t61rcWkgMzE,rojo@x=00f067aa0ba902b7"}, true, "congo=t61rcWkgMzE,rojo@x=00f067aa0ba902b7"},
		"state in two fields is one list":      {[]string{parent}, []string{"a=1", "b=2"}, true, "a=1,b=2"},
		"a later version with more":            {[]string{"cc" + parent[2:] + "-more"}, nil, true, ""},
		"none":                                 {nil, []string{"a=1"}, false, ""},
		"two parents":                          {[]string{parent, parent}, nil, false, ""},
		"version ff":                           {[]string{"ff" + parent[2:]}, nil, false, ""},
		"version 00 with more":                 {[]string{parent + "-more"}, nil, false, ""},
		"upper case":                           {[]string{strings.ToUpper(parent)}, nil, false, ""},
		"no trace id":                          {[]string{"00-" + strings.Repeat("0", 32) + parent[35:]}, nil, false, ""},
		"no span id":                           {[]string{parent[:36] + strings.Repeat("0", 16) + "-01"}, nil, false, ""},
		"too short":                            {[]string{parent[:54]}, nil, false, ""},
		"separators elsewhere":                 {[]string{strings.ReplaceAll(parent, "-", "_")}, nil, false, ""},
		"a later version without end":          {[]string{"cc" + parent[2:] + "-" + strings.Repeat("a", 1000)}, nil, false, ""},
		"state with a key in upper case":       {[]string{parent}, []string{"A=1"}, true, ""},
		"state with a key that starts with @":  {[]string{parent}, []string{"@a=1"}, true, ""},
		"state without a value":                {[]string{parent}, []string{"a"}, true, ""},
		"state with an equals sign in a value": {[]string{parent}, []string{"a=1=2"}, true, ""},
		"state of 33 members":                  {[]string{parent}, []string{strings.Repeat("a=1,", 32) + "a=1"}, true, ""},
		"state too long":                       {[]string{parent}, []string{"a=" + strings.Repeat("1", 255) + ",b=" + strings.Repeat("1", 255)}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := metadata.NewIncomingContext(t.Context(), metadata.MD{"traceparent": row.parents, "tracestate": row.states})
			gotParent, gotState := traceContext(ctx)
			wantParent := ""
			if row.wantParent {
				wantParent = row.parents[0]
			}
			if gotParent != wantParent || gotState != row.wantState {
				t.Errorf("traceContext() = %q, %q, want %q, %q", gotParent, gotState, wantParent, row.wantState)
			}
		})
	}
}
