package contract

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

func named(kind, id, where string) authz.Named {
	return authz.Named{Object: authz.Object{Type: authz.ObjectType(kind), ID: authz.ObjectID(id)}, Where: where}
}

// headers makes "name: value" lines into headers.
func headers(lines ...string) authz.Headers {
	var headers authz.Headers
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		headers = append(headers, authz.Header{Name: name, Value: value})
	}
	return headers
}

// sent is a request as Envoy tells of it, with what it says of its body.
func sent(method, target, contentType, body string, more ...string) *authz.Request {
	lines := append([]string{fmt.Sprintf("content-length: %d", len(body))}, more...)
	if contentType != "" {
		lines = append(lines, "content-type: "+contentType)
	}
	return &authz.Request{API: "bank", Method: method, Target: target, Headers: headers(lines...), Body: []byte(body)}
}

func inspect(t testing.TB, contracts *Contracts, request *authz.Request) (authz.Inspection, error) {
	t.Helper()
	target := parseTarget(t, request.Target)
	match, err := contracts.Match(request, target)
	if err != nil {
		t.Fatal(err)
	}
	return contracts.Inspect(match, request, target)
}

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
)

func TestObjectsAreFound(t *testing.T) {
	contracts := bank(t)
	tests := []struct {
		name    string
		request *authz.Request
		want    []authz.Named
	}{
		{"path", sent("GET", "/accounts/a%20b/balances", "", ""), []authz.Named{named("account", "a b", "path")}},
		{"rules add up", sent("GET", "/accounts/1/statements/2", "", ""), []authz.Named{named("statement", "2", "path"), named("account", "1", "path")}},
		{"list in the path", sent("GET", "/paths/1,2", "", ""), []authz.Named{named("account", "1", "path"), named("account", "2", "path")}},
		{"opted out", sent("DELETE", "/accounts/1", "", ""), nil},
		{"header only", sent("GET", "/reports", "", "", "x-account: 7"), []authz.Named{named("card", "7", "header")}},
		{"names that no upstream takes for another", sent("POST", "/transfers?From=1&page%5Bsize%5D=2&page%5Bnumber%5D=3&fro=4&From.x=5&xFrom=6&page=7&ids%5B%5D=8&ids%5B%5D=9&idst=10", "", ""),
			[]authz.Named{named("account", "1", "query"), named("account", "8", "query"), named("account", "9", "query"), named("page", "2", "query")}},
		{"names that would be taken for each other, and are rules", sent("GET", "/transfers?id[]=1&id=2&accountid=3", "", ""),
			[]authz.Named{named("transfer", "2", "query"), named("transfer", "1", "query"), named("card", "3", "query")}},
		{"query, every value", sent("GET", "/reports?AccountId=1&other=9&AccountId=2", "", "", "x-account: 7"),
			[]authz.Named{named("card", "7", "header"), named("account", "1", "query"), named("account", "2", "query")}},
		{"a comma outside a list is part of the id", sent("GET", "/reports?AccountId=1,2", "", "", "x-account: 7"),
			[]authz.Named{named("card", "7", "header"), named("account", "1,2", "query")}},
		{"query list", sent("GET", "/reports?list=1,%202&list=3", "", "", "x-account: 7"),
			[]authz.Named{named("account", "1", "query"), named("account", "2", "query"), named("account", "3", "query"), named("card", "7", "header")}},
		{"header list, repeated or joined", sent("GET", "/reports", "", "", "x-account: 7", "x-accounts: 1, 2", "x-accounts: 3"),
			[]authz.Named{named("card", "7", "header"), named("card", "1", "header"), named("card", "2", "header"), named("card", "3", "header")}},
		{"longest id", sent("GET", "/accounts/"+strings.Repeat("a", 256), "", ""), []authz.Named{named("account", strings.Repeat("a", 256), "path")}},
		{"body", sent("POST", "/payments", jsonType, `{"Data":{"From":"1","To":[{"Account/Id":"2"},{"Account/Id":3},{"Account/Id":null},{}]}}`),
			[]authz.Named{named("account", "1", "body/Data/From"), named("account", "2", "body/Data/To/0/Account~1Id"), named("account", "3", "body/Data/To/1/Account~1Id")}},
		{"body, optional absent", sent("POST", "/payments", "Application/JSON; charset=UTF-8", `{"Data":{"From":"1","To":[]}}`), []authz.Named{named("account", "1", "body/Data/From")}},
		{"body, optional null", sent("POST", "/payments", jsonType, `{"Data":{"From":"1","To":null}}`), []authz.Named{named("account", "1", "body/Data/From")}},
		{"largest integer", sent("POST", "/payments", jsonType, `{"Data":{"From":-9007199254740991}}`), []authz.Named{named("account", "-9007199254740991", "body/Data/From")}},
		{"zero", sent("POST", "/payments", jsonType, `{"Data":{"From":0}}`), []authz.Named{named("account", "0", "body/Data/From")}},
		{"index", sent("PATCH", "/payments", jsonType, `{"list":["a","b"]}`), []authz.Named{named("account", "b", "body/list/1")}},
		{"another JSON type", sent("PUT", "/payments", "application/vnd.bank+json", `{"From":"1"}`), []authz.Named{named("account", "1", "body/From")}},
		{"all of it optional, and said to be empty", sent("PUT", "/payments", "", ""), nil},
		{"the whole body null", sent("PUT", "/payments", jsonType, `null`), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := inspect(t, contracts, test.request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.Objects); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBodyIsParsed(t *testing.T) {
	contracts := bank(t)
	tests := []struct {
		name    string
		request *authz.Request
		want    authz.Inspection
	}{
		{"JSON, numbers as written", sent("POST", "/accounts", jsonType, `{"a":[1.0,"x",null,true]}`),
			authz.Inspection{Body: map[string]any{"a": []any{json.Number("1.0"), "x", nil, true}}, Parsed: true}},
		{"null is a body", sent("POST", "/accounts", jsonType, `null`), authz.Inspection{Parsed: true}},
		{"nothing is none", sent("POST", "/accounts", jsonType, ""), authz.Inspection{}},
		{"the contract has none", sent("DELETE", "/transfers", jsonType, `{"a":1,"a":2}`), authz.Inspection{}},
		{"a form that is declared", sent("POST", "/transfers?From=1", "Multipart/Form-Data; boundary=x", `--x--`), authz.Inspection{Objects: []authz.Named{named("account", "1", "query")}}},
		{"a form where nothing could be named", sent("DELETE", "/transfers?AccountId=1&accountid[]=2", formType, `AccountId=1`), authz.Inspection{}},
		{"nothing said of its length, where no rule reads it", &authz.Request{API: "bank", Method: "POST", Target: "/accounts"}, authz.Inspection{}},
		{"another type is left alone", sent("POST", "/accounts", "text/plain", `{"a":1,"a":2}`), authz.Inspection{}},
		{"no type is left alone", sent("POST", "/accounts", "", `{`), authz.Inspection{}},
		{"a stream is left alone", &authz.Request{API: "bank", Method: "GET", Target: "/events?shared=1", Truncated: true, Body: []byte("{"),
			Headers: headers("content-type: application/json", "content-type: text/plain")}, authz.Inspection{Objects: []authz.Named{named("account", "1", "query")}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := inspect(t, contracts, test.request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("inspection (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRequestsAreRefused(t *testing.T) {
	contracts := bank(t)
	pay := func(body string) *authz.Request { return sent("POST", "/payments", jsonType, body) }
	unsaid := func(method, body string, lines ...string) *authz.Request {
		return &authz.Request{API: "bank", Method: method, Target: "/payments", Headers: headers(lines...), Body: []byte(body)}
	}
	many := func(n int) string { return "/paths/" + strings.TrimSuffix(strings.Repeat("1,", n), ",") }
	if _, err := inspect(t, contracts, sent("GET", many(100), "", "")); err != nil {
		t.Errorf("Inspect of 100 objects = %v", err)
	}
	tests := []struct {
		name    string
		request *authz.Request
		want    authz.Reason
	}{
		{"too many objects", sent("GET", many(101), "", ""), authz.TooManyObjects},
		{"id too long", sent("GET", "/accounts/"+strings.Repeat("a", 257), "", ""), authz.ObjectMalformed},
		{"control character of C1", sent("GET", "/accounts/a%C2%85", "", ""), authz.ObjectMalformed},
		{"replacement character", sent("GET", "/accounts/a%EF%BF%BD", "", ""), authz.ObjectMalformed},
		{"empty element of a list", sent("GET", "/paths/1,,2", "", ""), authz.ObjectMalformed},
		{"query empty", sent("GET", "/reports?AccountId=", "", "", "x-account: 7"), authz.ObjectMalformed},
		{"query control character", sent("GET", "/reports?AccountId=%00", "", "", "x-account: 7"), authz.ObjectMalformed},
		{"query name in another case", sent("GET", "/reports?accountid=1", "", "", "x-account: 7"), authz.ObjectMalformed},
		{"query name in two cases", sent("GET", "/reports?AccountId=1&ACCOUNTID=2", "", "", "x-account: 7"), authz.ObjectMalformed},
		{"query name as an array", sent("POST", "/transfers?From=1&From[]=2", "", ""), authz.ObjectMalformed},
		{"query name as an array, encoded", sent("POST", "/transfers?From=1&From%5B%5D=2", "", ""), authz.ObjectMalformed},
		{"query name as an element, in another case", sent("POST", "/transfers?From=1&from%5B0%5D[x]=2", "", ""), authz.ObjectMalformed},
		{"query name after a blank", sent("POST", "/transfers?From=1&%20From=2", "", ""), authz.ObjectMalformed},
		{"query name after a plus", sent("POST", "/transfers?From=1&+From=2", "", ""), authz.ObjectMalformed},
		{"query name before a blank and a bracket", sent("POST", "/transfers?From=1&From+[=2", "", ""), authz.ObjectMalformed},
		{"query name before a NUL", sent("POST", "/transfers?From=1&From%00x=2", "", ""), authz.ObjectMalformed},
		{"query name of an optional rule", sent("POST", "/transfers?From=1&To[]=2", "", ""), authz.ObjectMalformed},
		{"query array as a value", sent("POST", "/transfers?From=1&ids%5B%5D=1&ids=2", "", ""), authz.ObjectMalformed},
		{"query array as an element", sent("POST", "/transfers?From=1&ids%5B%5D=1&ids%5B1%5D=2", "", ""), authz.ObjectMalformed},
		{"query element in another case", sent("POST", "/transfers?From=1&Page%5Bsize%5D=2", "", ""), authz.ObjectMalformed},
		{"query element as an array", sent("POST", "/transfers?From=1&page%5Bsize%5D%5B%5D=2", "", ""), authz.ObjectMalformed},
		{"name of a document-wide rule, undeclared", sent("GET", "/accounts?AccountId=1", "", ""), authz.ObjectMalformed},
		{"name of a document-wide rule, undeclared, in another case", sent("GET", "/accounts?accountid=1", "", ""), authz.ObjectMalformed},
		{"name of a document-wide rule, undeclared, as an array", sent("GET", "/accounts?AccountId[0]=1", "", ""), authz.ObjectMalformed},
		{"name of a document-wide rule, declared in the path", sent("GET", "/accounts/1?AccountId=2", "", ""), authz.ObjectMalformed},
		{"name of a document-wide rule, of a public operation", sent("GET", "/?AccountId=1", "", ""), authz.ObjectMalformed},
		{"name of a document-wide rule, of a stream", sent("GET", "/events?shared=1&AccountId=1", "", ""), authz.ObjectMalformed},
		{"header missing", sent("GET", "/reports", "", ""), authz.ObjectMissing},
		{"header empty", sent("GET", "/reports", "", "", "x-account: "), authz.ObjectMalformed},
		{"header joined", sent("GET", "/reports", "", "", "x-account: 7,8"), authz.ObjectMalformed},
		{"header repeated", sent("GET", "/reports", "", "", "x-account: 7", "x-account: 7"), authz.ObjectMalformed},
		{"header not UTF-8", sent("GET", "/reports", "", "", "x-account: \xff"), authz.ObjectMalformed},

		{"truncated", &authz.Request{API: "bank", Method: "POST", Target: "/payments", Truncated: true, Headers: headers("content-type: application/json"), Body: []byte(`{"Data":{"From":"1"}}`)}, authz.BodyTruncated},
		{"truncated where no rule reads it", &authz.Request{API: "bank", Method: "POST", Target: "/accounts", Truncated: true}, authz.BodyTruncated},
		{"shorter than its length", unsaid("POST", `{"Data":{"From":"1"}}`, "content-length: 22", "content-type: application/json"), authz.BodyTruncated},
		{"as long as the limit, and nobody says that it is whole", unsaid("POST", `{"Data":{"From":"1"}}`, "content-type: application/json"), authz.BodyTruncated},
		{"nobody says that it is whole, where no rule reads it", &authz.Request{API: "bank", Method: "DELETE", Target: "/transfers", Body: []byte("x")}, authz.BodyTruncated},
		{"chunked", unsaid("POST", `{"Data":{"From":"1"}}`, "transfer-encoding: chunked", "content-type: application/json"), authz.BodyTruncated},
		{"longer than its length", unsaid("POST", `{"Data":{"From":"1"}}`, "content-length: 20", "content-type: application/json"), authz.BodyTruncated},
		{"truncated where the contract has none", &authz.Request{API: "bank", Method: "DELETE", Target: "/transfers", Truncated: true, Headers: headers("content-length: 1"), Body: []byte("x")}, authz.BodyTruncated},
		{"not sent to us", unsaid("POST", "", "content-length: 22", "content-type: application/json"), authz.BodyTruncated},
		{"length repeated", unsaid("POST", "{}", "content-length: 2,2", "content-type: application/json"), authz.BodyTruncated},
		{"chunked and not sent to us", unsaid("PUT", "", "transfer-encoding: chunked"), authz.BodyTruncated},
		{"optional, and nobody says that there is none", unsaid("PUT", ""), authz.BodyTruncated},
		{"required, and nobody says that there is none", unsaid("POST", ""), authz.ObjectMissing},
		{"empty", pay(""), authz.ObjectMissing},

		{"no content type", sent("POST", "/payments", "", `{"Data":{"From":"1"}}`), authz.ContentType},
		{"form", sent("POST", "/payments", "application/x-www-form-urlencoded", `Data=1`), authz.ContentType},
		{"form beside objects in the query", sent("GET", "/reports?AccountId=1", formType, `AccountId=2`, "x-account: 7"), authz.ContentType},
		{"form with a charset", sent("GET", "/reports", formType+"; charset=utf-8", `AccountId=2`, "x-account: 7"), authz.ContentType},
		{"form with a charset after a blank", sent("GET", "/reports", formType+" charset=utf-8", `AccountId=2`, "x-account: 7"), authz.ContentType},
		{"form in parts beside objects in the query", sent("GET", "/reports", "multipart/form-data; boundary=x", `--x--`, "x-account: 7"), authz.ContentType},
		{"another form than is declared", sent("POST", "/transfers?From=1", formType, `From=2`), authz.ContentType},
		{"form where a document-wide rule's name is undeclared", sent("POST", "/accounts", formType, `AccountId=1`), authz.ContentType},
		{"content type joined", sent("POST", "/payments", "application/json,text/plain", `{"Data":{"From":"1"}}`), authz.ContentType},
		{"content type joined within quotes", sent("POST", "/payments", `application/json; a="x,text/xml; b="`, `{"Data":{"From":"1"}}`), authz.ContentType},
		{"content type repeated", sent("POST", "/payments", jsonType, `{"Data":{"From":"1"}}`, "content-type: application/json"), authz.ContentType},
		{"content type malformed", sent("POST", "/payments", "application/json; charset", `{"Data":{"From":"1"}}`), authz.ContentType},
		{"another charset", sent("POST", "/payments", "application/json; charset=utf-7", `{"Data":{"From":"1"}}`), authz.ContentType},
		{"content encoding", sent("POST", "/payments", jsonType, `{"Data":{"From":"1"}}`, "content-encoding: br"), authz.ContentType},

		{"malformed", pay(`{"Data":{"From":"1"}`), authz.BodyMalformed},
		{"malformed where no rule reads it", sent("POST", "/accounts", jsonType, `{`), authz.BodyMalformed},
		{"byte order mark", pay("\ufeff" + `{"Data":{"From":"1"}}`), authz.BodyMalformed},
		{"UTF-16", pay("\xfe\xff\x00{\x00}"), authz.BodyMalformed},
		{"two values", pay(`{"Data":{"From":"1"}}{}`), authz.BodyMalformed},
		{"too deep", pay(strings.Repeat("[", 33) + strings.Repeat("]", 33)), authz.BodyMalformed},
		{"the same name twice", pay(`{"Data":{"From":"1","From":"2"}}`), authz.BodyMalformed},
		{"the same name twice, one escaped", pay(`{"Data":{"From":"1","\u0046rom":"2"}}`), authz.BodyMalformed},

		{"names in two cases", pay(`{"Data":{"From":"1","from":"2"}}`), authz.ObjectMalformed},
		{"a parent in another case", pay(`{"data":{"From":"1"}}`), authz.ObjectMalformed},
		{"an optional one in another case", sent("PUT", "/payments", jsonType, `{"fROM":"1"}`), authz.ObjectMalformed},
		{"absent", pay(`{"Data":{}}`), authz.ObjectMissing},
		{"null", pay(`{"Data":{"From":null}}`), authz.ObjectMissing},
		{"a parent absent", pay(`{}`), authz.ObjectMissing},
		{"a parent null", pay(`{"Data":null}`), authz.ObjectMissing},
		{"the whole body null", pay(`null`), authz.ObjectMissing},
		{"the whole body an array", pay(`[]`), authz.ObjectMalformed},
		{"a parent a text", pay(`{"Data":"From"}`), authz.ObjectMalformed},
		{"an object", pay(`{"Data":{"From":{}}}`), authz.ObjectMalformed},
		{"an array", pay(`{"Data":{"From":["1"]}}`), authz.ObjectMalformed},
		{"a boolean", pay(`{"Data":{"From":true}}`), authz.ObjectMalformed},
		{"a fraction", pay(`{"Data":{"From":1.0}}`), authz.ObjectMalformed},
		{"an exponent", pay(`{"Data":{"From":1e3}}`), authz.ObjectMalformed},
		{"minus zero", pay(`{"Data":{"From":-0}}`), authz.ObjectMalformed},
		{"an integer that a double cannot hold", pay(`{"Data":{"From":9007199254740992}}`), authz.ObjectMalformed},
		{"a text with a control character", pay(`{"Data":{"From":"\u0000"}}`), authz.ObjectMalformed},
		{"a text with half a surrogate", pay(`{"Data":{"From":"1\ud800"}}`), authz.ObjectMalformed},
		{"an empty text", pay(`{"Data":{"From":""}}`), authz.ObjectMalformed},
		{"an object where an array is meant", pay(`{"Data":{"From":"1","To":{"Account/Id":"2"}}}`), authz.ObjectMalformed},
		{"a member called *", pay(`{"Data":{"From":"1","To":{"*":{"Account/Id":"2"}}}}`), authz.ObjectMalformed},
		{"an element that is no object", pay(`{"Data":{"From":"1","To":["2"]}}`), authz.ObjectMalformed},
		{"an array where an object is meant", pay(`{"Data":[{"From":"1"}]}`), authz.ObjectMalformed},
		{"an index that is not there", sent("PATCH", "/payments", jsonType, `{"list":["a"]}`), authz.ObjectMissing},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := inspect(t, contracts, test.request)
			if reason := authz.ReasonOf(err); err == nil || reason != test.want {
				t.Errorf("Inspect = %+v, %v, want %v", got, err, test.want)
			}
		})
	}
}

// No error text holds anything of the request: it is written into the record.
func TestErrorsNameNothingOfTheRequest(t *testing.T) {
	contracts := bank(t)
	for _, request := range []*authz.Request{
		sent("POST", "/payments", jsonType, `{"Data":{"From":{"secret":"secret"}}}`),
		sent("POST", "/payments", jsonType, `{"Data":{"FROM":"secret"}}`),
		sent("POST", "/payments", jsonType, `{"secret":1,"secret":2}`),
		sent("POST", "/payments", "secret/secret", `secret`),
		sent("GET", "/accounts/secret%C2%85", "", ""),
		sent("GET", "/reports?ACCOUNTID=secret", "", "", "x-account: 7"),
		sent("GET", "/accounts?ACCOUNTID[secret]=secret", "", ""),
		sent("POST", "/accounts", formType, `secret=secret`),
		sent("GET", "/reports", "", "", "x-account: secret,secret"),
	} {
		_, err := inspect(t, contracts, request)
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.HasPrefix(err.Error(), "contract: ") {
			t.Errorf("Inspect = %v", err)
		}
	}
}

// A match that this package did not make is a fault of ours, never an empty answer.
func TestForeignMatches(t *testing.T) {
	contracts := bank(t)
	nowhere := &authz.Operation{Objects: []authz.ObjectRule{{Type: "account"}}}
	contracts.readings[nowhere] = reading{}
	for name, match := range map[string]authz.Match{
		"no operation":     {},
		"no parameters":    {Operation: operation(t, contracts, "account")},
		"no location":      {Operation: nowhere},
		"another contract": {Operation: operation(t, bank(t), "accounts")},
	} {
		_, err := contracts.Inspect(match, &authz.Request{}, authz.Target{})
		if err == nil || authz.ReasonOf(err) != authz.Internal {
			t.Errorf("%s: Inspect = %v, want a fault of ours", name, err)
		}
	}
}

// What an upstream reads from the body, and a lenient one at that (names in any
// case, the last of two wins), is among the objects found, or the request is refused.
func FuzzInspect(f *testing.F) {
	for _, seed := range []string{`{"Data":{"From":"1"}}`, `{"Data":{"From":1,"To":[{"Account/Id":"2"}]}}`, `{"Data":{"From":"1","from":"2"}}`,
		`{"Data":{"From":"1","From":"2"}}`, `{"Data":{"From":"1"},"data":{"From":"2"}}`, `{"Data":{"From":"1","To":null}}`,
		`{"Data":{"From":"1","\u0074o":[{"ACCOUNT/ID":"9"}]}}`, `{"Data":{"From":9007199254740993}}`, `[]`, ``, "\ufeff{}"} {
		f.Add(seed, jsonType, "21")
	}
	contracts := bank(f)
	f.Fuzz(func(t *testing.T, body, contentType, length string) {
		request := &authz.Request{API: "bank", Method: "POST", Target: "/payments", Body: []byte(body),
			Headers: headers("content-type: "+contentType, "content-length: "+length)}
		got, err := inspect(t, contracts, request)
		if err != nil {
			if authz.ReasonOf(err) == authz.Internal || len(got.Objects) > 0 {
				t.Fatalf("Inspect(%q) = %+v, %v", body, got, err)
			}
			return
		}
		var upstream struct {
			Data struct {
				From any
				To   []struct {
					Account any `json:"Account/Id"`
				}
			}
		}
		if err := json.Unmarshal([]byte(body), &upstream); err != nil {
			t.Fatalf("Inspect(%q) = %+v, and the upstream says %v", body, got, err)
		}
		names := []any{upstream.Data.From}
		for _, to := range upstream.Data.To {
			names = append(names, to.Account)
		}
		for _, name := range names {
			id := fmt.Sprint(name)
			if number, ok := name.(float64); ok {
				id = fmt.Sprintf("%.0f", number)
			}
			if name != nil && !slices.ContainsFunc(got.Objects, func(n authz.Named) bool { return string(n.ID) == id }) {
				t.Fatalf("Inspect(%q) = %+v, and the upstream reads %q", body, got.Objects, id)
			}
		}
	})
}
