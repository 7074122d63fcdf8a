package standards

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token"
	"github.com/countersign-io/countersign/authz/token/jwks"
)

// hand is a clock that is moved by hand. It tells when a timer is set: then a store has
// done with what was due. Of its timers the last is the one that is waited for.
type hand struct {
	mu    sync.Mutex
	now   time.Time
	timer chan time.Time
	due   time.Time
	set   chan struct{}
}

func newHand() *hand { return &hand{now: time.Now(), set: make(chan struct{}, 100)} }

// Now is where the clock stands.
func (h *hand) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// After sets the timer.
func (h *hand) After(d time.Duration) <-chan time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timer, h.due = make(chan time.Time, 1), h.now.Add(d)
	h.set <- struct{}{}
	return h.timer
}

// later moves the clock, and returns once what was due then is done.
func (h *hand) later(d time.Duration) {
	h.mu.Lock()
	h.now = h.now.Add(d)
	due := !h.due.After(h.now)
	if due {
		h.timer <- h.now
	}
	h.mu.Unlock()
	if due {
		<-h.set
	}
}

// issuer publishes keys over TLS, to a store and a verifier of its tokens.
type issuer struct {
	*hand
	server   *httptest.Server
	client   *http.Client
	answer   http.HandlerFunc
	fetches  int
	mu       sync.Mutex
	store    *jwks.Store
	verifier *token.Verifier
}

// publishing is an issuer that has published these keys, and whose set was fetched once.
func publishing(t *testing.T, keys ...object) *issuer {
	t.Helper()
	i := &issuer{hand: newHand()}
	i.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		i.fetches++
		answer := i.answer
		i.mu.Unlock()
		answer(w, r)
	}))
	i.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(i.server.Close)
	i.client = i.server.Client()
	i.publish(keys...)
	return i
}

// says has the issuer answer in that way from now on.
func (i *issuer) says(answer http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = answer
}

// publish publishes keys, which are fresh for ten minutes.
func (i *issuer) publish(keys ...object) { i.publishFor(10*time.Minute, keys...) }

func (i *issuer) publishFor(fresh time.Duration, keys ...object) {
	i.says(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", fmt.Sprintf("max-age=%d", int(fresh.Seconds())))
		w.Write(marshal(object{"keys": keys}))
	})
}

