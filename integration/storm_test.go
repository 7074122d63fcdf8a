package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

const (
	// swapEvery is how often the files are swapped, and atOneTime over how many
	// connections is asked meanwhile.
	swapEvery = 100 * time.Millisecond
	atOneTime = 50
	// swapsInBurst is odd, so that a burst ends with the edition that it began with, and
	// two bursts have both in force.
	swapsInBurst = 5
	fewestBursts = 4
)

// edition is a state of the files that are swapped together: policy, contract and keys.
type edition struct {
	files fstest.MapFS
	// revision is known once the edition was in force.
	revision string
}

// storm is a bank whose files lie behind one link, as in a mounted ConfigMap: one rename
// swaps them all, and the files themselves never change.
type storm struct {
	stack     *bank.Stack
	dir       string
	editions  [2]edition
	questions []question
	// pool are requests that are sent again and again, so that their tokens are remembered.
	pool        []asked
	client      *http.Client
	connections atomic.Int64
	asks        atomic.Int64
	swaps       int
	// called is how often the upstream had been called before the storm, by question.
	called map[string]int
}

// asked is a question's request, and told an answer to it.
type asked struct {
	question question
	request  *http.Request
}

type told struct {
	answer
	question question
}

func startStorm(t *testing.T) *storm {
	t.Helper()
	s := &storm{dir: t.TempDir(), questions: questions(), called: map[string]int{}}
	s.stack = startBank(t, patient(bank.Options{Dir: s.dir, Configure: func(configuration string) string {
		s.mount(t)
		found := regexp.MustCompile(`jwks: \{url: .*\}`).FindString(configuration)
		return changed(t, configuration, found, "jwks: {file: jwks.json}")
	}}))
	s.editions[0].revision = s.inForce(t)
	for i := range atOneTime * len(s.questions) {
		question := s.questions[i%len(s.questions)]
		story := bank.Story{Name: question.name, Ask: bank.Ask{Method: http.MethodGet, Path: question.path,
			Listener: bank.MTLS, Certificate: bank.Acme, Token: question.token}}
		request, _, err := story.HTTP(t.Context(), s.stack)
		if err != nil {
			t.Fatal(err)
		}
		s.pool = append(s.pool, asked{question, request})
	}
	s.keepConnections()
	return s
}

// keepConnections makes the client: all its requests go over atOneTime connections.
func (s *storm) keepConnections() {
	s.client = s.stack.Client(bank.Acme)
	transport := s.client.Transport.(*http.Transport)
	transport.ForceAttemptHTTP2, transport.DisableKeepAlives = false, false
	transport.MaxConnsPerHost, transport.MaxIdleConnsPerHost = atOneTime, atOneTime
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		s.connections.Add(1)
		return dial(ctx, network, address)
	}
}

// mount makes the editions of what lies in the bank's folder, and puts links to the first
// in its place.
func (s *storm) mount(t *testing.T) {
	t.Helper()
	first, second := fstest.MapFS{}, fstest.MapFS{}
	for _, name := range []string{"openapi.yaml", "policy/site.rego", "policy/openbanking.rego", "policy/data.json", "jwks.json"} {
		text, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		first[name] = &fstest.MapFile{Data: text, Mode: 0o600}
		second[name] = &fstest.MapFile{Data: []byte(amended(t, name, string(text))), Mode: 0o600}
	}
	s.editions[0].files, s.editions[1].files = first, second
	if err := s.place(0, 0); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"openapi.yaml", "policy", "jwks.json"} {
		path := filepath.Join(s.dir, name)
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("live", name), path); err != nil {
			t.Fatal(err)
		}
	}
}

// amended is the second edition of a file.
func amended(t *testing.T, name, text string) string {
	t.Helper()
	switch name {
	case "openapi.yaml":
		text = changed(t, text, "\n  /transactions:\n", "\n  /movements:\n")
		const scopes = "summary: The accounts that the customer let the client see\n      security: [{PSUOAuth2Security: ["
		return changed(t, text, scopes+"accounts]}]", scopes+"payments]}]")
	case "policy/site.rego":
		return text + `
# METADATA
# title: Who the customer is, is told nobody for now
# custom:
#   reason: party_closed
deny contains "party_closed" if input.operation.id == "GetParty"
`
	case "jwks.json":
		var set struct {
			Keys []map[string]string `json:"keys"`
		}
		if err := json.Unmarshal([]byte(text), &set); err != nil {
			t.Fatal(err)
		}
		if len(set.Keys) != 2 || set.Keys[1]["alg"] != bank.PS256 {
			t.Fatalf("keys are %v, want the second of two to be for %s", set.Keys, bank.PS256)
		}
		set.Keys = set.Keys[:1]
		kept, err := json.Marshal(set)
		if err != nil {
			t.Fatal(err)
		}
		return string(kept)
	}
	return text
}

// swap puts an edition's files in place of those that are there, all at once, and says so.
// The keys are of the edition named second.
func (s *storm) swap(t *testing.T, next, keys int) {
	t.Helper()
	if err := errors.Join(s.place(next, keys), s.stack.ReloadCountersign()); err != nil {
		t.Fatal(err)
	}
}

