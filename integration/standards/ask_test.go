package standards

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
)

// ask is a request that is to be made, as Envoy hands it over.
type ask struct {
	*world
	// system is whose configuration it is for.
	system              *system
	api, method, target string
	// authorization is the scheme; "" sends no credentials.
	scheme string
	token  jws
	// proof is nil where none is sent.
	proof *jws
	// certificate is the name of the client's, or "".
	certificate string
	// forwarded changes the certificate as Envoy forwards it.
	forwarded func(string) string
	headers   []authz.Header
	// body is sent with its length, as JSON unless mediaType says otherwise.
	body, mediaType string
	// raw has Envoy send headers apart.
	raw bool
	// later is how long after now it is sent.
	later time.Duration
	// times is how often it is sent; the last answer counts. Zero means once.
	times int
	// recorded looks at the record; nil looks at none.
	recorded func(*testing.T, *decisionv1.Decision)
	// before are requests that come first.
	before []earlier
}

// earlier is a request, and what comes of it.
type earlier struct {
	*ask
	want authz.Reason
}

// change changes one thing of a request.
type change func(*ask)

// plain is a request with a token that is bound to nothing.
func plain(w *world) *ask {
	return &ask{world: w, system: w.bank, api: "bank", method: "GET", target: "/accounts", scheme: "Bearer", token: jws{
		signer: "es256",
		header: object{"typ": "at+jwt", "alg": "ES256", "kid": "es256"},
		claims: object{
			"iss": "https://as.example", "aud": "https://rs.example", "sub": "ann", "client_id": "acme", "jti": rand.Text(),
			"iat": w.now.Add(-time.Minute).Unix(), "exp": w.now.Add(5 * time.Minute).Unix(), "scope": "accounts payments",
		},
	}}
}

// bound is a request with a token that is bound to the client's certificate.
func bound(w *world) *ask {
	a := plain(w)
	a.certificate = "acme"
	a.token.claims["cnf"] = object{"x5t#S256": w.certificates["acme"].thumbprint}
	return a
}

// proven is a request with a token that is bound to the holder's key, and a proof.
func proven(w *world) *ask {
	a := plain(w)
	a.scheme = "DPoP"
	a.token.claims["cnf"] = object{"jkt": thumbprint("holder")}
	a.proof = &jws{
		signer: "holder",
		header: object{"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk("holder")},
		claims: object{"jti": rand.Text(), "htm": "GET", "htu": "https://api.example/accounts", "iat": w.now.Unix(), "ath": ofToken},
	}
	return a
}

// both is a request with a token that is bound to a certificate and a key.
func both(w *world) *ask {
	a := proven(w)
	a.certificate = "acme"
	a.token.claims["cnf"] = object{"jkt": thumbprint("holder"), "x5t#S256": w.certificates["acme"].thumbprint}
	return a
}

// from is a request like another, with some changes that are good.
func from(base func(*world) *ask, changes ...change) func(*world) *ask {
	return func(w *world) *ask {
		a := base(w)
		for _, each := range changes {
			each(a)
		}
		return a
	}
}

var (
	// absent takes a member away.
	absent = new(int)
	// ofToken stands for the hash of the token that a proof comes with.
	ofToken = new(int)
)

func set(members object, name string, value any) {
	if value == absent {
		delete(members, name)
		return
	}
	members[name] = value
}

func header(name string, value any) change { return func(a *ask) { set(a.token.header, name, value) } }
func claim(name string, value any) change  { return func(a *ask) { set(a.token.claims, name, value) } }

// after is a time claim, so long after now.
func after(name string, d time.Duration) change {
	return func(a *ask) { a.token.claims[name] = a.now.Add(d).Unix() }
}

func minutes(n int) time.Duration { return time.Duration(n) * time.Minute }

func headerText(to func(string) string) change { return func(a *ask) { a.token.headerText = to } }
func claimsText(to func(string) string) change { return func(a *ask) { a.token.claimsText = to } }
func compact(to func(string) string) change    { return func(a *ask) { a.token.compact = to } }
func encoded(to func(header, payload string) (string, string)) change {
	return func(a *ask) { a.token.encoded = to }
}
func signedBy(name string) change { return func(a *ask) { a.token.signer = name } }

// algorithm has the token signed with another key of the issuer's, for an algorithm.
func algorithm(name, kid string) change {
	return func(a *ask) {
		a.token.header["alg"], a.token.header["kid"], a.token.signer = name, kid, kid
	}
}

func proofHeader(name string, value any) change {
	return func(a *ask) { set(a.proof.header, name, value) }
}
func proofClaim(name string, value any) change {
	return func(a *ask) { set(a.proof.claims, name, value) }
}
func proofAfter(name string, d time.Duration) change {
	return func(a *ask) { a.proof.claims[name] = a.now.Add(d).Unix() }
}
func proofText(to func(string) string) change { return func(a *ask) { a.proof.compact = to } }
func provenBy(name string) change {
	return func(a *ask) { a.proof.signer, a.proof.header["jwk"] = name, jwk(name) }
}
func noProof(a *ask) { a.proof = nil }

func sendAs(scheme string) change { return func(a *ask) { a.scheme = scheme } }
func at(target string) change {
	return func(a *ask) {
		a.target = target
		if a.proof != nil {
			path, _, _ := strings.Cut(target, "?")
			a.proof.claims["htu"] = "https://api.example" + path
		}
	}
}
func certificate(name string) change { return func(a *ask) { a.certificate = name } }
func also(name, value string) change {
	return func(a *ask) { a.headers = append(a.headers, authz.Header{Name: name, Value: value}) }
}
func through(api string) change { return func(a *ask) { a.api = api } }
func raw(a *ask)                { a.raw = true }
func again(times int) change    { return func(a *ask) { a.times = times } }
func sentAfter(d time.Duration) change {
	return func(a *ask) { a.later = d }
}
func get(a *ask) { a.method, a.body = "GET", "" }
func recordOf(look func(*testing.T, *decisionv1.Decision)) change {
	return func(a *ask) { a.recorded = look }
}
func posting(body string) change {
	return func(a *ask) { a.method, a.body = "POST", body }
}

// appended puts text behind.
func appended(text string) func(string) string { return func(s string) string { return s + text } }

// replaced puts one text in the place of another, once.
func replaced(old, by string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, by, 1) }
}

