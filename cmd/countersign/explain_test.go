package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// scriptTime is when the requests of testdata/explain come.
var scriptTime = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// TestExplainScripts explains requests to the demo bank. Each script begins in a folder
// with the bank, and makes its requests with ask.
func TestExplainScripts(t *testing.T) { bankScripts(t, "testdata/explain") }

// TestReplayScripts decides again what scripts recorded with decided.
func TestReplayScripts(t *testing.T) { bankScripts(t, "testdata/replay") }

func bankScripts(t *testing.T, dir string) {
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			made, err := openBank(env.WorkDir)
			env.Values["bank"] = made
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "ask": ask, "steady": steady, "decided": decided, "abandon": abandon, "swap": swap,
		},
		UpdateScripts: *update,
	})
}

// openBank makes the demo bank, as it is at scriptTime, and its configuration.
func openBank(dir string) (*bank.Bank, error) {
	made, err := openBankAt(dir, scriptTime)
	if err != nil {
		return nil, err
	}
	database, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "bank.db"))
	if err != nil {
		return nil, err
	}
	_, err = database.Exec(`update consents set expires_at = '2027-01-01T00:00:00Z' where expires_at is not null`)
	return made, errors.Join(err, database.Close())
}

func openBankAt(dir string, at time.Time) (*bank.Bank, error) {
	made, err := bank.Open(dir, at)
	if err != nil {
		return nil, err
	}
	text, err := made.Configuration("", 0, 0)
	if err != nil {
		return nil, err
	}
	return made, os.WriteFile(filepath.Join(dir, "countersign.yaml"), []byte(text), 0o600)
}

// ask makes request.json, a CheckRequest, of a file that is a story's request, and of
// one that is its body.
func ask(script *testscript.TestScript, _ bool, args []string) {
	story := bank.Story{Ask: bank.Ask{Listener: bank.MTLS}}
	script.Check(json.Unmarshal([]byte(script.ReadFile(args[0])), &story.Ask))
	if len(args) > 1 {
		story.Body = []byte(script.ReadFile(args[1]))
	}
	request, err := story.Request(script.Value("bank").(*bank.Bank), "")
	script.Check(err)
	script.Check(writeCheck(script.MkAbs("request.json"), request))
}

func writeCheck(file string, request *authz.Request) error {
	text, err := json.Marshal(checkRequest(request))
	return errors.Join(err, os.WriteFile(file, text, 0o600))
}

// checkRequest is the request as Envoy sends it, in protojson's form.
func checkRequest(request *authz.Request) any {
	headers := map[string]string{":method": request.Method, ":path": request.Target}
	for _, field := range request.Headers {
		headers[field.Name] = field.Value
	}
	http := map[string]any{
		"method": request.Method, "scheme": request.Scheme, "host": request.Host, "path": request.Target,
		"headers": headers, "raw_body": request.Body,
	}
	return map[string]any{"attributes": map[string]any{
		"source": map[string]any{
			"address":   map[string]any{"socket_address": map[string]any{"address": request.Address, "port_value": 41000}},
			"principal": request.Principal, "certificate": request.Certificate,
		},
		"request":            map[string]any{"time": scriptTime, "http": http},
		"context_extensions": map[string]string{"countersign.api": string(request.API)},
	}}
}

