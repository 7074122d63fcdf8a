package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// longest bounds what must come to be in the end.
const longest = 20 * time.Second

// answer is what a story's caller got.
type answer struct {
	status     int
	retryAfter string
	code       string // of Countersign's problem document; "" where there is none
	id         string // of the decision, as the caller or the upstream was told
	received   bank.Received
}

// ask sends a story's request once.
func ask(ctx context.Context, stack *bank.Stack, story bank.Story) (answer, error) {
	request, client, err := story.HTTP(ctx, stack)
	if err != nil {
		return answer{}, err
	}
	return send(client, request)
}

func send(client *http.Client, request *http.Request) (answer, error) {
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	return read(response)
}

// read takes in Countersign's problem document, or what the upstream says that it got.
func read(response *http.Response) (answer, error) {
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, err
	}
	got := answer{status: response.StatusCode, retryAfter: response.Header.Get("Retry-After")}
	switch response.Header.Get("Content-Type") {
	case "application/problem+json":
		var problem struct {
			Code string `json:"code"`
			ID   string `json:"decision_id"`
		}
		err = json.Unmarshal(body, &problem)
		got.code, got.id = problem.Code, problem.ID
	case "application/json":
		err = json.Unmarshal(body, &got.received)
		got.id = got.received.Headers["x-countersign-decision-id"]
	}
	return got, err
}

// askTogether sends the requests of all stories side by side.
func askTogether(t *testing.T, stack *bank.Stack, stories []bank.Story) []answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	answers, faults := make([]answer, len(stories)), make([]error, len(stories))
	var asking sync.WaitGroup
	for i, story := range stories {
		asking.Go(func() { answers[i], faults[i] = ask(ctx, stack, story) })
	}
	asking.Wait()
	for i, fault := range faults {
		if fault != nil {
			t.Fatalf("%s: %v", stories[i].Name, fault)
		}
	}
	return answers
}

// counted reports a story whose request counts against a limit: asked again and again, it
// is refused.
func counted(s bank.Story) bool { return s.Want.Headers["RateLimit"] != "" }

// grantedStories are those that the upstream is called for, on the word of a token, however
// often they are asked.
func grantedStories(t *testing.T) []bank.Story {
	t.Helper()
	granted := slices.DeleteFunc(stories(t), func(s bank.Story) bool { return !s.Want.Allowed || s.Ask.Token.As == "" || counted(s) })
	if len(granted) < 10 {
		t.Fatalf("%d stories are granted, want at least 10", len(granted))
	}
	return granted
}

// patient has Envoy wait for Countersign's answer, and Countersign for what it asks itself,
// however busy the machine is.
func patient(options bank.Options) bank.Options {
	own, envoys := options.Configure, options.ConfigureEnvoy
	options.Configure = func(configuration string) string {
		configuration += "\ntimeout: 20s\n"
		if own == nil {
			return configuration
		}
		return own(configuration)
	}
	options.ConfigureEnvoy = func(configuration string) string {
		configuration = strings.Replace(configuration, "{cluster_name: countersign}, timeout: 0.5s", "{cluster_name: countersign}, timeout: 20s", 1)
		if envoys == nil {
			return configuration
		}
		return envoys(configuration)
	}
	return options
}

// wantUnreached fails if the upstream was called for any of the stories.
func wantUnreached(t *testing.T, stack *bank.Stack, stories []bank.Story) {
	t.Helper()
	for _, story := range stories {
		if calls := stack.Upstream.Calls(story.Name); calls != 0 {
			t.Errorf("%s: the upstream was called %d times", story.Name, calls)
		}
	}
}

// wantAsTold tells every story.
func wantAsTold(t *testing.T, stack *bank.Stack) {
	t.Helper()
	for _, story := range stories(t) {
		if _, faults := tell(t, stack, story); len(faults) > 0 {
			t.Errorf("%s\n%s", story.Text, strings.Join(faults, "\n"))
		}
	}
}

// TestNothingPassesWithoutCountersign kills Countersign: Envoy answers by itself.
func TestNothingPassesWithoutCountersign(t *testing.T) {
	stack := startBank(t, bank.Options{})
	if err := stack.KillCountersign(); err != nil {
		t.Fatal(err)
	}
	granted := grantedStories(t)
	for i, got := range askTogether(t, stack, granted) {
		if got.status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d, want 503", granted[i].Name, got.status)
		}
	}
	wantUnreached(t, stack, granted)
}

// TestNothingPassesASlowCountersign pauses Countersign, whose connections stay: Envoy
// gives up in time, and nothing that was asked meanwhile reaches the upstream later.
func TestNothingPassesASlowCountersign(t *testing.T) {
	stack := startBank(t, bank.Options{})
	if err := stack.PauseCountersign(); err != nil {
		t.Fatal(err)
	}
	granted := grantedStories(t)
	answers := askTogether(t, stack, granted)
	if err := stack.ResumeCountersign(); err != nil {
		t.Fatal(err)
	}
	for i, got := range answers {
		if got.status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d, want 503", granted[i].Name, got.status)
		}
	}
	wantUnreached(t, stack, granted)
	wantAsTold(t, stack)
	for _, story := range granted {
		if calls := stack.Upstream.Calls(story.Name); calls != 1 {
			t.Errorf("%s: the upstream was called %d times, want once, for what was asked last", story.Name, calls)
		}
	}
}

