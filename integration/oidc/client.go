package oidc

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Client is an OAuth 2.0 client of a provider's. With a key, it authenticates by it
// (private_key_jwt) and has its tokens bound to it (RFC 9449); without, its certificate
// does both (RFC 8705).
type Client struct {
	ID string
	// HTTP trusts the provider, and has the client's certificate if it has one.
	HTTP *http.Client
	Key  *Key
	// Redirect is the client's redirect URI. Nobody answers there.
	Redirect string
}

// Login says who logs in, and what the client asks to be allowed.
type Login struct {
	As, Scope string
	// Details are authorization details (RFC 9396), or nil.
	Details []map[string]any
}

// mostPlaces is how often a user is sent to another place.
const mostPlaces = 10

// Token has a token issued to the client by itself (RFC 6749 §4.4).
func (c *Client) Token(t testing.TB, p *Provider, scope string) string {
	t.Helper()
	return c.redeem(t, p, url.Values{"grant_type": {"client_credentials"}, "scope": {scope}})
}

// Authorized has a token issued to the client for who logs in: by a pushed authorization
// request (RFC 9126) and a code, with PKCE (RFC 7636).
func (c *Client) Authorized(t testing.TB, p *Provider, login Login) string {
	t.Helper()
	verifier, state := rand.Text()+rand.Text(), rand.Text()
	form := url.Values{
		"response_type": {"code"}, "redirect_uri": {c.Redirect}, "state": {state},
		"login_hint": {login.As}, "scope": {login.Scope},
		"code_challenge": {hash(verifier)}, "code_challenge_method": {"S256"},
	}
	if login.Details != nil {
		details, err := json.Marshal(login.Details)
		if err != nil {
			t.Fatal(err)
		}
		form.Set("authorization_details", string(details))
	}
	if c.Key != nil {
		form.Set("dpop_jkt", c.Key.Thumbprint(t))
	}
	pushed := c.post(t, p, "/request", http.StatusCreated, form)
	back := c.visit(t, p.Issuer+"/auth?"+url.Values{"client_id": {c.ID}, "request_uri": {pushed["request_uri"]}}.Encode())
	if back.Get("state") != state || back.Get("iss") != p.Issuer || back.Get("code") == "" {
		t.Fatalf("the provider sends the user back with %v", back)
	}
	return c.redeem(t, p, url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Get("code")}, "redirect_uri": {c.Redirect}, "code_verifier": {verifier},
	})
}

// visit does what the user's browser does, which is sent from one place to the next, and
// returns what it is sent back to the client with.
func (c *Client) visit(t testing.TB, address string) url.Values {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := *c.HTTP
	browser.Jar = jar
	browser.CheckRedirect = func(next *http.Request, so []*http.Request) error {
		if strings.HasPrefix(next.URL.String(), c.Redirect) || len(so) == mostPlaces {
			return http.ErrUseLastResponse
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := browser.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	back, err := response.Location()
	if err != nil {
		text, _ := io.ReadAll(response.Body)
		t.Fatalf("the user ends at %s: %v\n%s", response.Request.URL, err, text)
	}
	return back.Query()
}

// redeem has a token issued for a grant.
func (c *Client) redeem(t testing.TB, p *Provider, form url.Values) string {
	t.Helper()
	issued := c.post(t, p, "/token", http.StatusOK, form)
	want := "Bearer"
	if c.Key != nil {
		want = "DPoP"
	}
	if issued["token_type"] != want || issued["access_token"] == "" {
		t.Fatalf("the provider issues a token of type %q, want %s", issued["token_type"], want)
	}
	return issued["access_token"]
}

// post posts a form as the client, and returns the texts of what is answered.
func (c *Client) post(t testing.TB, p *Provider, path string, want int, form url.Values) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	all := url.Values{"client_id": {c.ID}}
	maps.Copy(all, form)
	if c.Key != nil {
		maps.Copy(all, c.assertion(t, p))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Issuer+path, strings.NewReader(all.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.Key != nil {
		request.Header.Set("DPoP", c.Key.Proof(t, http.MethodPost, p.Issuer+path, nil))
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answered map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answered); err != nil || response.StatusCode != want {
		t.Fatalf("%s answers %s (%v, %v), want %d\n%s", path, response.Status, answered["error"], answered["error_description"], want, p.tail())
	}
	texts := map[string]string{}
	for name, value := range answered {
		texts[name], _ = value.(string)
	}
	return texts
}

// assertion authenticates the client by its key (RFC 7523 §2.2).
func (c *Client) assertion(t testing.TB, p *Provider) url.Values {
	t.Helper()
	now := time.Now()
	return url.Values{
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion": {c.Key.sign(t, map[string]any{"alg": "ES256"}, map[string]any{
			"iss": c.ID, "sub": c.ID, "aud": p.Issuer, "jti": rand.Text(),
			"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		})},
	}
}