func (s *storm) place(next, keys int) error {
	s.swaps++
	folder := func(swap int) string { return fmt.Sprintf("edition-%d", swap) }
	files := maps.Clone(s.editions[next].files)
	files["jwks.json"] = s.editions[keys].files["jwks.json"]
	if err := os.CopyFS(filepath.Join(s.dir, folder(s.swaps)), files); err != nil {
		return err
	}
	link := filepath.Join(s.dir, "next")
	if err := os.Symlink(folder(s.swaps), link); err != nil {
		return err
	}
	if err := os.Rename(link, filepath.Join(s.dir, "live")); err != nil {
		return err
	}
	// Whoever is reading the one before may go on.
	return os.RemoveAll(filepath.Join(s.dir, folder(s.swaps-2)))
}

// settle puts an edition in force, with its keys or the other's, and asks every question
// with nothing else going on.
func (s *storm) settle(t *testing.T, edition, keys int) {
	t.Helper()
	s.swap(t, edition, keys)
	other := s.editions[1-edition].revision
	eventually(t, "the other edition in force", func() bool { return s.inForce(t) != other })
	settled := &s.editions[edition]
	if revision := s.inForce(t); settled.revision == "" {
		settled.revision = revision
	} else if revision != settled.revision {
		t.Fatalf("revision %q in force, want %q", revision, settled.revision)
	}
	for i, asked := range s.pool[:len(s.questions)] {
		want := asked.question.want[edition]
		if asked.question.keyed {
			want = asked.question.want[keys]
			eventually(t, "the keys in force", func() bool { return toldAs(s.askQuietly(t, i)) == want })
		}
		if got := toldAs(s.askQuietly(t, i)); got != want {
			t.Errorf("%s: edition %d answers %+v, want %+v", asked.question.name, edition, got, want)
		}
	}
}

func (s *storm) askQuietly(t *testing.T, i int) answer {
	t.Helper()
	got, err := s.ask(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	return got.answer
}

func (s *storm) ask(ctx context.Context, i int) (told, error) {
	next := s.pool[i%len(s.pool)]
	s.asks.Add(1)
	got, err := send(s.client, next.request.Clone(ctx))
	return told{got, next.question}, err
}

// rage asks at least so many requests while the editions take turns.
func (s *storm) rage(t *testing.T, requests int) []told {
	t.Helper()
	for _, question := range s.questions {
		s.called[question.name] = s.stack.Upstream.Calls(question.name)
	}
	var enough atomic.Bool
	all := s.askOn(t.Context(), requests, &enough)
	for bursts := 1; ; bursts++ {
		s.swapFast(t, bursts%2)
		enough.Store(bursts >= fewestBursts)
		select {
		case got := <-all:
			if got.fault != nil {
				t.Fatal(got.fault)
			}
			t.Logf("%d requests, %d swaps, %d of them in force for a time", len(got.answers), s.swaps, s.reloads(t))
			return got.answers
		default:
		}
	}
}

// swapFast swaps editions at every tick, and ends with the one that is named in force. Of
// swaps so fast, most come while the last is being read, which has to be given up.
func (s *storm) swapFast(t *testing.T, last int) {
	t.Helper()
	tick := time.NewTicker(swapEvery)
	defer tick.Stop()
	for i := range swapsInBurst {
		<-tick.C
		s.swap(t, (last+i)%2, (last+i)%2)
	}
	eventually(t, "the last edition in force", func() bool { return s.inForce(t) == s.editions[last].revision })
}

// gathered is what came of many requests.
type gathered struct {
	answers []told
	fault   error
}

// askOn asks atOneTime requests side by side, until there are so many answers and enough
// of what goes on meanwhile.
func (s *storm) askOn(ctx context.Context, requests int, enough *atomic.Bool) <-chan gathered {
	answers, faults := make([][]told, atOneTime), make([]error, atOneTime)
	var asking sync.WaitGroup
	for first := range atOneTime {
		asking.Go(func() {
			for i := first; faults[first] == nil && (i < requests || !enough.Load()); i += atOneTime {
				var got told
				got, faults[first] = s.ask(ctx, i)
				answers[first] = append(answers[first], got)
			}
		})
	}
	all := make(chan gathered, 1)
	go func() {
		asking.Wait()
		all <- gathered{slices.Concat(answers...), errors.Join(faults...)}
	}()
	return all
}

// inForce is the revision in force, and reloads is how often that changed.
func (s *storm) inForce(t *testing.T) string {
	t.Helper()
	return s.metric(t, `countersign_snapshot_info\{revision="(\w+)"\} 1\n`)
}

func (s *storm) reloads(t *testing.T) int {
	t.Helper()
	count, err := strconv.Atoi(s.metric(t, `countersign_reloads_total\{result="loaded"\} (\d+)\n`))
	if err != nil {
		t.Fatal(err)
	}
	return count
}

func (s *storm) metric(t *testing.T, pattern string) string {
	t.Helper()
	metrics := page(t, s.stack.Admin+"/metrics")
	found := regexp.MustCompile(pattern).FindStringSubmatch(metrics)
	if found == nil {
		t.Fatalf("metrics have no %s:\n%s", pattern, strings.TrimSpace(metrics))
	}
	return found[1]
}
