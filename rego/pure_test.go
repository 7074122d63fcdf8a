package rego

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// varied asks for whatever could come out otherwise another time: the clock, randomness,
// the zone, and the order of what has none.
const varied = `
sets := {{"of", n} | some n in numbers.range(1, 40)}

facts contains [path, value] if walk(input, [path, value])

by_key[k] contains v if {
	some _, section in input
	some k, v in section
}

edges[n] contains m if {
	some n in numbers.range(1, 12)
	some m in [(n * 7) % 12, (n * 5) % 12]
}

listed := [[k, v] | some k, v in by_key]

verified := crypto.x509.parse_and_verify_certificates_with_options(data.chain, {
	"CurrentTime": time.now_ns(), "KeyUsages": {"KeyUsageClientAuth", "KeyUsageServerAuth", "KeyUsageAny"},
})

zones[name] := [time.clock([time.now_ns(), name]), time.date([time.now_ns(), name]), time.format([time.now_ns(), name, "RFC850"])] if {
	some name in ["Local", "Europe/London", "America/New_York", "Asia/Tokyo"]
}

drawn := {
	"time": time.now_ns(), "luck": [rand.intn(sprintf("%d", [i]), 1000000) | some i in numbers.range(1, 20)],
	"ids": {uuid.rfc4122(sprintf("%d", [i])) | some i in numbers.range(1, 20)}, "parsed": uuid.parse(uuid.rfc4122("1")),
}

texts := {
	"marshalled": json.marshal(sets), "document": json.marshal(input), "yaml": yaml.marshal(by_key),
	"pretty": json.marshal_with_options({"a": sets, "b": by_key}, {"pretty": true}),
	"printed": sprintf("%v %s %d %p", [sets, by_key, 7, facts]), "joined": concat(",", {k | some k, _ in by_key; is_string(k)}),
	"query": urlquery.encode_object({"a": {"x", "y", "z"}, "b": "c", "c": ["d", "e"]}),
	"replaced": strings.replace_n({"a": "b", "b": "c", "c": "a"}, "abcabc"), "template": $"{sets} and {by_key}",
	"zone": time.parse_ns("2006-01-02 15:04 MST", "2026-07-02 15:04 CEST"),
}

others := {
	"reached": graph.reachable(graph_of, {1, 5}), "ways": graph.reachable_paths(graph_of, {1, 5}),
	"merged": net.cidr_merge(["10.0.0.0/9", "10.128.0.0/9", "192.0.2.0/25", "192.0.2.128/25"]), "expanded": net.cidr_expand("192.0.2.0/28"),
	"union": object.union_n([{"a": sets}, {"b": facts}, {"a": by_key}]), "sum": sum({1.1, 2.2, 3.3, 1e100, -1e100}),
	"parsed": rego.parse_module("a.rego", "package a\nimport rego.v1\np contains x if { some x in {1, 2, 3} }"),
	"graphql": graphql.parse("{ a { b c } }", "type Query { a: A } type A { b: String c: Int }"),
	"certificates": crypto.x509.parse_certificates(data.chain), "keys": object.keys(input),
	"signed": providers.aws.sign_req({"method": "get", "url": "https://a.example/b?c=d", "headers": {"x": "y", "a": "b"}},
		{"aws_access_key": "a", "aws_secret_access_key": "a secret that is long enough to be one", "aws_service": "s3", "aws_region": "eu"}, time.now_ns()),
	"token": io.jwt.decode_verify(data.token, {"secret": "a secret that is long enough to be one", "alg": "HS256"}),
}

graph_of := {n: nodes | some n, nodes in edges}

headers := {sprintf("x-%s", [k]): {sprintf("%v", [count(v)]), "b", "a"} | some k, v in by_key; k in {"kind", "id", "path", "method"}}

decision := {
	"allowed": verified[0], "detail": sprintf("%d %v", [count(facts), listed]),
	"headers": headers, "response_headers_to_add": [{"x-a": "1", "x-0": "2"}, {"x-a": {"3", "2"}}],
	"request_headers_to_remove": {"x-c", "x-b", "x-a"}, "query_parameters_to_set": {"b": {"2", "1"}, "a": "0"},
	"query_parameters_to_remove": {"z", "y"}, "refusals": {"b", "a", {"c": "account:1"}}, "waived": {"e", "d"},
	"limits": {{"key": sprintf("%d", [n]), "max": n, "window": 1000000000} | some n in {3, 2, 1}},
	"dynamic_metadata": {
		"sets": sets, "facts": facts, "by key": by_key, "listed": listed, "verified": verified, "zones": zones, "drawn": drawn,
		"texts": texts, "others": others, "document": input,
	},
}
`

