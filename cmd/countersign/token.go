package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
)

// maxCredential bounds a token, a proof and a certificate; tokens are refused far below.
const maxCredential = 16 << 10

const tokenPurpose = `say whether a token would be accepted, and which check it fails

  countersign token [flags] token.jwt
  countersign token [flags] < token.jwt

The file holds the token alone, or the value of an Authorization header. Without a
scheme it is sent as DPoP where there is a --proof, else as Bearer. Every check is told
in its order, and of the one that fails what the client should change; of a good token,
what a policy would see. Nothing is written or recorded. What is told names people in
clear, as the token does; never its signature, nor the proof.

Exit codes: 0 it would be accepted, 1 it is refused, 2 wrong arguments or configuration.`

// errRefused is of what was asked about and is not right, which has been told.
var errRefused = errors.New("refused")

// inquiry is what token is asked for.
type inquiry struct {
	config, api, method, url, output string
	// token, proof and certificate are names of files; "-" is standard input.
	token, proof, certificate string
	// address is the client's, or "" where it is not told.
	address string
	at      time.Time
}

// judgeToken has a token checked as serve would, and tells every check.
func judgeToken(ctx context.Context, args []string, w world) error {
	ask := inquiry{at: time.Now()}
	rest, err := operands("token", tokenPurpose, args, w, func(f *flag.FlagSet) {
		f.StringVar(&ask.config, "config", "countersign.yaml", "the configuration")
		f.StringVar(&ask.api, "api", "", "the API that the token is sent to (default the only one)")
		f.StringVar(&ask.method, "method", "GET", "the request's method")
		f.StringVar(&ask.url, "url", "", "the request's URL, as the client calls it")
		f.StringVar(&ask.proof, "proof", "", "a `file` with the DPoP header's value")
		f.StringVar(&ask.certificate, "certificate", "", "a `file` with the client's certificate in PEM")
		f.Func("address", "the client's IP `address`; without one, whether it may call from there is not asked", ask.from)
		atFlag(f, &ask.at)
		outputFlag(f, &ask.output)
	})
	if err != nil {
		return err
	}
	if wrong := ask.take(rest); wrong != "" {
		fmt.Fprintf(w.stderr, "countersign token: %s; see countersign token --help\n", wrong)
		return errArguments
	}
	told, err := ask.check(ctx, w)
	if err != nil {
		return tell(err, ask.output, w)
	}
	if ask.output == "json" {
		err = json.NewEncoder(w.stdout).Encode(told)
	} else {
		err = told.write(w.stdout)
	}
	if err == nil && !told.Accepted {
		return errRefused
	}
	return err
}

// from takes the client's address.
func (q *inquiry) from(text string) error {
	if _, err := netip.ParseAddr(text); err != nil {
		return errors.New("is no IP address")
	}
	q.address = text
	return nil
}

// take takes the operands, and says what is wrong with them or the flags, or "". It
// repeats no operand: it may be the token itself.
func (q *inquiry) take(operands []string) string {
	q.token = "-"
	if len(operands) > 0 {
		q.token = operands[0]
	}
	switch {
	case len(operands) > 1:
		return fmt.Sprintf("takes one file with a token, after its flags, not %d", len(operands))
	case q.token == "-" && (q.proof == "-" || q.certificate == "-") || q.proof == "-" && q.certificate == "-":
		return "reads one thing from standard input, and the others from files"
	case q.proof != "" && q.url == "":
		return "needs --url beside --proof, and --method where that is not GET: a proof is for one request"
	}
	return ""
}

// check has the token checked.
func (q *inquiry) check(ctx context.Context, w world) (*tokenTold, error) {
	request, err := q.request(w.stdin)
	if err != nil {
		return nil, err
	}
	cfg, faults := config.Load(q.config, w.environ)
	loaded, err := open(cfg, faults, wire.Read)
	if err != nil {
		return nil, err
	}
	sayBundles(loaded.Set, w)
	if request.API, err = q.which(cfg); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime+explainTime)
	defer cancel()
	report, input, err := loaded.Token(ctx, request, q.at, settleTime, slog.New(slog.NewTextHandler(w.stderr, nil)))
	if err != nil {
		return nil, err
	}
	return tellToken(report, input)
}

