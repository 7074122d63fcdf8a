package bundles

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/keys"
	"github.com/open-policy-agent/opa/v1/logging"
	"github.com/open-policy-agent/opa/v1/plugins/bundle"
	"github.com/open-policy-agent/opa/v1/plugins/rest"
)

// transferTime bounds how long a body may take to come, once its header has.
const transferTime = time.Minute

// pluginName is what OPA's client is told to look up: a source, which wraps the
// credentials that the service has.
const pluginName = "countersign"

var (
	errTooLarge   = errors.New("is larger than size_limit_bytes, which what it holds unpacked counts for, too")
	errRedirected = errors.New("is redirected to where it could be changed on the way")
)

// source is one bundle's own client, or the status service's: it bounds what a server can
// have Countersign read, which OPA bounds for each file of a bundle, and not for all.
type source struct {
	name    string
	service rest.Config
	keys    map[string]*keys.Config
	bundle  *bundle.Source
	parser  ast.ParserOptions

	credentials rest.HTTPAuthPlugin
}

// client is OPA's, with this source in place of its credentials.
func (s *source) client() (rest.Client, error) {
	raw, err := json.Marshal(s.service)
	if err != nil {
		return rest.Client{}, err
	}
	inner, err := rest.New(raw, s.keys, rest.Logger(quiet))
	if err != nil {
		return rest.Client{}, err
	}
	if s.credentials, err = inner.Config().AuthPlugin(nil); err != nil {
		return rest.Client{}, err
	}
	wrapped, name := s.service, pluginName
	wrapped.Credentials.Plugin = &name
	if raw, err = json.Marshal(wrapped); err != nil {
		return rest.Client{}, err
	}
	lookup := func(string) rest.HTTPAuthPlugin { return s }
	return rest.New(raw, s.keys, rest.Logger(quiet), rest.AuthPluginLookup(lookup))
}

// usable says why requests could not be made. OPA looks at credentials only with the first.
func (s *source) usable() error {
	client, err := s.client()
	if err == nil {
		_, err = s.credentials.NewClient(*client.Config())
	}
	return err
}

// NewClient implements rest.HTTPAuthPlugin.
func (s *source) NewClient(c rest.Config) (*http.Client, error) {
	made, err := s.credentials.NewClient(c)
	if err != nil {
		return nil, err
	}
	bounded := *made
	bounded.Transport = &transport{next: made.Transport, most: s.most()}
	bounded.CheckRedirect = s.follows
	return &bounded, nil
}

// Prepare implements rest.HTTPAuthPlugin.
func (s *source) Prepare(r *http.Request) error { return s.credentials.Prepare(r) }

func (s *source) most() int64 {
	if s.bundle == nil {
		return 1 << 20
	}
	return s.bundle.SizeLimitBytes
}

// follows redirects as http does, but none that leaves https, or this machine, in the
// clear, and without the service's own headers, which may be secrets, to another host.
func (s *source) follows(r *http.Request, via []*http.Request) error {
	switch {
	case len(via) >= 10:
		return errors.New("is redirected too often")
	case r.URL.Scheme != "https" && (via[0].URL.Scheme == "https" || open(r.URL) && !open(via[0].URL)):
		return errRedirected
	case r.URL.Host != via[0].URL.Host:
		for name := range s.service.Headers {
			r.Header.Del(name)
		}
	}
	return nil
}

// transport reads bodies whole, and refuses those that are too large, packed or unpacked.
type transport struct {
	next http.RoundTripper
	most int64
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	response, err := t.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	late := time.AfterFunc(transferTime, cancel)
	defer late.Stop()
	defer cancel()
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, t.most+1))
	switch {
	case err != nil && r.Context().Err() == nil && ctx.Err() != nil:
		return nil, fmt.Errorf("its body takes more than %v", transferTime)
	case err != nil:
		return nil, err
	case int64(len(body)) > t.most:
		return nil, errTooLarge
	}
	if err := fits(body, t.most); err != nil {
		return nil, err
	}
	response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return response, nil
}

// fits unpacks and counts. What is no gzip is told by who reads it.
func fits(body []byte, most int64) error {
	unpacked, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil
	}
	if size, _ := io.Copy(io.Discard, io.LimitReader(unpacked, most+1)); size > most {
		return errTooLarge
	}
	return nil
}

// quiet is OPA's log, of which nothing is kept: what there is to tell is told once, by
// whom it concerns, and holds no header of a request.
var quiet = logging.NewNoOpLogger()