// varying is what differs from run to run.
var varying = regexp.MustCompile(`(?m)((?:revision|thumbprint|x5t#S256(?:"\])? |cnf\.jkt|dpop-nonce|pseudonyms|pseudonym|candidate|^ +input|took) +)[^\s,]+` +
	`|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// libraryLines are where the standard library's rules stand, and allRules what all rules
// of a policy say; TestAllRulesAreTold holds that of a small one.
var (
	libraryLines = regexp.MustCompile(`(\(standard library\)/\w+\.rego:)\d+`)
	allRules     = regexp.MustCompile(`(?s)(\n(?:the policy's|its) rules\n).*?\n\n`)
)

// steady writes the last command's output to the file told, without what varies.
func steady(script *testscript.TestScript, _ bool, _ []string) {
	text := varying.ReplaceAllString(script.ReadFile("stdout"), "${1}…")
	text = libraryLines.ReplaceAllString(text, "${1}…")
	text = allRules.ReplaceAllString(text, "${1}  …\n\n")
	script.Check(os.WriteFile(script.MkAbs("told"), []byte(text), 0o600))
}

// asked is a folder with the bank, its configuration, and request.json.
func asked(t *testing.T, ask bank.Ask) (file string, made *bank.Bank, request *authz.Request) {
	t.Helper()
	dir := t.TempDir()
	made, err := openBank(dir)
	if err != nil {
		t.Fatal(err)
	}
	story := bank.Story{Ask: ask}
	if request, err = story.Request(made, ""); err != nil {
		t.Fatal(err)
	}
	if err := writeCheck(filepath.Join(dir, "request.json"), request); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "countersign.yaml"), made, request
}

var annAsks = bank.Ask{Method: "GET", Path: "/accounts/22289", Listener: bank.MTLS, Certificate: bank.Acme,
	Headers: map[string]string{"cookie": "theme=dark; sid=session-of-ann-0001", "dpop": "proof-header.proof-payload.proof-signature"},
	Token:   bank.Token{As: "ann"}}

// explainAt runs explain of the request beside a configuration, which must be done.
func explainAt(t *testing.T, file string, more ...string) (told, log string) {
	t.Helper()
	var out, faults bytes.Buffer
	args := append([]string{"explain", "--config", file, "--at", scriptTime.Format(time.RFC3339)}, more...)
	args = append(args, filepath.Join(filepath.Dir(file), "request.json"))
	if code := run(t.Context(), args, world{environ: os.LookupEnv, stdout: &out, stderr: &faults}); code != exitOK {
		t.Fatalf("explain exits %d:\n%s", code, faults.String())
	}
	return out.String(), faults.String()
}

// repeating is a policy that tells all the credentials that it can find.
const repeating = `package bank

headers := input.attributes.request.http.headers

token := split(headers.authorization, " ")[1]

decision := {
	"allowed": ALLOWED,
	"reason": "closed",
	"detail": sprintf("token %s signature %s headers %v", [token, io.jwt.decode(token)[2], headers]),
	"headers": {"x-told": token, "set-cookie": "sid=new-session-of-ann"},
	"body": headers.authorization,
}
`

// TestExplainTellsNoCredential explains a request whose policy repeats the token, its
// parts, the proof and the cookie wherever it can.
func TestExplainTellsNoCredential(t *testing.T) {
	for _, allowed := range []string{"true", "false"} {
		for _, output := range []string{"text", "json"} {
			t.Run(allowed+" "+output, func(t *testing.T) {
				file, _, request := asked(t, annAsks)
				rewrite(t, file, "openbanking.decision", "bank.decision")
				write(t, filepath.Join(filepath.Dir(file), "policy", "bank.rego"), strings.Replace(repeating, "ALLOWED", allowed, 1))
				told, _ := explainAt(t, file, "--all", "--output", output)
				if !strings.Contains(told, "token [credential] signature [credential]") {
					t.Errorf("the policy's detail is not told without its credentials:\n%s", told)
				}
				credential, _ := request.Headers.Value("authorization")
				parts := strings.Split(strings.TrimPrefix(credential, "Bearer "), ".")
				signature, err := base64.RawURLEncoding.DecodeString(parts[2])
				if err != nil {
					t.Fatal(err)
				}
				for _, secret := range append(parts, hex.EncodeToString(signature), "session-of-ann", "proof-header", "proof-payload", "proof-signature") {
					if strings.Contains(told, secret) {
						t.Errorf("%q is told:\n%s", secret, told)
					}
				}
			})
		}
	}
}

// TestExplainOfATokenInTheQueryDoesNotTellIt holds the place where a token never belongs.
func TestExplainOfATokenInTheQueryDoesNotTellIt(t *testing.T) {
	file, _, _ := asked(t, bank.Ask{Method: "GET", Path: "/accounts/22289?access_token=not-a-real-token"})
	told, _ := explainAt(t, file)
	if !strings.Contains(told, "malformed_credentials") || strings.Contains(told, "not-a-real-token") {
		t.Errorf("explain tells the token, or not why it is refused:\n%s", told)
	}
}

// TestExplainWritesNothing explains where Countersign never served.
func TestExplainWritesNothing(t *testing.T) {
	file, made, _ := asked(t, annAsks)
	issuer := httptest.NewServer(made.Issuer)
	defer issuer.Close()
	for _, keys := range []string{"{file: jwks.json}", "{url: " + issuer.URL + "}"} {
		rewrite(t, file, "{file: jwks.json}", keys)
		before := tree(t, made.Dir)
		if told, log := explainAt(t, file); !strings.HasPrefix(told, "ALLOWED\n") || log != "" {
			t.Errorf("explain with keys of %s tells\n%s%s\nwant ALLOWED", keys, told, log)
		}
		if diff := cmp.Diff(before, tree(t, made.Dir)); diff != "" {
			t.Errorf("files (-before +after):\n%s", diff)
		}
	}
}

// TestExplainBesideServe explains while another Countersign serves from the same folder
// and the issuer is down: the keys are those that it has kept.
func TestExplainBesideServe(t *testing.T) {
	file, made, _ := asked(t, annAsks)
	issuer := httptest.NewServer(made.Issuer)
	defer issuer.Close()
	rewrite(t, file, "{file: jwks.json}", "{url: "+issuer.URL+"}")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s := start(ctx, t, file, world{})
	eventually(t, "it is ready and keeps the keys", func() bool {
		kept, err := filepath.Glob(filepath.Join(made.Dir, "state", "keys", "*.jwks.json"))
		return err == nil && len(kept) == 1 && status(t, s.console+"/readyz") == http.StatusOK
	})
	issuer.Close()
	before := tree(t, made.Dir)
	told, log := explainAt(t, file)
	if !strings.HasPrefix(told, "ALLOWED\n") || !strings.Contains(log, "keys could not be refreshed") {
		t.Errorf("explain tells\n%s%s\nwant ALLOWED, and that keys could not be refreshed", told, log)
	}
	if diff := cmp.Diff(before, tree(t, made.Dir)); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
	stop()
	s.wantEnd(t)
}

// TestExplainWithoutKeys says what would be said of the request.
func TestExplainWithoutKeys(t *testing.T) {
	file, made, _ := asked(t, annAsks)
	issuer := httptest.NewServer(made.Issuer)
	issuer.Close()
	rewrite(t, file, "{file: jwks.json}", "{url: "+issuer.URL+"}")
	if told, _ := explainAt(t, file); !strings.HasPrefix(told, "DENIED  503 keys_unavailable, by the step \"token\"\n") {
		t.Errorf("explain without keys tells\n%s", told)
	}
}

// TestExplainRefusesAFolderOpenToOthers does not take keys that anybody could have put
// there, as serve does not.
func TestExplainRefusesAFolderOpenToOthers(t *testing.T) {
	file, made, _ := asked(t, annAsks)
	state := filepath.Join(made.Dir, "state")
	if err := os.Chmod(state, 0o777); err != nil {
		t.Fatal(err)
	}
	var out, faults bytes.Buffer
	request := filepath.Join(made.Dir, "request.json")
	code := run(t.Context(), []string{"explain", "--config", file, request}, world{environ: os.LookupEnv, stdout: &out, stderr: &faults})
	if code != exitWrong || !strings.Contains(faults.String(), "can be written to by others; chmod go-w it") {
		t.Errorf("explain exits %d and says %q, want %d and that the folder is open", code, faults.String(), exitWrong)
	}
}

// TestExplainSaysWhatIsSlow tells of a check that serve would have given up.
func TestExplainSaysWhatIsSlow(t *testing.T) {
	file, _, _ := asked(t, annAsks)
	rewrite(t, file, "region: GB", "timeout: 1ns\nregion: GB")
	told, _ := explainAt(t, file)
	if !strings.HasPrefix(told, "ALLOWED\n") || !strings.Contains(told, "; a check that is served is refused after 1ns at most (timeout)\n") {
		t.Errorf("explain tells\n%s\nwant ALLOWED, and that it is refused after 1ns", told)
	}
}

func TestExplainReadsNoRequestWithoutEnd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "request.json")
	write(t, file, "")
	if err := os.Truncate(file, maxRequest+1); err != nil {
		t.Fatal(err)
	}
	if _, err := readCall(file, nil); err == nil || !strings.HasSuffix(err.Error(), "request.json: is over 16 MiB; give one request, with as much of its body as Envoy sends") {
		t.Errorf("readCall() = %v, want that it is too large", err)
	}
}