// TestNothingPassesWithoutKeys starts Countersign while the customers' issuer is down. When
// it comes up, Countersign serves without being started again, and says so. The staff's
// issuer, whose keys are a file, is not down with it.
func TestNothingPassesWithoutKeys(t *testing.T) {
	stack := startBank(t, patient(bank.Options{IssuerDown: true}))
	ofStaff := func(story bank.Story) bool { return story.Ask.Token.OfStaff() }
	granted := slices.DeleteFunc(grantedStories(t), ofStaff)
	for i, got := range askTogether(t, stack, granted) {
		if got.status != http.StatusServiceUnavailable || got.code != "keys_unavailable" || got.retryAfter != "1" {
			t.Errorf("%s: %+v, want 503 for keys_unavailable and Retry-After 1", granted[i].Name, got)
		}
	}
	wantUnreached(t, stack, granted)
	if got := health(t, stack); got != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health without keys is %v, want NOT_SERVING", got)
	}
	for _, story := range grantedStories(t) {
		if ofStaff(story) {
			_, faults := tell(t, stack, story)
			for _, fault := range faults {
				t.Errorf("%s: %s", story.Name, fault)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	if err := stack.RaiseIssuer(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "SERVING", func() bool { return health(t, stack) == healthv1.HealthCheckResponse_SERVING })
	wantAsTold(t, stack)
}

// health is what Countersign says of its ext_authz service, as Envoy would ask it.
func health(t *testing.T, stack *bank.Stack) healthv1.HealthCheckResponse_ServingStatus {
	t.Helper()
	connection, err := grpc.NewClient(stack.Authz, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	answer, err := healthv1.NewHealthClient(connection).Check(ctx,
		&healthv1.HealthCheckRequest{Service: authv3.Authorization_ServiceDesc.ServiceName}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status
}

// payment is a story that is granted with its body, the body made longer by spaces.
func payment(t *testing.T, length int) bank.Story {
	t.Helper()
	for _, story := range grantedStories(t) {
		if story.Body != nil {
			story.Body = append(slices.Clone(story.Body), bytes.Repeat([]byte(" "), length-len(story.Body))...)
			return story
		}
	}
	t.Fatal("no story with a body is granted")
	return bank.Story{}
}

// TestNothingPassesOverALimit sends bodies over Envoy's limit, and messages over
// Countersign's, which gRPC refuses before Countersign sees them.
func TestNothingPassesOverALimit(t *testing.T) {
	const envoys, ours = 65536, 131072
	larger := bank.Options{
		Configure: func(configuration string) string {
			return configuration + fmt.Sprintf("\nmax_message_bytes: %d\n", ours)
		},
		ConfigureEnvoy: func(configuration string) string {
			return strings.Replace(configuration, fmt.Sprintf("max_request_bytes: %d", envoys), fmt.Sprintf("max_request_bytes: %d", 4*ours), 1)
		},
	}
	for _, test := range []struct {
		name    string
		options bank.Options
		within  int
		over    int
		status  int
		code    string // of Countersign's, where Envoy does not answer by itself
	}{
		{name: "far over Envoy's", within: envoys, over: 4 * envoys, status: http.StatusRequestEntityTooLarge},
		// A body that only its last frame puts over the limit Envoy 1.40 cuts, and asks.
		{name: "just over Envoy's", within: envoys, over: envoys + 1, status: http.StatusRequestEntityTooLarge, code: "body_truncated"},
		{name: "over Countersign's", options: larger, within: envoys, over: ours + 1, status: http.StatusServiceUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			stack := startBank(t, patient(test.options))
			over := payment(t, test.over)
			if got := askTogether(t, stack, []bank.Story{over})[0]; got.status != test.status || got.code != "" && got.code != test.code {
				t.Errorf("over the limit: %+v, want %d, by Envoy or for %q", got, test.status, test.code)
			}
			wantUnreached(t, stack, []bank.Story{over})
			if _, faults := tell(t, stack, payment(t, test.within)); len(faults) > 0 {
				t.Errorf("within the limit: %s", strings.Join(faults, "\n"))
			}
		})
	}
}

// TestAnOverloadIsShedAndCounted asks far more at once than may be under way. Every
// answer is the one told or a 503, the latter counted, and neither recorded nor passed.
func TestAnOverloadIsShedAndCounted(t *testing.T) {
	stack := startBank(t, patient(bank.Options{
		Configure: func(configuration string) string { return configuration + "\nmax_concurrent_checks: 1\n" },
	}))
	story := grantedStories(t)[0]
	decided, shed := 0, map[string]bool{}
	for end := time.Now().Add(longest); decided == 0 || len(shed) == 0; {
		if time.Now().After(end) {
			t.Fatalf("of all checks %d were decided and %d shed", decided, len(shed))
		}
		for _, got := range askTogether(t, stack, slices.Repeat([]bank.Story{story}, 32)) {
			switch {
			case got.status == story.Want.Status:
				decided++
			case got.status == http.StatusServiceUnavailable && got.code == "overloaded" && got.retryAfter == "1":
				shed[got.id] = true
			default:
				t.Fatalf("answer %+v, want %d, or 503 for overloaded and Retry-After", got, story.Want.Status)
			}
		}
	}
	if calls := stack.Upstream.Calls(story.Name); calls != decided {
		t.Errorf("the upstream was called %d times for %d grants", calls, decided)
	}
	if got := len(recordsOf(t, stack)); got != decided {
		t.Errorf("%d records of %d decisions", got, decided)
	}
	metrics := page(t, stack.Admin+"/metrics")
	for _, line := range []string{
		fmt.Sprintf("\ncountersign_checks_shed_total %d\n", len(shed)),
		fmt.Sprintf("reason=\"granted\"} %d\n", decided),
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("metrics lack %q", line)
		}
	}
	if strings.Contains(metrics, "overloaded") {
		t.Error("what was shed counts as a decision")
	}
}

// eventually waits for what must come to be.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(longest); !is(); <-poll.C {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", longest, what)
		}
	}
}

func page(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
