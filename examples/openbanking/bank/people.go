package bank

import (
	"crypto/rand"
	"fmt"
	"maps"
	"time"
)

// The demo's clients: third-party providers with a certificate each.
const (
	Acme = "acme"
	Zeta = "zeta"
)

// Token says which access token a request carries. The zero Token is none.
type Token struct {
	// As is whom the token speaks for: a customer (ann, bob), one of the staff (sam
	// of support, who has an open case, tom of support, who has none, fay of fraud),
	// or a client by itself (acme, zeta).
	As string `json:"as"`
	// Client is the client that a customer's token was issued to; "" means acme.
	Client string `json:"client"`
	// Claims replace the usual ones; null takes one away. Of exp, iat, nbf and
	// auth_time, text is a duration from now, such as "-5m".
	Claims map[string]any `json:"claims"`
	// Algorithm is ES256 or PS256; "" means ES256.
	Algorithm string `json:"algorithm"`
	// Bound is what the token is bound to: the client's certificate where it is "", its
	// key with "key", and both with "both".
	Bound string `json:"bound"`
	// Bad is a way in which the token is badly made, or "".
	Bad string `json:"bad"`
}

// usual are the claims that distinguish people and clients.
var usual = map[string]map[string]any{
	"ann": {"actor_type": "psu", "roles": []string{"customer"}, "scope": "accounts payments", "openbanking_intent_id": "ann-acme"},
	"bob": {"actor_type": "psu", "roles": []string{"customer"}, "scope": "accounts payments", "openbanking_intent_id": "bob-acme"},
	"sam": {"iss": StaffName, "roles": []string{"support"}, "scope": "backoffice", "client_id": "desk"},
	"tom": {"iss": StaffName, "roles": []string{"support"}, "scope": "backoffice", "client_id": "desk"},
	"fay": {"iss": StaffName, "roles": []string{"fraud"}, "scope": "backoffice", "client_id": "desk"},
	Acme:  {"actor_type": "tpp", "scope": "accounts payments", "client_id": Acme},
	Zeta:  {"actor_type": "tpp", "scope": "accounts payments", "client_id": Zeta},
}

// OfStaff reports a token of the bank's own staff, whose issuer is another.
func (t Token) OfStaff() bool { return usual[t.As]["iss"] == StaffName }

// Sign issues the token, or "" for none.
func (b *Bank) Sign(token Token) (string, error) {
	if token.As == "" {
		return "", nil
	}
	claims, err := b.claims(token)
	if err != nil {
		return "", err
	}
	algorithm := token.Algorithm
	if algorithm == "" {
		algorithm = ES256
	}
	issuer := b.Issuer
	if token.OfStaff() {
		issuer = b.staff
	}
	return issuer.sign(claims, algorithm, token.Bad)
}

func (b *Bank) claims(token Token) (map[string]any, error) {
	own, known := usual[token.As]
	if !known {
		return nil, fmt.Errorf("token: nobody is called %q", token.As)
	}
	claims := map[string]any{
		"iss": IssuerName, "sub": token.As, "aud": "https://api.bank.example", "client_id": Acme, "jti": rand.Text(),
		"iat": "0s", "exp": "10m", "auth_time": "-1m",
		"acr": "urn:openbanking:psd2:sca", "region": "GB", "environment": "production",
	}
	maps.Copy(claims, own)
	if token.Client != "" {
		claims["client_id"] = token.Client
	}
	if own["actor_type"] == "tpp" { // Nobody logged in.
		delete(claims, "auth_time")
		delete(claims, "acr")
	}
	// The bank's own desk sits on a listener of its own; third parties are bound.
	if client, _ := claims["client_id"].(string); client != "desk" {
		confirmation, err := b.confirmation(client, token.Bound)
		if err != nil {
			return nil, err
		}
		claims["cnf"] = confirmation
	}
	for name, value := range token.Claims {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	return claims, fixTimes(claims, b.now)
}

// confirmation is the cnf of a client's tokens (RFC 7800 §3.1).
func (b *Bank) confirmation(client, bound string) (map[string]any, error) {
	members := map[string]any{}
	if bound == "" || bound == toBoth {
		members["x5t#S256"] = b.Certificates.thumbprint(client)
	}
	if bound == "" {
		return members, nil
	}
	if bound != toKey && bound != toBoth {
		return nil, fmt.Errorf("token: nothing to bind it to is called %q", bound)
	}
	thumbprint, err := b.holders.thumbprint(client)
	members["jkt"] = thumbprint
	return members, err
}

// fixTimes turns durations from now into NumericDates (RFC 7519 §2).
func fixTimes(claims map[string]any, now time.Time) error {
	for _, name := range []string{"iat", "exp", "nbf", "auth_time"} {
		text, relative := claims[name].(string)
		if !relative {
			continue
		}
		offset, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("token: claim %s: %w", name, err)
		}
		claims[name] = now.Add(offset).Unix()
	}
	return nil
}
