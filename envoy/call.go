package envoy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/countersign-io/countersign/authz"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protojson"
)

// Call is one ext_authz call that somebody kept, to be answered again without a server.
type Call struct{ check *authv3.CheckRequest }

// Answer is what a caller is told. The status of an allow is 200, which stands for
// whatever the upstream answers, and it has neither headers nor body.
type Answer struct {
	Status  int
	Headers []authz.Header
	Body    string
	// Timeout is what a server gives a check.
	Timeout time.Duration
}

// notCheck is the Fix for what is no CheckRequest.
const notCheck = "give the CheckRequest that Envoy sent, as protojson writes it"

// ParseCall reads a CheckRequest in protojson's form. Its error is authz.Problems, which
// name places in the text, and hold nothing else of it: it may have a token anywhere.
func ParseCall(text []byte) (*Call, error) {
	value, err := decodeJSON(text)
	if err != nil {
		return nil, err
	}
	check := &authv3.CheckRequest{}
	if problem := misfit(check.ProtoReflect().Descriptor(), value, ""); problem != nil {
		return nil, authz.Problems{*problem}
	}
	if err := protojson.Unmarshal(text, check); err != nil {
		return nil, authz.Problems{{Line: lineIn(err), What: "has a value that is no CheckRequest's", Fix: notCheck}}
	}
	if check.GetAttributes().GetRequest().GetHttp() == nil {
		return nil, authz.Problems{{Key: "attributes.request.http", What: "is missing", Fix: notCheck}}
	}
	return &Call{check}, nil
}

// decodeJSON reads the one value of a text.
func decodeJSON(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	err := decoder.Decode(&value)
	if err == nil {
		if _, err = decoder.Token(); errors.Is(err, io.EOF) {
			return value, nil
		}
	}
	offset := decoder.InputOffset()
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		offset = syntax.Offset
	}
	read := text[:min(int(offset), len(text))]
	return nil, authz.Problems{{Line: 1 + bytes.Count(read, []byte("\n")), What: "is not JSON", Fix: notCheck}}
}

var linePattern = regexp.MustCompile(`\(line (\d+):\d+\)`)

// lineIn takes the line out of protojson's error, and nothing else: it quotes values.
// It is 0 where the error has none.
func lineIn(err error) int {
	found := linePattern.FindStringSubmatch(err.Error())
	if found == nil {
		return 0
	}
	line, _ := strconv.Atoi(found[1]) // digits, as the pattern says
	return line
}

// API is the one that the operator's Envoy names, or "".
func (c *Call) API() authz.API {
	return authz.API(c.check.GetAttributes().GetContextExtensions()[apiExtension])
}

// Time is when Envoy took the request, as the call has it; zero where it does not.
func (c *Call) Time() time.Time {
	at := c.check.GetAttributes().GetRequest().GetTime()
	if !at.IsValid() {
		return time.Time{}
	}
	return at.AsTime()
}

// Answer has the checker decide the call, as a server of that configuration would but in
// patience at least, and returns what the caller would be told.
func (c *Call) Answer(ctx context.Context, cfg Config, patience time.Duration, checker authz.Checker) (Answer, error) {
	cfg, err := cfg.normal()
	if err != nil {
		return Answer{}, err
	}
	a := &authorization{checker: checker, address: cfg.ClientAddress, realm: cfg.Realm, timeout: max(cfg.Timeout, patience), limit: newLimit(1)}
	response, err := a.Check(ctx, c.check)
	if err != nil {
		return Answer{}, fmt.Errorf("answer: %w", err)
	}
	refusal := response.GetDeniedResponse()
	if refusal == nil {
		return Answer{Status: http.StatusOK, Timeout: cfg.Timeout}, nil
	}
	answer := Answer{Status: int(refusal.GetStatus().GetCode()), Body: refusal.GetBody(), Timeout: cfg.Timeout}
	for _, option := range refusal.GetHeaders() {
		field := option.GetHeader()
		answer.Headers = append(answer.Headers, authz.Header{Name: field.GetKey(), Value: field.GetValue()})
	}
	return answer, nil
}
