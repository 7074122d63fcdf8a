package bundles

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/keys"
	"github.com/open-policy-agent/opa/v1/plugins"
	"github.com/open-policy-agent/opa/v1/plugins/bundle"
	"github.com/open-policy-agent/opa/v1/plugins/rest"

	"github.com/countersign-io/countersign/authz"
)

// secretSize is how short a secret that bundles are signed by may be, in bytes: as long
// as the hash (RFC 7518 §3.2).
var secretSize = map[string]int{"HS256": 32, "HS384": 48, "HS512": 64}

// plan is a configuration that was found right, with OPA's defaults and ours.
type plan struct {
	services map[string]rest.Config
	keys     map[string]*keys.Config
	bundles  map[string]*bundle.Source
	status   *Status
	parser   ast.ParserOptions
}

// Check says all that is wrong with c. It asks no network.
func (c *Config) Check() error {
	_, err := c.plan()
	return err
}

func (c *Config) plan() (*plan, error) {
	p := &plan{services: c.Services, keys: map[string]*keys.Config{}, bundles: map[string]*bundle.Source{}, status: c.Status, parser: c.parser()}
	var problems authz.Problems
	if !c.Used() && (c.Bundles != nil || len(c.Services) > 0 || len(c.Keys) > 0 || c.Status != nil) {
		problems.Add("bundles", "has none: nothing but the standard library would decide", "name the bundles that are the policy, such as bundles: {authz: {service: policies, resource: authz.tar.gz}}")
	}
	for _, id := range slices.Sorted(maps.Keys(c.Keys)) {
		p.key(id, c.Keys[id], &problems)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		p.service(name, &problems)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Bundles)) {
		p.bundle(name, c.Bundles[name], &problems)
	}
	if c.Status != nil {
		p.checkStatus(&problems)
	}
	return p, problems.Err()
}

func (p *plan) key(id string, key keys.Config, problems *authz.Problems) {
	at := "keys." + id
	raw, err := json.Marshal(map[string]keys.Config{id: key})
	if err != nil {
		problems.Add(at, err.Error(), "write it as OPA does")
		return
	}
	parsed, err := keys.ParseKeysConfig(raw)
	if err != nil {
		problems.Add(at, "is no key: "+err.Error(), "give key, a public key as PEM or a secret, and its algorithm, such as ES256")
		return
	}
	p.keys[id] = parsed[id]
	if what := weakness(parsed[id]); what != "" {
		problems.Add(at+".key", what, "write the public key as PEM, whose kind is that of algorithm: "+parsed[id].Algorithm)
	}
}

// weakness says why a key verifies nothing, or too little, or "".
func weakness(key *keys.Config) string {
	if key.Key == "" {
		return "" // it signs requests to a service, and verifies no bundle
	}
	if size, secret := secretSize[key.Algorithm]; secret {
		if len(key.Key) < size {
			return fmt.Sprintf("is a secret of less than %d bytes", size)
		}
		return ""
	}
	block, _ := pem.Decode([]byte(key.Key))
	if block == nil {
		return "is no PEM"
	}
	public := publicKey(block)
	switch public := public.(type) {
	case *rsa.PublicKey:
		if !strings.HasPrefix(key.Algorithm, "RS") && !strings.HasPrefix(key.Algorithm, "PS") {
			return "is of RSA"
		}
		if public.N.BitLen() < 2048 {
			return "is of RSA with less than 2048 bits"
		}
		return ""
	case *ecdsa.PublicKey:
		if !strings.HasPrefix(key.Algorithm, "ES") {
			return "is of ECDSA"
		}
		return ""
	}
	return "is no public key of RSA or ECDSA"
}

func publicKey(block *pem.Block) crypto.PublicKey {
	switch block.Type {
	case "PUBLIC KEY":
		public, _ := x509.ParsePKIXPublicKey(block.Bytes)
		return public
	case "RSA PUBLIC KEY":
		public, _ := x509.ParsePKCS1PublicKey(block.Bytes)
		return public
	case "CERTIFICATE":
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			return certificate.PublicKey
		}
	}
	return nil
}

func (p *plan) service(name string, problems *authz.Problems) {
	service, at := p.services[name], "services."+name
	u, err := url.Parse(service.URL)
	switch {
	case service.Type != "":
		problems.Add(at+".type", fmt.Sprintf("is %q, and no images are pulled", service.Type), "serve the bundle over HTTP, and remove it")
	case service.Credentials.Plugin != nil:
		problems.Add(at+".credentials.plugin", "names a plugin of OPA's, and there are none", "use bearer, client_tls, oauth2, or what the cloud has")
	case service.AllowInsecureTLS:
		problems.Add(at+".allow_insecure_tls", "leaves it open who answers", "name the server's CA by tls: {ca_cert: ca.pem}, and remove it")
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		problems.Add(at+".url", "is no URL of a server", "write one such as https://policies.example")
	case u.User != nil:
		problems.Add(at+".url", "holds a password", "write it under credentials, by ${NAME}")
	case open(u) && (credentials(&service) || secretHeader(&service)):
		problems.Add(at+".url", "is not https, and credentials would be sent in the clear", "use https")
	default:
		if err := (&source{service: service, keys: p.keys}).usable(); err != nil {
			problems.Add(at, "cannot be used: "+err.Error(), "write it as OPA does")
		}
	}
}