// TestFactsAreShownAsTheyAre holds that no value moves the cursor, hides itself or is
// taken for two.
func TestFactsAreShownAsTheyAre(t *testing.T) {
	tests := []struct {
		name   string
		values []string
		want   string
	}{
		{"values", []string{"22289", "the caller's"}, "22289, the caller's"},
		{"one that could be two", []string{"22289, the caller's", "not the caller's"}, `"22289, the caller's", not the caller's`},
		{"one that looks quoted", []string{`"a", b`}, `"\"a\", b"`},
		{"what moves the cursor", []string{"a\x1b[2Jb\tc\r\n"}, `"a\x1b[2Jb\tc\r\n"`},
		{"what turns the text around", []string{"a\u202eb"}, `"a\u202eb"`},
		{"blanks around it", []string{" a "}, `" a "`},
		{"letters of other scripts", []string{"Zoë 山"}, "Zoë 山"},
		{"one that is long", []string{strings.Repeat("é", maxShown)}, strings.Repeat("é", maxShown/2) + "…"},
		{"many", strings.Split(strings.Repeat("a", maxValues+3), ""), strings.Repeat("a, ", maxValues) + "and 3 more"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := (fact{"name", test.values}).list(); got != test.want {
				t.Errorf("list() = %s, want %s", got, test.want)
			}
		})
	}
}

// tree is what lies in a folder: folders, and files with what they hold and when they
// were written.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil || entry.IsDir() {
			found[path] = info.Mode().String()
			return err
		}
		content, err := os.ReadFile(path)
		found[path] = fmt.Sprint(info.Mode(), info.ModTime(), sha256.Sum256(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
