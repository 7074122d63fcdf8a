package bank

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/examples/openbanking"
)

// API is the name under which the bank's contract is configured.
const API authz.API = "openbanking"

// Story is one request to the bank and what must come of it. Each is a txtar file in
// the stories folder: the comment tells it, request.json and body.json make the
// request, want.json is what is expected.
type Story struct {
	// Name is the file's, without its ending, and Text its comment in one line.
	Name, Text string

	Ask  Ask
	Body []byte
	Want Want
}

// Ask is a story's request.json.
type Ask struct {
	Method string `json:"method"`
	// Path is the request target as it goes over the wire, with its query.
	Path string `json:"path"`
	// Listener is mtls or plain-tls; "" means mtls.
	Listener string            `json:"listener"`
	Headers  map[string]string `json:"headers"`
	// Certificate is whose certificate the client presents, or "".
	Certificate string `json:"certificate"`
	// Forwarded is whose certificate the client writes into x-forwarded-client-cert, or "".
	Forwarded string `json:"forwarded"`
	Token     Token  `json:"token"`
	// Scheme is Bearer or DPoP; "" means DPoP where there is a proof, else Bearer.
	Scheme string `json:"scheme"`
	// Proof is the proof of possession that comes with the token, or nil.
	Proof *Proof `json:"proof"`
	// Before is how often this very request was sent already, whatever it was answered.
	Before int `json:"before"`
}

// Want is a story's want.json.
type Want struct {
	Allowed bool `json:"allowed"`
	// Status is what the client sees: of an allowed request, the upstream's.
	Status int `json:"status"`
	// Reason is Countersign's, or the policy's where it gave one.
	Reason string `json:"reason"`
	// Challenge must be part of WWW-Authenticate; "" means that there is no such header.
	Challenge string `json:"challenge"`
	// Headers are patterns that the answer's headers must match, each as a whole.
	Headers map[string]string `json:"headers"`
	// BreakGlass are the tickets under which staff broke the glass.
	BreakGlass []string `json:"break_glass"`
	// Upstream are headers that the upstream must receive, or, with "", must not.
	Upstream map[string]string `json:"upstream_headers"`
}

// Stories are all of them, in the order of their numbers.
func Stories() ([]Story, error) {
	files, err := fs.Glob(openbanking.Files, "stories/*.txtar")
	if err != nil {
		return nil, fmt.Errorf("stories: %w", err)
	}
	slices.SortStableFunc(files, func(a, b string) int { return cmp.Compare(number(a), number(b)) })
	stories := make([]Story, len(files))
	for i, file := range files {
		content, err := fs.ReadFile(openbanking.Files, file)
		if err != nil {
			return nil, fmt.Errorf("stories: %w", err)
		}
		name := strings.TrimSuffix(path.Base(file), ".txtar")
		if stories[i], err = parseStory(name, content); err != nil {
			return nil, fmt.Errorf("stories: %s: %w", file, err)
		}
	}
	return stories, nil
}

// number is what the name of a story's file begins with.
func number(file string) int {
	digits, _, _ := strings.Cut(path.Base(file), "-")
	n, _ := strconv.Atoi(digits)
	return n
}

func parseStory(name string, content []byte) (Story, error) {
	archive := txtar.Parse(content)
	story := Story{Name: name, Text: strings.Join(strings.Fields(string(archive.Comment)), " ")}
	for _, file := range archive.Files {
		var err error
		switch file.Name {
		case "request.json":
			err = strictly(file.Data, &story.Ask)
		case "want.json":
			err = strictly(file.Data, &story.Want)
		case "body.json":
			story.Body = file.Data
		default:
			err = fmt.Errorf("no such part")
		}
		if err != nil {
			return Story{}, fmt.Errorf("%s: %w", file.Name, err)
		}
	}
	if story.Ask.Listener == "" {
		story.Ask.Listener = MTLS
	}
	if story.Text == "" || story.Ask.Method == "" || story.Want.Status == 0 || story.Want.Reason == "" {
		return Story{}, fmt.Errorf("a story needs a comment, a method, and a status and a reason to expect")
	}
	return story, nil
}

