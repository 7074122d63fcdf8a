package token

import (
	"context"
	"strings"
	"testing"

	"github.com/countersign-io/countersign/authz"
)

func TestCredentials(t *testing.T) {
	verifier := newVerifier(t, goodConfig(), newFakeKeys(allKeys()...))
	good := sign(goodHeader(), goodClaims())
	tests := []struct {
		name   string
		values []string
		target string
		want   authz.Reason
	}{
		{"B1 Bearer", []string{"Bearer " + good}, "/", authz.Internal},
		{"B1 the scheme's case is of no matter", []string{"bEARER " + good}, "/", authz.Internal},
		{"B1 several spaces", []string{"Bearer   " + good}, "/", authz.Internal},
		{"B1 a query without a token", []string{"Bearer " + good}, "/?a=b%20c&token=1&my_access_token=2", authz.Internal},
		{"B1 no header", nil, "/", authz.NoCredentials},
		{"B1 Basic", []string{"Basic YTpi"}, "/", authz.UnsupportedScheme},
		{"B1 DPoP", []string{"DPoP " + good}, "/", authz.UnsupportedScheme},
		{"B1 two headers", []string{"Bearer " + good, "Bearer " + good}, "/", authz.RepeatedCredentials},
		{"B1 two headers of two schemes", []string{"Basic YTpi", "Bearer " + good}, "/", authz.RepeatedCredentials},
		{"B1 two headers joined by Envoy", []string{"Bearer " + good + ",DPoP " + good}, "/", authz.RepeatedCredentials},
		{"B1 two headers, one empty, joined by Envoy", []string{"Bearer " + good + ","}, "/", authz.RepeatedCredentials},
		{"B1 in the query alone", nil, "/?access_token=" + good, authz.MalformedCredentials},
		{"B1 in the query alone, encoded", nil, "/?a=b&%61ccess%5Ftoken=" + good, authz.MalformedCredentials},
		{"B1 in the query without a value", nil, "/?access_token", authz.MalformedCredentials},
		{"B1 in header and query", []string{"Bearer " + good}, "/?access_token=" + good, authz.RepeatedCredentials},
		{"B1 in header and query, encoded", []string{"Bearer " + good}, "/?access%5ftoken=1", authz.RepeatedCredentials},
		{"B1 Digest, which holds commas", []string{`Digest username="a", realm="b"`}, "/", authz.UnsupportedScheme},
		{"B1 another scheme before ours, joined by Envoy", []string{"Basic YTpi,bearer " + good}, "/", authz.RepeatedCredentials},
		{"B1 another scheme behind ours, joined with a blank", []string{"DPoP " + good + ", Basic YTpi"}, "/", authz.RepeatedCredentials},
		{"B2 commas alone", []string{",,"}, "/", authz.MalformedCredentials},
		{"B2 an empty header", []string{""}, "/", authz.MalformedCredentials},
		{"B2 no token", []string{"Bearer"}, "/", authz.MalformedCredentials},
		{"B2 an empty token", []string{"Bearer "}, "/", authz.MalformedCredentials},
		{"B2 no scheme", []string{good}, "/", authz.MalformedCredentials},
		{"B2 a leading space", []string{" Bearer " + good}, "/", authz.MalformedCredentials},
		{"B2 a trailing space", []string{"Bearer " + good + " "}, "/", authz.MalformedCredentials},
		{"B2 a tab for a space", []string{"Bearer\t" + good}, "/", authz.MalformedCredentials},
		{"B2 a tab within", []string{"Bearer \t" + good}, "/", authz.MalformedCredentials},
		{"B2 a line break", []string{"Bearer " + good + "\n"}, "/", authz.MalformedCredentials},
		{"B2 NUL", []string{"Bearer " + good + "\x00"}, "/", authz.MalformedCredentials},
		{"B2 not ASCII", []string{"Bearer é"}, "/", authz.MalformedCredentials},
		{"B2 quotes", []string{`Bearer "` + good + `"`}, "/", authz.MalformedCredentials},
		{"B2 a padding sign within", []string{"Bearer a=b"}, "/", authz.MalformedCredentials},
		{"B2 padding alone", []string{"Bearer =="}, "/", authz.MalformedCredentials},
		{"B2 token68, but no JWT", []string{"Bearer abc+/~=="}, "/", authz.TokenMalformed},
		{"H7 over 8 KiB", []string{"Bearer " + strings.Repeat("a", maxToken+1)}, "/", authz.TokenTooLarge},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			request := &authz.Request{Target: test.target}
			for _, value := range test.values {
				request.Headers = append(request.Headers, authz.Header{Name: "authorization", Value: value})
			}
			token, err := verifier.Verify(context.Background(), authz.Match{API: accounts}, request, nil, now)
			wantReason(t, token, err, test.want)
		})
	}
}