// open reports a URL whose answers anybody on the way can change.
func open(u *url.URL) bool {
	host := u.Hostname()
	return u.Scheme != "https" && host != "localhost" && !net.ParseIP(host).IsLoopback()
}

func credentials(service *rest.Config) bool {
	with := service.Credentials
	return with.Bearer != nil || with.OAuth2 != nil || with.S3Signing != nil || with.GCPMetadata != nil || with.AzureManagedIdentity != nil
}

// secretHeader reports a header that a service may know its client by.
func secretHeader(service *rest.Config) bool {
	for name := range service.Headers {
		name = strings.ToLower(name)
		for _, part := range []string{"auth", "token", "key", "secret", "cookie"} {
			if strings.Contains(name, part) {
				return true
			}
		}
	}
	return false
}

func (p *plan) bundle(name string, given bundle.Source, problems *authz.Problems) {
	at := "bundles." + name
	if given.Service == "" && len(p.services) > 1 {
		problems.Add(at+".service", "is missing, and there are several", authz.Suggest("", slices.Sorted(maps.Keys(p.services))))
		return
	}
	if strings.HasPrefix(given.Resource, "file:") {
		problems.Add(at+".resource", "is a file, which is not downloaded", "name the bundle by policy.path instead")
		return
	}
	if given.Trigger != nil && *given.Trigger != plugins.TriggerPeriodic {
		problems.Add(at+".trigger", "is manual, and nothing would trigger it", "remove it: the server is asked again and again")
	}
	if given.SizeLimitBytes < 0 || given.SizeLimitBytes > largestSize {
		problems.Add(at+".size_limit_bytes", "is out of range", fmt.Sprintf("write a number up to %d", int64(largestSize)))
	}
	if shortest := given.Polling.MinDelaySeconds; shortest != nil && *shortest < 1 {
		problems.Add(at+".polling.min_delay_seconds", "is less than a second", "write 1 or more: the server is asked this often")
	}
	unsigned := given.Signing == nil
	raw, err := json.Marshal(map[string]bundle.Source{name: given})
	if err != nil {
		problems.Add(at, err.Error(), "write it as OPA does")
		return
	}
	parsed, err := bundle.NewConfigBuilder().WithBytes(raw).WithServices(slices.Sorted(maps.Keys(p.services))).WithKeyConfigs(p.keys).Parse()
	if err != nil {
		_, what, _ := strings.Cut(err.Error(), fmt.Sprintf("%q: ", name))
		problems.Add(at, what, "write what OPA takes; there are the services "+list(p.services)+" and the keys "+list(p.keys))
		return
	}
	made := parsed.Bundles[name]
	if given.SizeLimitBytes == 0 {
		made.SizeLimitBytes = defaultSize
	}
	p.bundles[name] = made
	u, err := url.Parse(p.services[made.Service].URL)
	switch {
	case unsigned && len(p.keys) > 0:
		problems.Add(at+".signing", "is missing, and OPA would take the bundle without a signature, too", "write signing: {keyid: …}; without any keys, no signature is looked for")
	case unsigned && err == nil && open(u):
		problems.Add(at+".signing", "is missing, and the service's url is not https: anybody on the way could write the policy", "use https, or sign the bundle")
	case unsigned:
	case len(made.Signing.Exclude) > 0 && err == nil && open(u):
		problems.Add(at+".signing.exclude_files", "leaves files unsigned, and the service's url is not https: anybody on the way could write them", "use https, or sign all files")
	case !p.verifies(made.Signing.KeyID):
		problems.Add(at+".signing.keyid", "names no key that verifies", "give that key a key, its public half")
	}
}

// verifies reports that the key, or any where it is "", can verify a bundle.
func (p *plan) verifies(id string) bool {
	for each, key := range p.keys {
		if key.Key != "" && (id == "" || id == each) {
			return true
		}
	}
	return false
}

func (p *plan) checkStatus(problems *authz.Problems) {
	names := slices.Sorted(maps.Keys(p.services))
	switch _, known := p.services[p.status.Service]; {
	case known:
	case p.status.Service == "" && len(names) == 1:
		p.status = &Status{Service: names[0], PartitionName: p.status.PartitionName}
	default:
		problems.Add("status.service", fmt.Sprintf("%q is none of services", p.status.Service), authz.Suggest(p.status.Service, names))
	}
	if strings.ContainsAny(p.status.PartitionName, "?#%") || strings.Contains("/"+p.status.PartitionName+"/", "/../") {
		problems.Add("status.partition_name", "is no path", "write words and slashes")
	}
}

func list[T any](named map[string]T) string {
	if len(named) == 0 {
		return "(none)"
	}
	return strings.Join(slices.Sorted(maps.Keys(named)), ", ")
}