// member adds a member to a JSON object, whatever it has already.
func member(text string) func(string) string {
	return func(s string) string { return s[:len(s)-1] + "," + text + "}" }
}

// fields are the request's header fields, and what of them is secret.
func (a *ask) fields() (fields []authz.Header, secrets []string) {
	token := a.token.make()
	if a.scheme != "" {
		fields = append(fields, authz.Header{Name: "authorization", Value: a.scheme + " " + token})
		secrets = append(secrets, pieces(token)...)
	}
	if a.proof != nil {
		if a.proof.claims["ath"] == ofToken {
			digest := sha256.Sum256([]byte(token))
			a.proof.claims["ath"] = encode(digest[:])
		}
		proof := a.proof.make()
		fields = append(fields, authz.Header{Name: "dpop", Value: proof})
		secrets = append(secrets, pieces(proof)...)
	}
	if a.body != "" {
		fields = append(fields, authz.Header{Name: "content-type", Value: cmp.Or(a.mediaType, "application/json")},
			authz.Header{Name: "content-length", Value: strconv.Itoa(len(a.body))})
	}
	return append(fields, a.headers...), secrets
}

// pieces are the payload and the signature of a token, where they are long enough to
// be told from anything else.
func pieces(compact string) []string {
	var long []string
	for _, piece := range strings.Split(compact, ".")[1:] {
		if len(piece) >= 16 {
			long = append(long, piece)
		}
	}
	return long
}

// check is the CheckRequest, as protojson writes it.
func (a *ask) check(fields []authz.Header) []byte {
	http := object{"method": a.method, "host": "api.example", "path": a.target, "scheme": "https"}
	if a.raw {
		var list []object
		for _, field := range fields {
			list = append(list, object{"key": field.Name, "raw_value": []byte(field.Value)})
		}
		http["header_map"] = object{"headers": list}
	} else {
		http["headers"] = joined(fields)
	}
	if a.body != "" {
		http["raw_body"] = []byte(a.body)
	}
	source := object{"address": object{"socket_address": object{"address": "192.0.2.7", "port_value": 41000}}}
	if a.certificate != "" {
		source["certificate"] = a.certificates[a.certificate].forwarded
		if a.forwarded != nil {
			source["certificate"] = a.forwarded(a.certificates[a.certificate].forwarded)
		}
	}
	return must(json.Marshal(object{"attributes": object{
		"source": source, "request": object{"http": http}, "context_extensions": object{"countersign.api": a.api},
	}}))
}

// joined are fields as Envoy's map has them: those of one name joined by a comma.
func joined(fields []authz.Header) map[string]string {
	all := map[string]string{}
	for _, field := range fields {
		if before, there := all[field.Name]; there {
			all[field.Name] = before + "," + field.Value
			continue
		}
		all[field.Name] = field.Value
	}
	return all
}
