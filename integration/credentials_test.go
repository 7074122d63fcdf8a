package integration

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2/hpack"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/envoy"
	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// What the bank's challenges are made of.
const (
	bearerRealm = `Bearer realm="openbanking"`
	dpopRealm   = `DPoP realm="openbanking"`
	dpopAlgs    = `, algs="PS256 ES256 EdDSA"`
	atMetadata  = `, resource_metadata="https://api.bank.example/.well-known/oauth-protected-resource"`

	saysBadly     = `, error="invalid_request", error_description="The access token must be sent once, in a well-formed Authorization header"`
	saysTwice     = `, error="invalid_request", error_description="Multiple methods used to include access token"`
	saysMalformed = `, error="invalid_token", error_description="The access token is malformed"`
)

// The answers to credentials that are not good: standards.md's table.
var (
	answersNone    = credentialsAnswer{authz.NoCredentials, []string{bearerRealm + atMetadata, dpopRealm + dpopAlgs + atMetadata}}
	answersOther   = credentialsAnswer{authz.UnsupportedScheme, answersNone.challenges}
	answersBadly   = credentialsAnswer{authz.MalformedCredentials, []string{bearerRealm + saysBadly + atMetadata, dpopRealm + dpopAlgs + atMetadata}}
	answersBadDPoP = credentialsAnswer{authz.MalformedCredentials, []string{dpopRealm + saysBadly + dpopAlgs + atMetadata, bearerRealm + atMetadata}}
	answersBoth    = credentialsAnswer{authz.RepeatedCredentials, []string{bearerRealm + saysTwice + atMetadata, dpopRealm + saysTwice + dpopAlgs + atMetadata}}
	answersToken   = credentialsAnswer{authz.TokenMalformed, []string{bearerRealm + saysMalformed + atMetadata, dpopRealm + dpopAlgs + atMetadata}}
)

type credentialsAnswer struct {
	reason     authz.Reason
	challenges []string
}

// unreflected must be reflected by no answer.
const unreflected = "zzz"

// badCredentials are ways to send none that are good, by the rules that they are for.
var badCredentials = []struct {
	name string
	// authorization are the values of the header, and form is a body.
	authorization []string
	query, form   string
	want          credentialsAnswer
	// byEnvoy says that Envoy does not let it come so far.
	byEnvoy bool
}{
	{name: "6750 §3.1 nothing", want: answersNone},
	{name: "6750 §3.1 Basic", authorization: []string{"Basic " + unreflected}, want: answersOther},
	{name: "6750 §3.1 Digest", authorization: []string{`Digest username="zzz", realm="b"`}, want: answersOther},
	{name: "B1 a scheme's case", authorization: []string{"bEARER zzz.b.c"}, want: answersToken},
	{name: "B1 several spaces", authorization: []string{"Bearer   zzz.b.c"}, want: answersToken},
	{name: "B1 in the query", query: "?access_token=zzz", want: answersBadly},
	{name: "B1 in the query, encoded", query: "?a=b&%61ccess%5ftoken=zzz", want: answersBadly},
	{name: "B1 in a form", form: "a=b&access_token=zzz", want: answersBadly},
	{name: "B1 in header and query", authorization: []string{"Bearer zzz"}, query: "?access_token=zzz", want: answersBoth},
	{name: "B1 in header and form", authorization: []string{"Bearer zzz"}, form: "access_token=zzz", want: answersBoth},
	{name: "B1 in query and form", query: "?access_token=zzz", form: "access_token=zzz", want: answersBoth},
	{name: "B1 two of a scheme", authorization: []string{"Bearer zzz", "Bearer zzz"}, want: answersBoth},
	{name: "B1 two of two schemes", authorization: []string{"Bearer zzz", "DPoP zzz"}, want: answersBoth},
	{name: "B1 two, one of another scheme", authorization: []string{"Basic zzz", "Bearer zzz"}, want: answersBoth},
	{name: "B1 two in one field", authorization: []string{"Bearer zzz,DPoP zzz"}, want: answersBoth},
	{name: "B2 an empty field", authorization: []string{""}, want: answersBadly},
	{name: "B2 no token", authorization: []string{"Bearer"}, want: answersBadly},
	{name: "B2 no token of the other scheme", authorization: []string{"DPoP"}, want: answersBadDPoP},
	{name: "B2 no scheme", authorization: []string{"zzz.b.c"}, want: answersBadly},
	{name: "B2 a trailing comma", authorization: []string{"Bearer zzz,"}, want: answersBoth},
	{name: "B2 a tab", authorization: []string{"Bearer\tzzz"}, want: answersBadly},
	{name: "B2 two words", authorization: []string{"DPoP zzz zzz"}, want: answersBadDPoP},
	{name: "B2 padding within", authorization: []string{"Bearer zzz=b"}, want: answersBadly},
	{name: "B2 quotes and markup", authorization: []string{`Bearer "zzz", error="<script>`}, want: answersBoth},
	{name: "B2 not ASCII", authorization: []string{"Bearer zzzé"}, want: answersBadly},
	{name: "B2 not UTF-8", authorization: []string{"Bearer zzz\xff"}, want: answersBadly},
	{name: "B2 NUL", authorization: []string{"Bearer zzz\x00"}, want: answersBadly, byEnvoy: true},
	{name: "B2 token68, and no JWT", authorization: []string{"Bearer zzz+/~=="}, want: answersToken},
}

