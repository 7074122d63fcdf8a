package main

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// TestTokenScripts checks tokens of the demo bank. Each script begins in a folder with
// the bank, and makes what is checked with issue.
func TestTokenScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/token",
		Setup: func(env *testscript.Env) error {
			made, err := openBank(env.WorkDir)
			env.Values["bank"] = made
			return err
		},
		Cmds:          map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "issue": issue, "steady": steady, "swap": swap},
		UpdateScripts: *update,
	})
}

// issue makes token.jwt, proof.jwt and client.pem of a file that is a story's request.
func issue(script *testscript.TestScript, _ bool, args []string) {
	story := bank.Story{Ask: bank.Ask{Listener: bank.MTLS}}
	script.Check(json.Unmarshal([]byte(script.ReadFile(args[0])), &story.Ask))
	request, err := story.Request(script.Value("bank").(*bank.Bank), "")
	script.Check(err)
	credential, _ := request.Headers.Value("authorization")
	_, token, _ := strings.Cut(credential, " ")
	proof, _ := request.Headers.Value("dpop")
	certificate, err := url.PathUnescape(request.Certificate)
	script.Check(err)
	for name, text := range map[string]string{"token.jwt": token, "proof.jwt": proof, "client.pem": certificate} {
		script.Check(os.WriteFile(script.MkAbs(name), []byte(text+"\n"), 0o600))
	}
}

// TestTokenTellsNoSignatureAndNoProof checks a token with a proof, refused and accepted.
func TestTokenTellsNoSignatureAndNoProof(t *testing.T) {
	for _, nonce := range []string{"true", "false"} {
		for _, output := range []string{"text", "json"} {
			file, _, request := proven(t)
			rewrite(t, file, "nonce: true", "nonce: "+nonce)
			told := checked(t, file, "--output", output)
			if !strings.Contains(told, "acme") {
				t.Errorf("the token's claims are not told:\n%s", told)
			}
			credential, _ := request.Headers.Value("authorization")
			proof, _ := request.Headers.Value("dpop")
			secrets := append(strings.Split(strings.TrimPrefix(credential, "DPoP "), "."), strings.Split(proof, ".")...)
			for _, secret := range secrets {
				if strings.Contains(told, secret) {
					t.Errorf("%q is told:\n%s", secret, told)
				}
			}
		}
	}
}

var annProves = bank.Ask{Method: "GET", Path: "/accounts/22289", Listener: bank.MTLS,
	Token: bank.Token{As: "ann", Bound: "key"}, Proof: &bank.Proof{Claims: map[string]any{"iat": scriptTime.Unix()}}}

// proven is asked, with the token and its proof in files.
func proven(t *testing.T) (file string, made *bank.Bank, request *authz.Request) {
	t.Helper()
	file, made, request = asked(t, annProves)
	for name, header := range map[string]string{"token.jwt": "authorization", "proof.jwt": "dpop"} {
		value, _ := request.Headers.Value(header)
		write(t, filepath.Join(made.Dir, name), value)
	}
	return file, made, request
}

// checked is what token tells of the token beside a configuration, to both outputs.
func checked(t *testing.T, file string, more ...string) string {
	t.Helper()
	dir := filepath.Dir(file)
	args := append([]string{"token", "--config", file, "--at", scriptTime.Format(time.RFC3339),
		"--url", bank.Origin + annProves.Path, "--proof", filepath.Join(dir, "proof.jwt")}, more...)
	var out bytes.Buffer
	if code := run(t.Context(), append(args, filepath.Join(dir, "token.jwt")), world{environ: os.LookupEnv, stdout: &out, stderr: &out}); code == exitWrong {
		t.Fatalf("token exits %d:\n%s", code, out.String())
	}
	return out.String()
}

// TestTokenWritesNothing checks a token where Countersign never served.
func TestTokenWritesNothing(t *testing.T) {
	file, made, _ := proven(t)
	before := tree(t, made.Dir)
	checked(t, file)
	if diff := cmp.Diff(before, tree(t, made.Dir)); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
}