// which is the API that is meant.
func (q *inquiry) which(cfg *config.Config) (authz.API, error) {
	var names []string
	for _, api := range cfg.APIs {
		names = append(names, string(api.Contract.Name))
	}
	switch {
	case q.api == "" && len(names) == 1:
		return authz.API(names[0]), nil
	case q.api == "":
		return "", authz.Problems{{Key: "--api", What: "is missing, and there are several", Fix: "name one of " + strings.Join(names, ", ")}}
	case !slices.Contains(names, q.api):
		return "", authz.Problems{{Key: "--api", What: "is not configured", Fix: "name one of " + strings.Join(names, ", ")}}
	}
	return authz.API(q.api), nil
}

// request is what is checked, less its API. Its error is all that is wrong, as
// authz.Problems, which repeat nothing of the files.
func (q *inquiry) request(stdin io.Reader) (*authz.Request, error) {
	var problems authz.Problems
	request := q.called(&problems)
	if text := readCredential("the token", q.token, stdin, &problems); text != "" {
		request.Headers = append(request.Headers, authz.Header{Name: "authorization", Value: q.withScheme(text)})
	}
	if q.proof != "" {
		text := readCredential("--proof", q.proof, stdin, &problems)
		request.Headers = append(request.Headers, authz.Header{Name: "dpop", Value: text})
	}
	if q.certificate != "" {
		request.Certificate = asForwarded(readCredential("--certificate", q.certificate, stdin, &problems), &problems)
	}
	return request, problems.Err()
}

// called is the request without its credentials. Where no URL is told, none matters.
func (q *inquiry) called(problems *authz.Problems) *authz.Request {
	request := &authz.Request{Method: q.method, Target: "/", Address: q.address}
	if q.url == "" {
		return request
	}
	parsed, err := url.Parse(q.url)
	if err != nil || parsed.Host == "" || parsed.User != nil || parsed.Scheme != "https" && parsed.Scheme != "http" {
		problems.Add("--url", "is no URL of an API", "write it as the client calls it, such as https://api.bank.example/accounts/1")
		return request
	}
	request.Scheme, request.Host = parsed.Scheme, parsed.Host
	// A parsed path might be tidied up.
	_, rest, _ := strings.Cut(q.url, "://")
	if begin := strings.IndexAny(rest, "/?#"); begin >= 0 {
		request.Target = "/" + strings.TrimPrefix(rest[begin:], "/")
	}
	if _, err := authz.ParseTarget(request.Target); err != nil {
		problems.Add("--url", "has a path that is refused whatever the token is: "+err.Error(), "write it without dot segments, //, ; and fragment")
	}
	return request
}

// withScheme is the Authorization header's value.
func (q *inquiry) withScheme(text string) string {
	scheme, _, there := strings.Cut(text, " ")
	switch {
	case there && (strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "DPoP")):
		return text
	case q.proof != "":
		return "DPoP " + text
	}
	return "Bearer " + text
}

// readCredential reads a file, or standard input, of something that is not to be shown.
func readCredential(what, name string, stdin io.Reader, problems *authz.Problems) string {
	text, err := readInput(name, stdin, maxCredential)
	trimmed := strings.TrimSpace(string(text))
	switch {
	case err != nil:
		// The name may be a token, by mistake.
		problems.Add(what, "cannot be read: "+cause(err), "name a file, never the thing itself: arguments are seen by others")
	case len(text) > maxCredential:
		problems.Add(what, fmt.Sprintf("is over %d KiB", maxCredential>>10), "give one, and nothing else")
	case trimmed == "":
		problems.Add(what, "is empty", "give it in a file, or the token on standard input")
	}
	return trimmed
}