func strictly(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// headers are the request's own, without those that HTTP itself adds. nonce is what the
// client was told to put into its proofs, or "".
func (s *Story) headers(bank *Bank, nonce string) (authz.Headers, error) {
	var fields authz.Headers
	for _, name := range slices.Sorted(maps.Keys(s.Ask.Headers)) {
		fields = append(fields, authz.Header{Name: strings.ToLower(name), Value: s.Ask.Headers[name]})
	}
	if s.Ask.Forwarded != "" {
		fields = append(fields, authz.Header{Name: "x-forwarded-client-cert", Value: bank.Certificates.XFCC(s.Ask.Forwarded)})
	}
	credentials, err := s.credentials(bank, nonce)
	if err != nil {
		return nil, err
	}
	fields = append(fields, credentials...)
	if _, said := fields.Value("content-type"); s.Body != nil && !said {
		fields = append(fields, authz.Header{Name: "content-type", Value: "application/json"})
	}
	return fields, nil
}

// credentials are the token and its proof, if there are any.
func (s *Story) credentials(bank *Bank, nonce string) (authz.Headers, error) {
	token, err := bank.Sign(s.Ask.Token)
	if token == "" || err != nil {
		return nil, err
	}
	scheme := s.Ask.Scheme
	if scheme == "" && s.Ask.Proof != nil {
		scheme = "DPoP"
	} else if scheme == "" {
		scheme = "Bearer"
	}
	fields := authz.Headers{{Name: "authorization", Value: scheme + " " + token}}
	if s.Ask.Proof == nil {
		return fields, nil
	}
	proof, err := bank.prove(*s.Ask.Proof, s.Ask.Method, s.Ask.Path, token, nonce)
	return append(fields, authz.Header{Name: "dpop", Value: proof}), err
}

// HTTP is the story's request to the running bank, and the client to send it with,
// which trusts the demo's authority and presents the story's certificate.
func (s *Story) HTTP(ctx context.Context, stack *Stack) (*http.Request, *http.Client, error) {
	nonce := ""
	if s.Ask.Proof != nil {
		nonce = stack.nonce(ctx, s.Ask.Listener)
	}
	fields, err := s.headers(stack.Bank, nonce)
	if err != nil {
		return nil, nil, err
	}
	address := stack.Address(s.Ask.Listener)
	request, err := http.NewRequestWithContext(ctx, s.Ask.Method, "https://"+address, bytes.NewReader(s.Body))
	if err != nil {
		return nil, nil, fmt.Errorf("story: %w", err)
	}
	// Opaque goes over the wire as it is; a parsed path might be tidied up.
	target, query, _ := strings.Cut(s.Ask.Path, "?")
	request.URL = &url.URL{Scheme: "https", Host: address, Opaque: target, RawQuery: query}
	for _, field := range fields {
		request.Header.Add(field.Name, field.Value)
	}
	request.Header.Set(storyHeader, s.Name)
	return request, stack.Client(s.Ask.Certificate), nil
}

// Client speaks HTTPS to Envoy, with the certificate of the client named, or with
// none. It makes a connection for each request.
func (s *Stack) Client(certificate string) *http.Client {
	configuration := &tls.Config{RootCAs: s.Bank.Certificates.Authorities, ServerName: "localhost"}
	if own, known := s.Bank.Certificates.clients[certificate]; known {
		configuration.Certificates = []tls.Certificate{own}
	}
	dialer := &net.Dialer{}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   configuration,
		ForceAttemptHTTP2: true,
		DisableKeepAlives: true,
		// Envoy listens on one address only, and localhost may mean another first.
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, strings.Replace(address, "localhost:", "127.0.0.1:", 1))
		},
	}}
}

// nonce is what the bank tells a client without a token to put into its proofs, or ""
// where it tells nothing.
func (s *Stack) nonce(ctx context.Context, listener string) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+s.Address(listener)+"/accounts", nil)
	if err != nil {
		return ""
	}
	response, err := s.Client("").Do(request)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	return response.Header.Get("DPoP-Nonce")
}

// Request is the same request as Countersign would get it from Envoy, for a run
// without either. nonce is what Countersign asks of proofs, or "".
func (s *Story) Request(bank *Bank, nonce string) (*authz.Request, error) {
	fields, err := s.headers(bank, nonce)
	if err != nil {
		return nil, err
	}
	// Envoy starts its own trace.
	fields = slices.DeleteFunc(fields, func(field authz.Header) bool {
		return field.Name == "traceparent" || field.Name == "tracestate"
	})
	request := &authz.Request{
		API:     API,
		Method:  s.Ask.Method,
		Scheme:  "https",
		Host:    "localhost",
		Target:  s.Ask.Path,
		Body:    s.Body,
		Address: "127.0.0.1",
		SNI:     "localhost",
	}
	if s.Body != nil {
		fields = append(fields,
			authz.Header{Name: "content-length", Value: strconv.Itoa(len(s.Body))},
			authz.Header{Name: "x-envoy-auth-partial-body", Value: "false"})
	}
	if s.Ask.Certificate != "" && s.Ask.Listener == MTLS {
		request.Certificate = bank.Certificates.forwarded(s.Ask.Certificate)
		request.Principal = identity(s.Ask.Certificate).String()
	}
	request.Headers = fields
	return request, nil
}