func TestUnknownAPIIsOurFault(t *testing.T) {
	verifier := newVerifier(t, goodConfig(), newFakeKeys(allKeys()...))
	token, err := verifier.Verify(context.Background(), authz.Match{API: "other"}, bearing(sign(goodHeader(), goodClaims())), nil, now)
	if token != nil || err == nil || authz.ReasonOf(err) != authz.Internal {
		t.Errorf("Verify() = %v, %v, want an error without a reason", token, err)
	}
	// An API that no token is configured for may have public operations.
	if _, err = verifier.Verify(context.Background(), authz.Match{API: "other"}, &authz.Request{}, nil, now); authz.ReasonOf(err) != authz.NoCredentials {
		t.Errorf("Verify() without credentials = %v, want %v", err, authz.NoCredentials)
	}
}

func TestCredentialsInForms(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	tests := []struct {
		name, target  string
		authorization string
		types         []string
		body          string
		want          authz.Reason
	}{
		{"B1 in a form alone", "/", "", []string{form}, "a=b&access_token=x", authz.MalformedCredentials},
		{"B1 in a form alone, encoded", "/", "", []string{form}, "%61ccess%5Ftoken=x", authz.MalformedCredentials},
		{"B1 in a form without a value", "/", "", []string{form}, "access_token", authz.MalformedCredentials},
		{"B1 in a form behind a semicolon", "/", "", []string{form}, "a=b;access_token=x", authz.MalformedCredentials},
		{"B1 in a form beside what is not decodable", "/", "", []string{form}, "%zz=1&access_token=x", authz.MalformedCredentials},
		{"B1 in a form of a charset, in capitals", "/", "", []string{"Application/X-WWW-Form-Urlencoded; charset=utf-8"}, "access_token=x", authz.MalformedCredentials},
		{"B1 in a form of two types", "/", "", []string{"text/plain", form}, "access_token=x", authz.MalformedCredentials},
		{"B1 in a form of two types, joined by Envoy", "/", "", []string{"text/plain," + form}, "access_token=x", authz.MalformedCredentials},
		{"B1 in header and form", "/", "Bearer x.y.z", []string{form}, "access_token=x", authz.RepeatedCredentials},
		{"B1 in query and form", "/?access_token=x", "", []string{form}, "access_token=x", authz.RepeatedCredentials},
		{"a form without a token", "/", "", []string{form}, "a=access_token&token=1&my_access_token=2&a%20b=3", authz.NoCredentials},
		{"what is no form", "/", "", []string{"application/json"}, "access_token=x", authz.NoCredentials},
		{"a body without a type", "/", "", nil, "access_token=x", authz.NoCredentials},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			request := &authz.Request{Target: test.target, Body: []byte(test.body)}
			if test.authorization != "" {
				request.Headers = append(request.Headers, authz.Header{Name: "authorization", Value: test.authorization})
			}
			for _, value := range test.types {
				request.Headers = append(request.Headers, authz.Header{Name: "content-type", Value: value})
			}
			if _, err := credentialOf(request); authz.ReasonOf(err) != test.want {
				t.Errorf("credentialOf(%q, %q) = %v, want %v", test.types, test.body, err, test.want)
			}
		})
	}
}