// open opens the store and waits for its first fetch.
func (i *issuer) open(t *testing.T) {
	t.Helper()
	cfg := jwks.Config{URL: i.server.URL, MaxStale: time.Hour}
	store, err := jwks.Open("https://as.example", cfg, jwks.Environment{Client: i.client, Now: i.Now, After: i.After, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	i.store = store
	for range 2 { // before the first fetch, and behind it
		<-i.set
	}
	i.verifier, err = token.New(token.Config{
		Issuers: []token.Issuer{{Issuer: "https://as.example", JWKS: cfg, Profile: "oauth", Kind: "customer"}},
		APIs:    map[authz.API]token.API{"bank": {Audiences: []string{"https://rs.example"}}},
	}, token.Environment{Keys: map[string]token.Keys{"https://as.example": store}})
	if err != nil {
		t.Fatal(err)
	}
}

// fetched is how often the set was fetched.
func (i *issuer) fetched() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// signs makes a token with the key of that name, under a kid.
func (i *issuer) signs(name string, kid any, algorithm string) string {
	made := jws{signer: name, header: object{"typ": "at+jwt", "alg": algorithm}, claims: object{
		"iss": "https://as.example", "aud": "https://rs.example", "sub": "ann", "client_id": "acme", "jti": "1",
		"iat": i.Now().Unix(), "exp": i.Now().Add(24 * time.Hour).Unix(),
	}}
	set(made.header, "kid", kid)
	return made.make()
}

// verify is the reason that a token is refused for, or Granted.
func (i *issuer) verify(credential string) authz.Reason {
	request := &authz.Request{Method: "GET", Target: "/accounts", Headers: authz.Headers{{Name: "authorization", Value: "Bearer " + credential}}}
	if _, err := i.verifier.Verify(context.Background(), authz.Match{API: "bank"}, request, nil, i.Now()); err != nil {
		return authz.ReasonOf(err)
	}
	return authz.Granted
}

// published is what comes of a token of one of the issuer's keys, es256, once something
// was done. The keys are those that are published at first, es256 where none are named.
func published(id, name string, want authz.Reason, keys []object, do func(t *testing.T, i *issuer) authz.Reason) proofOf {
	return proofOf{rule: id, name: name, want: want, run: func(t *testing.T, _ *world) {
		if keys == nil {
			keys = []object{jwk("es256")}
		}
		i := publishing(t, keys...)
		if got := do(t, i); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}}
}

// verified opens the set and verifies a token of es256 by it.
func verified(t *testing.T, i *issuer) authz.Reason {
	t.Helper()
	i.open(t)
	return i.verify(i.signs("es256", "es256", "ES256"))
}

// with opens the set and verifies a token of another key, or under another kid.
func with(name string, kid any, algorithm string) func(*testing.T, *issuer) authz.Reason {
	return func(t *testing.T, i *issuer) authz.Reason {
		t.Helper()
		i.open(t)
		return i.verify(i.signs(name, kid, algorithm))
	}
}

// answering has the issuer answer in another way from the start.
func answering(answer func(i *issuer) http.HandlerFunc) func(*testing.T, *issuer) authz.Reason {
	return func(t *testing.T, i *issuer) authz.Reason {
		t.Helper()
		i.says(answer(i))
		return verified(t, i)
	}
}

// keySetProofs are H11 and K: the keys that issuers publish (RFC 7517).
func keySetProofs() []proofOf {
	return slices.Concat(keyProofs(), sourceProofs(), refreshProofs(), choiceProofs())
}

func keyProofs() []proofOf {
	return []proofOf{
		published("H11", "a key that is strong", authz.Granted, []object{jwk("ps256")}, with("ps256", "ps256", "PS256")),
		published("H11", "RSA of 1024 bits", authz.TokenKey, []object{jwk("weak")}, with("weak", "weak", "PS256")),
		published("H11", "an exponent of one", authz.TokenKey, []object{jwk("ps256", "e", "AQ")}, with("ps256", "ps256", "PS256")),
		published("H11", "an even exponent", authz.TokenKey, []object{jwk("ps256", "e", "AQAC")}, with("ps256", "ps256", "PS256")),
		published("H11", "a point that is not on its curve", authz.TokenKey, []object{jwk("es256", "y", jwk("stranger")["y"])}, verified),
		published("H11", "for another algorithm by its own word", authz.TokenKey, []object{jwk("ps256", "alg", "PS512")}, with("ps256", "ps256", "PS256")),

		published("K7", "beside keys that nobody knows", authz.Granted,
			[]object{jwk("es256"), {"kty": "PQC", "kid": "a"}, {"kty": "EC", "crv": "P-1", "kid": "b"}}, verified),
		published("K7", "for verifying, in so many words", authz.Granted, []object{jwk("es256", "use", "sig", "key_ops", []string{"verify"})}, verified),
		published("K7", "for encryption", authz.TokenKey, []object{jwk("es256", "use", "enc")}, verified),
		published("K7", "for signing alone", authz.TokenKey, []object{jwk("es256", "key_ops", []string{"sign"})}, verified),
		published("K7", "with its private part", authz.TokenKey, []object{jwk("es256", "d", "AAAA")}, verified),
		published("K7", "symmetric", authz.TokenKey, []object{{"kty": "oct", "kid": "es256", "k": "AAAA"}}, verified),
	}
}

func sourceProofs() []proofOf {
	return []proofOf{
		published("K1", "over TLS, from whom it is expected", authz.Granted, nil, verified),
		published("K1", "from whom nobody vouches for", authz.KeysUnavailable, nil, func(t *testing.T, i *issuer) authz.Reason {
			i.client = &http.Client{}
			return verified(t, i)
		}),
		published("K1", "elsewhere, as a redirect says", authz.KeysUnavailable, nil, answering(func(i *issuer) http.HandlerFunc {
			set := i.answer
			return func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/moved" {
					http.Redirect(w, r, "/moved", http.StatusFound)
					return
				}
				set(w, r)
			}
		})),
		published("K2", "a hundred keys", authz.Granted, manyKeys(99), verified),
		published("K2", "one more", authz.KeysUnavailable, manyKeys(100), verified),
		published("K2", "over 512 KiB", authz.KeysUnavailable, []object{jwk("es256", "x-note", strings.Repeat("x", 512<<10))}, verified),
		published("K2", "an error", authz.KeysUnavailable, nil, answering(func(*issuer) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }
		})),
	}
}

// manyKeys are as many keys that nobody knows, and es256.
func manyKeys(count int) []object {
	return append(slices.Repeat([]object{{"kty": "PQC"}}, count), jwk("es256"))
}

