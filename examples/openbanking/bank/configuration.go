package bank

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/countersign-io/countersign/examples/openbanking"
)

// Settings are what the configurations of Countersign and Envoy are rendered with.
type Settings struct {
	// Dir is the run folder, absolute.
	Dir string
	// Issuer is the customers' issuer's name, and JWKS where its keys are: a URL, or ""
	// for the run folder's jwks.json. Staff is the name of the staff's.
	Issuer, JWKS, Staff string
	// Ports on loopback.
	AuthzPort, AdminPort, UpstreamPort, SpansPort int
	// Unguarded leaves Countersign out of Envoy's configuration.
	Unguarded bool
	// Metadata is the route that tells clients of the API, as Countersign prints it, at
	// its place in Envoy's configuration.
	Metadata string
}

// render fills in one of the embedded templates.
func render(name string, settings Settings) (string, error) {
	text, err := fs.ReadFile(openbanking.Files, name)
	if err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	parsed, err := template.New(name).Option("missingkey=error").Parse(string(text))
	if err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	var rendered strings.Builder
	if err := parsed.Execute(&rendered, settings); err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	return rendered.String(), nil
}

// Configuration is the bank's countersign.yaml, for Dir: the customers' issuer's keys at the URL
// jwks, or in the run folder where it is "". Ports of zero mean any.
func (b *Bank) Configuration(jwks string, authzPort, adminPort int) (string, error) {
	return render("countersign.yaml.tmpl", Settings{Dir: b.Dir, Issuer: IssuerName, Staff: StaffName, JWKS: jwks, AuthzPort: authzPort, AdminPort: adminPort})
}

// write puts a configuration into the run folder and returns its path.
func (b *Bank) write(name, content string) (string, error) {
	path := filepath.Join(b.Dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	return path, nil
}
