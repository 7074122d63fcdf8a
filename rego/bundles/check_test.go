package bundles

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/download"
	"github.com/open-policy-agent/opa/v1/keys"
	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/plugins/bundle"
	"github.com/open-policy-agent/opa/v1/plugins/rest"

	opabundle "github.com/open-policy-agent/opa/v1/bundle"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/rego/bundles/bundlestest"
)

// TestConfigurationsAreJudged holds what is refused without asking any server, by which key.
func TestConfigurationsAreJudged(t *testing.T) {
	key := bundlestest.NewKey(t, "release").Public
	service := func(s rest.Config) func(*Config) { return func(c *Config) { c.Services["policies"] = s } }
	one := func(s bundle.Source) func(*Config) { return func(c *Config) { c.Bundles["authz"] = s } }
	verifies := func(k keys.Config) func(*Config) { return func(c *Config) { c.Keys["release"] = k } }
	signing := &opabundle.VerificationConfig{KeyID: "release"}
	plugin, manual, ten, none := "p", plugins.TriggerManual, int64(10), int64(0)
	var withToken rest.Config
	if err := json.Unmarshal([]byte(`{"url": "http://policies.example", "credentials": {"bearer": {"token": "secret"}}}`), &withToken); err != nil {
		t.Fatal(err)
	}
	var withSecret rest.Config
	if err := json.Unmarshal([]byte(`{"url": "https://policies.example", "credentials": {"oauth2": {"token_url": "http://tokens.example", "client_id": "a", "client_secret": "secret"}}}`), &withSecret); err != nil {
		t.Fatal(err)
	}
	withPlugin := rest.Config{URL: "https://policies.example"}
	withPlugin.Credentials.Plugin = &plugin
	tests := []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"as it is", func(*Config) {}, nil},
		{"one whose signature protects it on the way", service(rest.Config{URL: "http://policies.example"}), nil},
		{"no bundles", func(c *Config) { c.Bundles = nil }, []string{"bundles"}},
		{"bundles, but none", func(c *Config) { *c = Config{Bundles: map[string]bundle.Source{}} }, []string{"bundles"}},
		{"nothing at all", func(c *Config) { *c = Config{} }, nil},
		{"images", service(rest.Config{URL: "https://policies.example", Type: "oci"}), []string{"services.policies.type"}},
		{"a server that is not verified", service(rest.Config{URL: "https://policies.example", AllowInsecureTLS: true}), []string{"services.policies.allow_insecure_tls"}},
		{"a token sent in the clear", service(withToken), []string{"services.policies.url"}},
		{"a secret that is sent to who gives tokens, in the clear", service(withSecret), []string{"services.policies"}},
		{"a header with a secret, sent in the clear", service(rest.Config{URL: "http://policies.example", Headers: map[string]string{"X-Api-Key": "secret"}}), []string{"services.policies.url"}},
		{"a header that is none", service(rest.Config{URL: "http://policies.example", Headers: map[string]string{"X-Tenant": "a"}}), nil},
		{"files that anybody could change", func(c *Config) {
			c.Services["policies"] = rest.Config{URL: "http://policies.example"}
			c.Bundles["authz"] = bundle.Source{Signing: &opabundle.VerificationConfig{KeyID: "release", Exclude: []string{"*"}}}
		}, []string{"bundles.authz.signing.exclude_files"}},
		{"a key that only signs", verifies(keys.Config{PrivateKey: key, Algorithm: "ES256"}), []string{"bundles.authz.signing.keyid"}},
		{"a server that is asked without a pause", one(bundle.Source{Signing: signing, Config: download.Config{Polling: download.PollingConfig{MinDelaySeconds: &none, MaxDelaySeconds: &ten}}}), []string{"bundles.authz.polling.min_delay_seconds"}},
		{"a plugin", service(withPlugin), []string{"services.policies.credentials.plugin"}},
		{"no server", service(rest.Config{URL: "policies.example"}), []string{"services.policies.url"}},
		{"a password in the URL", service(rest.Config{URL: "https://a:b@policies.example"}), []string{"services.policies.url"}},
		{"an unknown service", one(bundle.Source{Service: "other", Signing: signing}), []string{"bundles.authz"}},
		{"an unknown key", one(bundle.Source{Signing: &opabundle.VerificationConfig{KeyID: "other"}}), []string{"bundles.authz"}},
		{"keys that nothing is verified by", one(bundle.Source{}), []string{"bundles.authz.signing"}},
		{"unsigned, where anybody could change it", func(c *Config) {
			c.Keys, c.Bundles["authz"] = nil, bundle.Source{}
			c.Services["policies"] = rest.Config{URL: "http://policies.example"}
		}, []string{"bundles.authz.signing"}},
		{"unsigned, over TLS", func(c *Config) { c.Keys, c.Bundles["authz"] = nil, bundle.Source{} }, nil},
		{"a file", one(bundle.Source{Resource: "file:///b.tar.gz", Signing: signing}), []string{"bundles.authz.resource"}},
		{"larger than can be", one(bundle.Source{SizeLimitBytes: 2 << 30, Signing: signing}), []string{"bundles.authz.size_limit_bytes"}},
		{"half of a polling", func(c *Config) {
			made := bundle.Source{Signing: signing}
			made.Polling.MinDelaySeconds = &ten
			c.Bundles["authz"] = made
		}, []string{"bundles.authz"}},
		{"asked for by nobody", func(c *Config) {
			made := bundle.Source{Signing: signing}
			made.Trigger = &manual
			c.Bundles["authz"] = made
		}, []string{"bundles.authz.trigger"}},
		{"a key without anything", verifies(keys.Config{}), []string{"keys.release", "bundles.authz"}},
		{"a key of another algorithm", verifies(keys.Config{Key: key}), []string{"keys.release.key"}},
		{"a key that is no PEM", verifies(keys.Config{Key: "release.pem"}), []string{"keys.release.key"}},
		{"a key that bundles are not signed by", verifies(keys.Config{Key: ed25519Key(t)}), []string{"keys.release.key"}},
		{"a short RSA key", verifies(keys.Config{Key: rsaKey(t, 1024)}), []string{"keys.release.key"}},
		{"an RSA key", verifies(keys.Config{Key: rsaKey(t, 2048)}), nil},
		{"a short secret", verifies(keys.Config{Key: "secret", Algorithm: "HS256"}), []string{"keys.release.key"}},
		{"status to nobody", func(c *Config) { c.Status = &Status{Service: "other"} }, []string{"status.service"}},
		{"status elsewhere", func(c *Config) { c.Status = &Status{PartitionName: "../v1/data"} }, []string{"status.partition_name"}},
		{"several services, and none named", func(c *Config) { c.Services["other"] = c.Services["policies"] }, []string{"bundles.authz.service"}},
	}
	for _, test := range tests {
		c := Config{
			Services: map[string]rest.Config{"policies": {URL: "https://policies.example"}},
			Keys:     map[string]keys.Config{"release": {Key: key, Algorithm: "ES256"}},
			Bundles:  map[string]bundle.Source{"authz": {Signing: signing}},
		}
		test.change(&c)
		var got []string
		for _, problem := range authz.ProblemsOf(c.Check()) {
			got = append(got, problem.Key)
			if problem.What == "" || problem.Fix == "" {
				t.Errorf("%s: %+v, want what is wrong and what to do", test.name, problem)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: problems of (-want +got):\n%s", test.name, diff)
		}
	}
}

// TestUnsignedBundlesAreNamed holds that they can be told of.
func TestUnsignedBundlesAreNamed(t *testing.T) {
	c := Config{Bundles: map[string]bundle.Source{"b": {}, "a": {}, "c": {Signing: &opabundle.VerificationConfig{}},
		"d": {Signing: &opabundle.VerificationConfig{Exclude: []string{"*.rego"}}}}}
	if got := c.Unsigned(); !slices.Equal(got, []string{"a", "b", "d"}) {
		t.Errorf("Unsigned() = %v", got)
	}
}

func rsaKey(t *testing.T, bits int) string {
	t.Helper()
	made, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return encode(t, &made.PublicKey)
}

func ed25519Key(t *testing.T) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return encode(t, public)
}

func encode(t *testing.T, public any) string {
	t.Helper()
	text, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: text}))
}