func refreshProofs() []proofOf {
	// rotate has another key published, and time go by.
	rotate := func(wait time.Duration, signer string) func(*testing.T, *issuer) authz.Reason {
		return func(t *testing.T, i *issuer) authz.Reason {
			i.open(t)
			old := i.signs("es256", "es256", "ES256")
			if got := i.verify(old); got != authz.Granted {
				t.Errorf("before: %s", got)
			}
			i.publish(jwk("stranger"))
			i.later(wait)
			if signer == "es256" {
				return i.verify(old)
			}
			return i.verify(i.signs(signer, signer, "ES256"))
		}
	}
	down := func(wait time.Duration) func(*testing.T, *issuer) authz.Reason {
		return func(t *testing.T, i *issuer) authz.Reason {
			if got := verified(t, i); got != authz.Granted {
				t.Errorf("before: %s", got)
			}
			i.says(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
			i.later(wait)
			return i.verify(i.signs("es256", "es256", "ES256"))
		}
	}
	return []proofOf{
		published("K3", "a key that is known, as long as the set is fresh", authz.Granted, nil, rotate(9*time.Minute, "es256")),
		published("K3", "a key that was removed, once it is not", authz.TokenKey, nil, rotate(10*time.Minute, "es256")),
		published("K4", "an unknown key, which the issuer has by now", authz.Granted, nil, rotate(time.Second, "stranger")),
		published("K4", "an unknown key, asked for again and again", authz.TokenKey, nil, asksOnce),
		published("K5", "an outage", authz.Granted, nil, down(30*time.Minute)),
		published("K5", "an outage that lasts too long", authz.KeysUnavailable, nil, down(61*time.Minute)),
		published("K6", "a token that is known, and so is its key", authz.Granted, nil, known(jwk("es256"))),
		published("K6", "a token that is known, and its key was removed", authz.TokenKey, nil, known(jwk("stranger"))),
		published("K6", "a token that is known, and its kid is another key's", authz.TokenSignature, nil, known(jwk("stranger", "kid", "es256"))),
	}
}

// known has a token verified, and verified again once another key is published, while the
// token is still remembered.
func known(published object) func(*testing.T, *issuer) authz.Reason {
	return func(t *testing.T, i *issuer) authz.Reason {
		i.publishFor(time.Minute, jwk("es256"))
		i.open(t)
		token := i.signs("es256", "es256", "ES256")
		if got := i.verify(token); got != authz.Granted {
			t.Errorf("before: %s", got)
		}
		i.publishFor(time.Minute, published)
		i.later(time.Minute)
		return i.verify(token)
	}
}

// asksOnce has many tokens of unknown keys cause one refresh.
func asksOnce(t *testing.T, i *issuer) authz.Reason {
	i.open(t)
	before := i.fetched()
	var got authz.Reason
	for range 20 {
		got = i.verify(i.signs("stranger", "stranger", "ES256"))
	}
	if more := i.fetched() - before; more != 1 {
		t.Errorf("the set was fetched %d times, want once", more)
	}
	return got
}

func choiceProofs() []proofOf {
	secret := object{"kty": "oct", "kid": "shared", "k": encode([]byte("0123456789abcdef0123456789abcdef"))}
	return []proofOf{
		published("K8", "no kid, and one key that fits", authz.Granted, []object{jwk("es256"), jwk("ps256")}, with("es256", absent, "ES256")),
		published("K8", "no kid, and two that fit", authz.TokenKey, []object{jwk("es256"), jwk("stranger")}, with("es256", absent, "ES256")),
		published("K9", "one kid, and keys of two types", authz.Granted, []object{jwk("es256"), jwk("ps256", "kid", "es256")}, verified),
		published("K9", "one kid, and two keys of one type", authz.KeysUnavailable, []object{jwk("es256"), jwk("stranger", "kid", "es256")}, verified),
		published("K9", "a public key, beside a symmetric one", authz.Granted, []object{jwk("es256"), secret}, verified),
		published("K9", "the symmetric one", authz.TokenAlgorithm, []object{jwk("es256"), secret}, with("es256", "shared", "HS256")),
		published("F8", "one kid, and keys of two types", authz.Granted, []object{jwk("es256"), jwk("ps256", "kid", "es256")}, with("ps256", "es256", "PS256")),
		published("F8", "one kid, and two keys of one type", authz.KeysUnavailable, []object{jwk("es256"), jwk("stranger", "kid", "es256")}, verified),
	}
}
