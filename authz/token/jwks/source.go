package jwks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// fetchTimeout bounds one fetch, its body included.
const fetchTimeout = 3 * time.Second

// source is where a set comes from.
type source interface {
	// read returns the set's bytes and for how long they are fresh.
	read(ctx context.Context) ([]byte, time.Duration, error)
}

type file struct{ path string }

func (f file) read(context.Context) ([]byte, time.Duration, error) {
	from, err := os.Open(f.path)
	if err != nil {
		return nil, 0, err
	}
	defer from.Close()
	data, err := readLimited(from)
	return data, fileInterval, err
}

type remote struct {
	url    string
	client *http.Client
}

// newRemote copies the client, to follow no redirect: where an issuer's keys are is
// for the configuration to say.
func newRemote(url string, client *http.Client) remote {
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return remote{url: url, client: &own}
}

func (r remote) read(ctx context.Context) ([]byte, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("fetch: %w", err)
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := r.client.Do(request)
	if err != nil {
		return nil, 0, fmt.Errorf("fetch: %w", withoutURL(err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("fetch: status %d", response.StatusCode)
	}
	data, err := readLimited(response.Body)
	return data, freshness(response.Header.Get("Cache-Control")), err
}

// withoutURL takes the URL out of an HTTP client's error: it may hold a secret in
// its query, and the configuration has it anyway.
func withoutURL(err error) error {
	var fault *url.Error
	if errors.As(err, &fault) {
		return fault.Err
	}
	return err
}

func readLimited(from io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(from, maxBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read: %w", err)
	case len(data) > maxBytes:
		return nil, errTooLarge
	}
	return data, nil
}

// freshness is how long a Cache-Control header lets an answer be used (RFC 9111
// §5.2.2), within our own bounds.
func freshness(cacheControl string) time.Duration {
	interval := defaultInterval
	for directive := range strings.SplitSeq(strings.ToLower(cacheControl), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-cache", "no-store":
			return minInterval
		case "max-age":
			seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
			if err != nil {
				return minInterval
			}
			interval = time.Duration(seconds) * time.Second
		}
	}
	return max(minInterval, min(interval, maxInterval))
}