// failing has several rules that fail at once, for reasons of several kinds.
const failing = `
notes contains note if { some object in input.objects; note := to_number(object.id) / (count(object.where) - count(object.where)) }

notes contains note if note := to_number(input.caller.subject)

notes contains note if note := time.parse_ns("2006", input.caller.client)

kinds[k] := v if { some v in ["a", "b"]; some k in ["c", "d"]; input.caller.kind != v }

decision := {"allowed": count(notes) > count(kinds)}
`

// placed asks where a number stands in memory, and decides by it.
const placed = `
place := sprintf("%p", [123456789012345678901234567890])

decision := {"allowed": endswith(place, "0"), "detail": place}
`

// variedData is what varied reads of data: made here, the same in every process.
func variedData(t *testing.T) string {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Minute)}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: root.NotBefore, NotAfter: root.NotAfter}
	var chain []byte
	for _, certificate := range []*x509.Certificate{root, leaf} {
		der, err := x509.CreateCertificate(nil, certificate, root, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"HS256"}`)) + "." + encode(fmt.Appendf(nil, `{"exp":%d}`, now.Add(time.Minute).Unix()))
	mac := hmac.New(sha256.New, []byte("a secret that is long enough to be one"))
	mac.Write([]byte(signed))
	data, err := json.Marshal(map[string]any{
		"chain": string(chain), "token": signed + "." + encode(mac.Sum(nil)),
		"keys": []string{"caller", "kind", "region", "service"}, "handed": map[string]any{},
		"roles": map[string]any{"customer": []string{"read_balances"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// pureFolders are policies, by name, for engines and peers to be made of anew.
func pureFolders(t *testing.T) map[string]string {
	t.Helper()
	folders := map[string]string{"standard": write(t, map[string]string{"data.json": policyData, "site.rego": "package site\n\nimport data.countersign.standard\n\ndecision := standard.decision\n"})}
	bodies := map[string]string{"varied": varied, "failing": failing, "placed": placed}
	for name, body := range reaching {
		bodies[name] = body
	}
	for name, body := range bodies {
		folders[name] = write(t, map[string]string{"site.rego": "package site\n" + body, "data.json": variedData(t)})
	}
	return folders
}

// pureSeed names an environment variable that has the seed of what is decided on.
const pureSeed = "COUNTERSIGN_PURE_SEED"

// pureRounds is on how many facts each policy decides; each run has others.
const pureRounds = 6

// folders are those that an error names a file in: a process has its own.
var folders = regexp.MustCompile(`(?:/[^/\s]+)+/`)

// outcome is all of a verdict, and the error, wherever its file is.
func outcome(t *testing.T, verdict authz.Verdict, err error) string {
	t.Helper()
	text, faulty := json.Marshal(verdict)
	if faulty != nil {
		t.Fatal(faulty)
	}
	return fmt.Sprintf("%s %s", text, folders.ReplaceAllString(fmt.Sprint(err), ""))
}

// pureFacts are random ones, the same for the same seed. What is asked for the peer's
// input is as Envoy gives it.
func pureFacts(random *rand.Rand) *authz.Facts {
	facts := randomFacts(random)
	for i := range facts.ID {
		facts.ID[i] = byte(random.Uint32())
	}
	facts.Time = facts.Time.Add(time.Duration(random.Int64N(int64(2*time.Minute))) - time.Minute/2)
	headers := map[string]any{}
	for range random.IntN(9) {
		headers[fmt.Sprintf("x-%d", random.IntN(99))] = fmt.Sprint(random.IntN(99))
	}
	facts.Request.Attributes = func() map[string]any {
		return map[string]any{"request": map[string]any{"http": map[string]any{
			"method": "GET", "path": facts.Request.Target, "headers": headers}}}
	}
	return facts
}

// TestDecisionsRepeat decides on each of many facts twice, once by an engine that was
// made anew of the same files, as after a restart, and on what was kept of them, byte for
// byte the same. COUNTERSIGN_PURE_SEED repeats a run.
func TestDecisionsRepeat(t *testing.T) {
	seed := rand.Uint64()
	if set := os.Getenv(pureSeed); set != "" {
		var err error
		if seed, err = strconv.ParseUint(set, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d", pureSeed, seed)
	fmt.Println(decidedTwice(t, seed))
}

// TestDecisionsRepeatInAnotherProcess has a process that is in another zone, another
// folder and on one core decide the same: what a map's order comes from differs, too.
func TestDecisionsRepeatInAnotherProcess(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("%s=%d", pureSeed, seed)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	again := exec.Command(program, "-test.run", "^TestDecisionsRepeat$")
	again.Dir = t.TempDir()
	again.Env = append(os.Environ(), fmt.Sprintf("%s=%d", pureSeed, seed), "TZ=Asia/Tokyo", "GOMAXPROCS=1", "LANG=C", "HOSTNAME=another")
	told, err := again.CombinedOutput()
	if want := decidedTwice(t, seed); err != nil || !strings.HasPrefix(string(told), want+"\n") {
		t.Errorf("another process: %v\n%s\nwant it to begin with %s", err, told, want)
	}
}

// decidedTwice is the SHA-256 of all that is decided with a seed.
func decidedTwice(t *testing.T, seed uint64) string {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	all := sha256.New()
	folders := pureFolders(t)
	for _, name := range slices.Sorted(maps.Keys(folders)) {
		pair := restarted(t, folders[name])
		whole := 0
		for range pureRounds {
			facts := pureFacts(random)
			verdict, err := pair.engines[0].Decide(t.Context(), facts)
			want := outcome(t, verdict, err)
			repeats(t, name, want, pair.engines[0], facts)
			repeats(t, name, want, pair.engines[1], facts)
			replaysByte(t, name, want, pair.engines, facts)
			fmt.Fprintln(all, want)
			whole += count(verdict.Reply.Metadata != nil)
			verdict, err = pair.peers[0].Decide(t.Context(), facts)
			want = outcome(t, verdict, err)
			repeats(t, name+" of a peer", want, pair.peers[0], facts)
			repeats(t, name+" of a peer", want, pair.peers[1], facts)
			fmt.Fprintln(all, want)
			whole += count(verdict.Reply.Metadata != nil)
		}
		if name == "varied" && whole != 2*pureRounds {
			t.Errorf("%d of %d decisions say all that varies", whole, 2*pureRounds)
		}
	}
	return hex.EncodeToString(all.Sum(nil))
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// policies are a policy's engines and peers, before and after a restart.
type policies struct {
	engines [2]*Engine
	peers   [2]*Peer
}

func restarted(t *testing.T, folder string) (pair policies) {
	t.Helper()
	for i := range pair.engines {
		var err, peerErr error
		pair.engines[i], err = New(Config{Path: folder, Decision: "site.decision"})
		pair.peers[i], peerErr = NewPeer(PeerConfig{Paths: []string{folder}, Decision: "site/decision"})
		if err != nil || peerErr != nil {
			t.Fatal(err, peerErr)
		}
	}
	if !bytes.Equal(pair.engines[0].Digest(), pair.engines[1].Digest()) || !bytes.Equal(pair.peers[0].Digest(), pair.peers[1].Digest()) {
		t.Fatal("the same files have two digests")
	}
	return pair
}

func replaysByte(t *testing.T, name, want string, engines [2]*Engine, facts *authz.Facts) {
	t.Helper()
	for _, everything := range []bool{false, true} {
		verdict, err := engines[1].Replay(t.Context(), *kept(t, engines[0].Inputs(everything), facts), facts.Time, facts.ID)
		if got := outcome(t, verdict, err); got != want {
			t.Fatalf("%s: replayed, whole %v:\n%s\ndecided:\n%s", name, everything, got, want)
		}
	}
}

func repeats(t *testing.T, name, want string, policy authz.Policy, facts *authz.Facts) {
	t.Helper()
	verdict, err := policy.Decide(t.Context(), facts)
	if got := outcome(t, verdict, err); got != want {
		t.Fatalf("%s: decided once\n%s\nthen\n%s", name, want, got)
	}
}
