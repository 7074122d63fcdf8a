package integration

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// hostile is a text somewhere in a request that is good without it.
type hostile struct {
	// target has it for %s; "" leaves the request its own.
	target string
	// put puts it where there is something to change; nil leaves it.
	put func(request *http.Request, text string)
}

// inToken puts it into the header or the claims of the token or proof in a header field,
// whose signature stays: what is read before that is verified must not be repeated.
func inToken(field string, part int, member string) hostile {
	return hostile{put: func(request *http.Request, text string) {
		scheme, token, found := strings.Cut(request.Header.Get(field), " ")
		if !found {
			scheme, token = "", scheme
		}
		parts := strings.Split(token, ".")
		var members map[string]any
		decoded, err := base64.RawURLEncoding.DecodeString(parts[part])
		if err == nil {
			err = json.Unmarshal(decoded, &members)
		}
		members[member] = text
		encoded, fault := json.Marshal(members)
		if err != nil || fault != nil {
			panic(fmt.Sprint(err, fault)) // the bank's own tokens are JSON
		}
		parts[part] = base64.RawURLEncoding.EncodeToString(encoded)
		request.Header.Set(field, strings.TrimPrefix(scheme+" "+strings.Join(parts, "."), " "))
	}}
}

// inHeader puts it into a header field, in a form.
func inHeader(name, form string) hostile {
	return hostile{put: func(request *http.Request, text string) { request.Header.Set(name, fmt.Sprintf(form, text)) }}
}

// hostiles are all places that somebody could think of.
func hostiles() map[string]hostile {
	all := map[string]hostile{
		"no token":               inHeader("Authorization", "Bearer %s"),
		"no token of no scheme":  inHeader("Authorization", "%s"),
		"another scheme":         inHeader("Authorization", "%s abc"),
		"a password":             inHeader("Authorization", "Basic %s"),
		"two tokens":             inHeader("Authorization", "Bearer a.b.c,Bearer %s"),
		"two proofs":             inHeader("DPoP", "a.b.c,%s"),
		"no proof":               inHeader("DPoP", "%s"),
		"a cookie":               inHeader("Cookie", "session=%s"),
		"a proxy's password":     inHeader("Proxy-Authorization", "Basic %s"),
		"a key":                  inHeader("X-Api-Key", "%s"),
		"a certificate":          inHeader("X-Forwarded-Client-Cert", "Hash=%s"),
		"a content type":         inHeader("Content-Type", "%s/json"),
		"a trace":                inHeader("Tracestate", "a=%s"),
		"baggage":                inHeader("Baggage", "token=%s"),
		"an interaction":         inHeader("X-Fapi-Interaction-Id", "%s"),
		"a query":                {target: "/accounts/22289?access_token=%s"},
		"another query":          {target: "/accounts/22289?code=%s"},
		"an unknown path":        {target: "/nowhere/%s"},
		"an account":             {target: "/accounts/%s"},
		"a path of two meanings": {target: "/accounts/%s/../22289"},
		"a method":               {put: func(request *http.Request, text string) { request.Method = text }},
		"a host":                 {put: func(request *http.Request, text string) { request.Host = text + ".example" }},
	}
	for _, member := range []string{"alg", "kid", "typ", "crit", "jku", "x"} {
		all["the token's "+member] = inToken("Authorization", 0, member)
		all["the proof's "+member] = inToken("DPoP", 0, member)
	}
	for _, member := range []string{"iss", "sub", "aud", "client_id", "jti", "exp", "cnf", "scope"} {
		all["the token's "+member] = inToken("Authorization", 1, member)
	}
	for _, member := range []string{"jti", "htm", "htu", "iat", "ath", "nonce"} {
		all["the proof's "+member] = inToken("DPoP", 1, member)
	}
	return all
}

var letters = regexp.MustCompile(`[A-Za-z0-9]{24,}`)

// certificateOf is a piece of the client's certificate, as it is forwarded, that is like
// nothing else.
func certificateOf(t *testing.T, client *http.Client) string {
	t.Helper()
	der := client.Transport.(*http.Transport).TLSClientConfig.Certificates[0].Certificate[0]
	piece := letters.FindString(base64.StdEncoding.EncodeToString(der[200:]))
	if piece == "" {
		t.Fatal("the certificate has no piece that is long enough")
	}
	return piece
}

// TestNothingTellsWhatAHostileRequestHolds sends texts in every place to a Countersign
// that serves, and looks for them, and for the tokens, proofs, nonces and certificates
// that came with them, in all that is answered, logged, counted, recorded and traced.
// What the upstream is sent, and so what it answers, is its own.
func TestNothingTellsWhatAHostileRequestHolds(t *testing.T) {
	stack := startBank(t, patient(bank.Options{}))
	all := stories(t)
	proven := all[slices.IndexFunc(all, func(s bank.Story) bool { return s.Name == "86-proof" })]
	proven.Ask.Listener, proven.Ask.Certificate = bank.MTLS, bank.Acme
	var secrets []string
	attacks, statuses := hostiles(), map[int]int{}
	for _, name := range slices.Sorted(maps.Keys(attacks)) {
		text, story := "hostile"+rand.Text(), proven
		if target := attacks[name].target; target != "" {
			story.Ask.Path = strings.ReplaceAll(target, "%s", text)
		}
		request, client, err := story.HTTP(t.Context(), stack)
		if err != nil {
			t.Fatal(err)
		}
		own := append(secretsOf(request), text, certificateOf(t, client))
		if put := attacks[name].put; put != nil {
			put(request, text)
		}
		own = append(own, secretsOf(request)...)
		secrets = append(secrets, own...)
		response, err := client.Do(request)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		statuses[response.StatusCode]++
		if response.StatusCode != http.StatusOK {
			wantNone(t, "the answer to "+name, fmt.Sprint(response.Header, string(body)), own)
		}
		if _, nonce, told := strings.Cut(response.Header.Get("DPoP-Nonce"), "."); told {
			secrets = append(secrets, nonce)
		}
	}
	for _, status := range []int{http.StatusOK, http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound} {
		if statuses[status] == 0 {
			t.Errorf("nothing was answered %d: %v", status, statuses)
		}
	}
	wantNone(t, "the metrics", page(t, stack.Admin+"/metrics"), secrets)
	// Envoy's own spans have URLs, which is for whoever configures Envoy to change.
	if spans := wantNoneLeft(t, stack, secrets, "envoy"); spans < len(attacks)/2 {
		t.Errorf("%d spans arrived for %d requests", spans, len(attacks))
	}
}
