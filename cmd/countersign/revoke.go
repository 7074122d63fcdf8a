package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/replay"
	"github.com/countersign-io/countersign/authz/token"
	"github.com/countersign-io/countersign/cmd/countersign/config"
	"github.com/countersign-io/countersign/cmd/countersign/wire"
)

const (
	// revokeTime is how long the store is waited for.
	revokeTime = 5 * time.Second
	// blocked is how long tokens are refused at least, where nothing is said, if those that
	// are yet to be issued are meant, too.
	blocked = 30 * 24 * time.Hour
	// forever is for tokens whose end nothing bounds.
	forever = 10 * 365 * 24 * time.Hour
	// maxRevoked bounds a file with a value.
	maxRevoked = 4096
)

const revokePurpose = `have tokens be refused from now on

  countersign revoke [flags] --issuer ISS --jti ID
  countersign revoke [flags] --issuer ISS --subject SUB [--client ID]
  countersign revoke [flags] --issuer ISS --client ID
  countersign revoke [flags] --issuer ISS --issued-before TIME

It names tokens of one issuer: one by its jti, those of a subject, of a client, of a
subject through a client, or all of them. --issued-before, which does not go with --jti,
leaves alone what was issued later. Without it, what is yet to be issued is refused, too.

It is in force within a second in every Countersign that has the same replay and state,
and cannot be taken back: it ends by itself. Other processes see a command's arguments,
and a shell keeps them: --subject-file and --jti-file read what names a person from a
file, or, where that is -, from standard input. What it tells names no person.`

// revoked is what revoke tells: whose tokens are refused, without naming a person.
type revoked struct {
	Issuer string `json:"issuer"`
	// Tokens are what of the issuer's is meant: "one", "subject", "client",
	// "subject_and_client" or "all".
	Tokens       string     `json:"tokens"`
	Client       string     `json:"client,omitempty"`
	IssuedBefore *time.Time `json:"issued_before,omitempty"`
	Until        time.Time  `json:"until"`
	// Store is where it is kept, for all who follow that.
	Store string `json:"store"`
}

// revocation is what revoke is asked for.
type revocation struct {
	file, output             string
	issuer, id, subject      string
	idFile, subjectFile      string
	client                   string
	issuedBefore, until, now time.Time
	lasts                    time.Duration
}

// revoke has tokens be refused.
func revoke(ctx context.Context, args []string, w world) error {
	asked := revocation{now: time.Now()}
	err := arguments("revoke", revokePurpose, args, w, asked.define)
	if err != nil {
		return err
	}
	if wrong := asked.wrong(); wrong != "" {
		fmt.Fprintf(w.stderr, "countersign revoke: %s; see countersign revoke --help\n", wrong)
		return errArguments
	}
	told, err := asked.enter(ctx, w)
	if err != nil {
		return tell(err, asked.output, w)
	}
	if asked.output == "json" {
		return json.NewEncoder(w.stdout).Encode(told)
	}
	return told.write(w.stdout)
}

func (r *revocation) define(f *flag.FlagSet) {
	f.StringVar(&r.file, "config", "countersign.yaml", "the configuration")
	f.StringVar(&r.issuer, "issuer", "", "whose tokens: an `iss` of the configuration; required")
	f.StringVar(&r.id, "jti", "", "one token, by its `id`")
	f.StringVar(&r.idFile, "jti-file", "", "the same, read from this `file`, or - for standard input")
	f.StringVar(&r.subject, "subject", "", "tokens of this `sub`")
	f.StringVar(&r.subjectFile, "subject-file", "", "the same, read from this `file`, or - for standard input")
	f.StringVar(&r.client, "client", "", "tokens of this client `id`")
	timeFlag(f, &r.issuedBefore, "issued-before", "no tokens issued later than this `time`, such as 2026-11-21T10:00:00Z, or now by whichever clock", r.now)
	f.DurationVar(&r.lasts, "for", 0, "how long they are refused (default as long as such tokens can live: what bounds them in the configuration, else ten years; 720h at least for those that are yet to be issued)")
	timeFlag(f, &r.until, "until", "the `time` until which they are refused, in place of --for", r.now)
	outputFlag(f, &r.output)
}

// wrong says which flags do not go together, or "".
func (r *revocation) wrong() string {
	one, subject := r.id != "" || r.idFile != "", r.subject != "" || r.subjectFile != ""
	switch {
	case r.issuer == "":
		return "takes --issuer: whose tokens are meant"
	case r.id != "" && r.idFile != "" || r.subject != "" && r.subjectFile != "":
		return "takes a value or its file, not both"
	case one && (subject || r.client != "" || !r.issuedBefore.IsZero()):
		return "takes nothing that names other tokens beside --jti"
	case !one && !subject && r.client == "" && r.issuedBefore.IsZero():
		return "takes one of --jti, --subject, --client and --issued-before at least"
	case r.lasts != 0 && !r.until.IsZero():
		return "takes --for or --until, not both"
	case r.lasts < 0:
		return "takes a duration to come"
	}
	return ""
}