// credentialsOn is the request that a case's credentials are sent with.
func credentialsOn(authorization []string, query, form string) wireRequest {
	sent := wireRequest{method: http.MethodGet, target: "/accounts/22289" + query, body: form}
	for _, value := range authorization {
		sent.fields = append(sent.fields, hpack.HeaderField{Name: "authorization", Value: value})
	}
	if form != "" {
		sent.method = http.MethodPost
		sent.fields = append(sent.fields,
			hpack.HeaderField{Name: "content-type", Value: "application/x-www-form-urlencoded"},
			hpack.HeaderField{Name: "content-length", Value: strconv.Itoa(len(form))})
	}
	return sent
}

// answeredTo is a denial as a caller sees it.
type answeredTo struct {
	Status     int
	Code       string
	Challenges []string
	// Keep is Cache-Control.
	Keep string
}

func (c credentialsAnswer) told() answeredTo {
	return answeredTo{Status: c.reason.Status(), Code: c.reason.String(), Challenges: c.challenges, Keep: "no-store"}
}

// answeredBy reads a denial, and fails where it repeats what was sent, or lacks an
// interaction id.
func answeredBy(t *testing.T, status int, header http.Header, body string) answeredTo {
	t.Helper()
	got := answeredTo{Status: status, Challenges: header.Values("WWW-Authenticate"), Keep: header.Get("Cache-Control")}
	var problem struct{ Code string }
	if json.Unmarshal([]byte(body), &problem) == nil {
		got.Code = problem.Code
	}
	for name, values := range header {
		if strings.Contains(strings.Join(values, ","), unreflected) {
			t.Errorf("%s: %q repeats what was sent", name, values)
		}
	}
	if strings.Contains(body, unreflected) {
		t.Errorf("the body repeats what was sent: %s", body)
	}
	if id := header.Get("X-Fapi-Interaction-Id"); got.Code != "" && len(id) != len("c770aef3-6784-41f7-8e0e-ff5f97bddb3a") {
		t.Errorf("the interaction id is %q", id)
	}
	return got
}

// checkOf is the CheckRequest that Envoy makes of a request, with headers as a map or raw.
func checkOf(t *testing.T, sent wireRequest, raw bool) *envoy.Call {
	t.Helper()
	type field struct {
		Key string `json:"key"`
		Raw []byte `json:"rawValue"`
	}
	request := map[string]any{"method": sent.method, "host": "localhost", "path": sent.target, "scheme": "https", "rawBody": []byte(sent.body)}
	joined, fields := map[string]string{}, []field{}
	for _, each := range sent.fields {
		fields = append(fields, field{each.Name, []byte(each.Value)})
		if before, twice := joined[each.Name]; twice {
			joined[each.Name] = before + "," + each.Value
		} else {
			joined[each.Name] = each.Value
		}
	}
	if raw {
		request["headerMap"] = map[string]any{"headers": fields}
	} else {
		request["headers"] = joined
	}
	text, err := json.Marshal(map[string]any{"attributes": map[string]any{
		"contextExtensions": map[string]string{"countersign.api": string(bank.API)}, "request": map[string]any{"http": request},
	}})
	if err != nil {
		t.Fatal(err)
	}
	call, err := envoy.ParseCall(text)
	if err != nil {
		t.Fatal(err)
	}
	return call
}

// TestBadCredentialsPure holds the answer to each, in both of the forms in which Envoy can
// send headers.
func TestBadCredentialsPure(t *testing.T) {
	_, system := openSystem(t)
	for form, raw := range map[string]bool{"map": false, "raw": true} {
		for _, test := range badCredentials {
			t.Run(form+" "+test.name, func(t *testing.T) {
				call := checkOf(t, credentialsOn(test.authorization, test.query, test.form), raw)
				answer, err := call.Answer(t.Context(), system.Config.Server, longest, system.Pipeline)
				if err != nil {
					t.Fatal(err)
				}
				header := http.Header{}
				for _, field := range answer.Headers {
					header.Add(field.Name, field.Value)
				}
				if diff := cmp.Diff(test.want.told(), answeredBy(t, answer.Status, header, answer.Body)); diff != "" {
					t.Errorf("answer (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestBadCredentialsThroughEnvoy sends each as it stands, by both versions of HTTP, to an
// Envoy that sends headers raw and to one that sends them as a map.
func TestBadCredentialsThroughEnvoy(t *testing.T) {
	for form, configure := range map[string]func(string) string{
		"raw": nil,
		"map": func(configuration string) string {
			return replaceAll(t, configuration, "encode_raw_headers: true", "encode_raw_headers: false")
		},
	} {
		stack := startBank(t, patient(bank.Options{ConfigureEnvoy: configure}))
		for _, protocol := range []string{overHTTP1, overHTTP2} {
			for _, test := range badCredentials {
				t.Run(form+" "+protocol+" "+test.name, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), longest)
					defer cancel()
					sent := credentialsOn(test.authorization, test.query, test.form)
					response, err := way{bank.MTLS, protocol}.exchange(ctx, stack, stack.Client(""), sent)
					if test.byEnvoy && errors.Is(err, errHungUp) {
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					body, err := io.ReadAll(response.Body)
					if err != nil {
						t.Fatal(err)
					}
					got := answeredBy(t, response.StatusCode, response.Header, string(body))
					if test.byEnvoy && got.Status == http.StatusBadRequest && got.Code == "" {
						return
					}
					if diff := cmp.Diff(test.want.told(), got); diff != "" {
						t.Errorf("answer (-want +got):\n%s", diff)
					}
					if response.Header.Get("Date") == "" {
						t.Error("the answer has no Date")
					}
				})
			}
		}
		if err := stack.Close(); err != nil {
			t.Error(err)
		}
	}
}
