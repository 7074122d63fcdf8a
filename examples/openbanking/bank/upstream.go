package bank

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
)

// storyHeader tells the upstream which story a request belongs to.
const storyHeader = "X-Story"

// Upstream is the bank's own server, as small as can be: it answers with what it
// received, so that a story can tell what Countersign let through. It is safe for
// concurrent use.
type Upstream struct {
	mu    sync.Mutex
	calls map[string]int
}

// Received is the upstream's answer: the request as it arrived there.
type Received struct {
	Method string `json:"method"`
	// Path is the request target, with its query.
	Path string `json:"path"`
	// Headers are all but credentials, by name in lower case; values of one name are
	// joined by a comma.
	Headers map[string]string `json:"headers"`
}

func newUpstream() *Upstream { return &Upstream{calls: map[string]int{}} }

// Calls is how often a story's requests reached the upstream.
func (u *Upstream) Calls(story string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.calls[story]
}

// ServeHTTP counts the request and answers with what it was.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.calls[r.Header.Get(storyHeader)]++
	u.mu.Unlock()

	received := Received{Method: r.Method, Path: r.RequestURI, Headers: map[string]string{}}
	for name, values := range r.Header {
		name = strings.ToLower(name)
		if name != "authorization" && name != "dpop" && name != "cookie" {
			received.Headers[name] = strings.Join(values, ",")
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodPost {
		w.WriteHeader(http.StatusCreated)
	}
	_ = json.NewEncoder(w).Encode(received) // A caller that is gone reads nothing.
}