// enter reads the configuration, and enters the revocation where that says.
func (r *revocation) enter(ctx context.Context, w world) (*revoked, error) {
	cfg, err := config.Load(r.file, w.environ)
	if err != nil {
		return nil, err
	}
	issuer, err := issuerNamed(cfg, r.issuer)
	if err != nil {
		return nil, err
	}
	named := replay.Revocation{Issuer: r.issuer, ID: r.id, Subject: authz.Subject(r.subject), Client: authz.ClientID(r.client), IssuedBefore: r.before(issuer)}
	if r.idFile != "" {
		if named.ID, err = readValue(r.idFile, w.stdin); err != nil {
			return nil, err
		}
	}
	if r.subjectFile != "" {
		subject, err := readValue(r.subjectFile, w.stdin)
		if err != nil {
			return nil, err
		}
		named.Subject = authz.Subject(subject)
	}
	until := r.ends(issuer, w)
	if err := named.Check(until, r.now); err != nil {
		fmt.Fprintf(w.stderr, "countersign revoke: %v\n", err)
		return nil, errArguments
	}
	ctx, cancel := context.WithTimeout(ctx, revokeTime)
	defer cancel()
	if err := wire.Revoke(ctx, cfg, named, until); err != nil {
		return nil, err
	}
	return tellRevoked(named, until, cfg), nil
}

// before is the last time of issue that is meant. What was issued by now may say that it
// was later, by a clock ahead of ours.
func (r *revocation) before(issuer token.Issuer) time.Time {
	if r.issuedBefore.Equal(r.now) {
		return r.now.Add(issuer.Tolerance() + time.Second)
	}
	return r.issuedBefore
}

// ends is when the revocation does. A token that outlives it is good again, which is said
// where it is known.
func (r *revocation) ends(issuer token.Issuer, w world) time.Time {
	from := r.now
	if before := r.before(issuer); before.After(from) {
		from = before
	}
	longest := min(issuer.Longest(), forever)
	until := r.until
	if r.lasts != 0 {
		until = r.now.Add(r.lasts)
	}
	switch {
	case until.IsZero() && longest == 0:
		return r.now.Add(forever)
	case until.IsZero() && r.id == "" && r.idFile == "" && r.issuedBefore.IsZero():
		return r.now.Add(max(longest, blocked))
	case until.IsZero():
		return from.Add(longest)
	case until.Before(from.Add(longest)):
		fmt.Fprintf(w.stderr, "countersign revoke: such tokens can live until %s by the configuration: one that outlives the revocation is good again\n",
			from.Add(longest).UTC().Format(time.RFC3339))
	}
	return until
}

// issuerNamed refuses an issuer whose tokens are refused anyway: it was meant otherwise.
func issuerNamed(cfg *config.Config, name string) (token.Issuer, error) {
	var known []string
	for _, issuer := range cfg.Issuers {
		if issuer.Issuer == name {
			return issuer, nil
		}
		known = append(known, issuer.Issuer)
	}
	return token.Issuer{}, cfg.Locate("", authz.Problems{{Key: "issuers", What: fmt.Sprintf("have no %q", name), Fix: authz.Suggest(name, known)}})
}

// readValue reads what names a token or a person, which is all there is in a file but a
// line's end.
func readValue(name string, stdin io.Reader) (string, error) {
	shown := inputName(name)
	text, err := readInput(name, stdin, maxRevoked)
	value := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case err != nil:
		return "", authz.Problems{{File: shown, What: "cannot be read: " + cause(err), Fix: "name a file that holds the value, or - for standard input"}}
	case value == "" || len(text) > maxRevoked || strings.ContainsAny(value, "\r\n"):
		return "", authz.Problems{{File: shown, What: "does not hold one value, on one line", Fix: "give the one value, and nothing else"}}
	}
	return value, nil
}

func tellRevoked(named replay.Revocation, until time.Time, cfg *config.Config) *revoked {
	told := &revoked{Issuer: named.Issuer, Client: string(named.Client), Until: until.UTC().Truncate(time.Second), Store: cfg.Replay.Revocations}
	switch {
	case named.ID != "":
		told.Tokens = "one"
	case named.Subject != "" && named.Client != "":
		told.Tokens = "subject_and_client"
	case named.Subject != "":
		told.Tokens = "subject"
	case named.Client != "":
		told.Tokens = "client"
	default:
		told.Tokens = "all"
	}
	if !named.IssuedBefore.IsZero() {
		before := named.IssuedBefore.UTC().Truncate(time.Second)
		told.IssuedBefore = &before
	}
	if server := cfg.Replay.Redis; server != nil {
		told.Store = server.Address
	}
	return told
}

// whose are the tokens in words.
func (r *revoked) whose() string {
	switch r.Tokens {
	case "one":
		return "one token of " + r.Issuer
	case "subject":
		return "tokens of " + r.Issuer + " for one subject"
	case "client":
		return "tokens of " + r.Issuer + " for the client " + r.Client
	case "subject_and_client":
		return "tokens of " + r.Issuer + " for one subject, through the client " + r.Client
	}
	return "all tokens of " + r.Issuer
}

// write tells it to a person. How many processes heed it is not known here.
func (r *revoked) write(to io.Writer) error {
	issued := ", whenever issued"
	if r.Tokens == "one" {
		issued = ""
	} else if r.IssuedBefore != nil {
		issued = ", issued until " + r.IssuedBefore.Format(time.RFC3339)
	}
	_, err := fmt.Fprintf(to, "revoked: %s%s\nuntil %s, within a second in every Countersign that follows %s\n",
		visible(r.whose()), issued, r.Until.Format(time.RFC3339), r.Store)
	return err
}
