package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-io/countersign/authz/audit"
	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// secretsOf are what must show nowhere of a request's token and proof: payload and
// signature. Of what is no token, such as a story may send, all words that are long.
func secretsOf(request *http.Request) []string {
	var secrets []string
	for _, name := range []string{"Authorization", "DPoP"} {
		for _, value := range request.Header.Values(name) {
			parts := strings.FieldsFunc(value, func(c rune) bool { return c == '.' || c == ' ' || c == ',' })
			for _, part := range parts[1:] {
				if len(part) >= 16 {
					secrets = append(secrets, part)
				}
			}
		}
	}
	return secrets
}

// TestNothingTellsATokenOrAProof tells every story, and looks for what it sent in all
// that is answered, logged, recorded and traced.
func TestNothingTellsATokenOrAProof(t *testing.T) {
	stack := startBank(t, bank.Options{})
	var secrets []string
	for _, story := range stories(t) {
		request, client, err := story.HTTP(t.Context(), stack)
		if err != nil {
			t.Fatal(err)
		}
		own := secretsOf(request)
		secrets = append(secrets, own...)
		response, err := client.Do(request)
		if err != nil {
			t.Fatalf("%s: %v", story.Name, err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatalf("%s: %v", story.Name, err)
		}
		wantNone(t, story.Name+"'s answer", fmt.Sprint(response.Header, string(body)), own)
	}
	if len(secrets) < 150 {
		t.Errorf("%d secrets were sent, want 150 at least", len(secrets))
	}
	wantNone(t, "the metrics", page(t, stack.Admin+"/metrics"), secrets)
	if spans := wantNoneLeft(t, stack, secrets, ""); spans < 100 {
		t.Errorf("%d spans arrived, want 100 at least", spans)
	}
}

// wantNoneLeft ends the bank, and looks into all that is left behind: the spans of which
// records tell, but those of one service, and files. It returns how many spans those are.
func wantNoneLeft(t *testing.T, stack *bank.Stack, secrets []string, but string) (spans int) {
	t.Helper()
	if err := stack.Close(); err != nil {
		t.Fatal(err)
	}
	for line, err := range audit.Lines(stack.Records()) {
		if err != nil {
			t.Fatal(err)
		}
		var record struct{ TraceID string }
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatal(err)
		}
		for _, span := range stack.Collector.Trace(record.TraceID) {
			if span.Service != but {
				spans++
				wantNone(t, "a span of "+span.Service, fmt.Sprintf("%+v", span), secrets)
			}
		}
	}
	wantNoneInFiles(t, stack.Bank.Dir, secrets)
	return spans
}

// wantNoneInFiles looks into logs, records and all else that a run leaves behind.
func wantNoneInFiles(t *testing.T, dir string, secrets []string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		wantNone(t, entry.Name(), string(content), secrets)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Errorf("%d files were looked into, want 10 at least", files)
	}
}

func wantNone(t *testing.T, where, text string, secrets []string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%s holds what was sent: %.12s…", where, secret)
		}
	}
}
