package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/contract"
	"github.com/countersign-io/countersign/cmd/countersign/config"
)

// resourceMetadata tells clients of an API as a protected resource (RFC 9728 §2). It says
// what holds, and leaves out what this deployment does not decide.
type resourceMetadata struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
	Scopes               []string `json:"scopes_supported,omitempty"`
	BearerMethods        []string `json:"bearer_methods_supported"`
	// CertificateBound says that tokens are bound to client certificates (RFC 8705). Where
	// they only may be, it is the listeners that say whether they can.
	CertificateBound bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	DetailTypes      []string `json:"authorization_details_types_supported,omitempty"`
	ProofAlgorithms  []string `json:"dpop_signing_alg_values_supported,omitempty"`
}

// metadata prints what clients are told of an API, or an Envoy route that tells it.
func metadata(_ context.Context, args []string, w world) error {
	var file, name string
	var route bool
	err := arguments("metadata", "print what clients are told of an API as a protected resource (RFC 9728)", args, w, func(f *flag.FlagSet) {
		f.StringVar(&file, "config", "countersign.yaml", "the configuration")
		f.StringVar(&name, "api", "", "the API, where several have a resource")
		f.BoolVar(&route, "envoy", false, "print a route for Envoy that answers with it")
	})
	if err != nil {
		return err
	}
	cfg, err := config.Load(file, w.environ)
	if err != nil {
		return err
	}
	api, err := published(cfg, authz.API(name))
	if err != nil {
		return err
	}
	document, err := documentOf(cfg, api)
	if err != nil {
		return err
	}
	if route {
		document = metadataRoute(api.Contract, document)
	}
	_, err = fmt.Fprintln(w.stdout, document)
	return err
}

// published is the API of that name, or the only one that has a resource.
func published(cfg *config.Config, name authz.API) (config.API, error) {
	var found []config.API
	var names []string
	for _, api := range cfg.APIs {
		if api.Contract.Name == name || name == "" && api.Contract.Resource != "" {
			found = append(found, api)
			names = append(names, string(api.Contract.Name))
		}
	}
	switch {
	case name != "" && len(found) == 0:
		return config.API{}, cfg.Locate("", authz.Problems{{Key: "apis", What: fmt.Sprintf("has no API %q", name), Fix: "give --api a name that is there"}})
	case len(found) > 1:
		return config.API{}, cfg.Locate("", authz.Problems{{Key: "apis", What: "has several with a resource", Fix: "give --api one of " + strings.Join(names, ", ")}})
	case len(found) == 0 || found[0].Contract.Resource == "":
		return config.API{}, cfg.Locate("", authz.Problems{{Key: "apis", What: "has no resource to tell of", Fix: "give the API a resource, such as https://api.bank.example"}})
	}
	return found[0], nil
}

// documentOf is the document about an API, in one line. It reads the contracts, and opens
// neither stores nor network.
func documentOf(cfg *config.Config, api config.API) (string, error) {
	contracts, err := contract.New(cfg.Contracts())
	problems := append(authz.ProblemsOf(err), cfg.TokenKeys(authz.ProblemsOf(cfg.Tokens().Check()))...)
	if len(problems) > 0 {
		return "", cfg.Locate("", problems)
	}
	told := resourceMetadata{
		Resource:             api.Contract.Resource,
		AuthorizationServers: api.Tokens.Issuers,
		BearerMethods:        []string{"header"},
		CertificateBound:     cfg.Tokens().CertificateBound(api.Contract.Name),
	}
	told.Scopes, told.DetailTypes = askedFor(contracts, api.Contract.Name)
	if len(told.AuthorizationServers) == 0 {
		for _, issuer := range cfg.Issuers {
			told.AuthorizationServers = append(told.AuthorizationServers, issuer.Issuer)
		}
	}
	if api.Tokens.DPoP != nil {
		told.ProofAlgorithms = api.Tokens.DPoP.Accepted()
	}
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err = encoder.Encode(told)
	return strings.TrimSpace(text.String()), err
}

// askedFor are the scopes, and the types of authorization details, that an API's operations
// ask for, each once.
func askedFor(contracts *contract.Contracts, api authz.API) (scopes, types []string) {
	for operation := range contracts.Operations() {
		if operation.API != api {
			continue
		}
		for _, requirement := range operation.Security {
			scopes = append(scopes, requirement.Scopes...)
		}
		for _, rule := range operation.Details {
			types = append(types, rule.Type)
		}
	}
	slices.Sort(scopes)
	slices.Sort(types)
	return slices.Compact(scopes), slices.Compact(types)
}

// longestDirect is how long Envoy lets a direct response be, unless it is told otherwise.
const longestDirect = 4096

// metadataRoute is a route for Envoy that answers with the document: anybody, since whoever
// has no token is to learn from it where to get one.
func metadataRoute(api contract.API, document string) string {
	_, path, _ := strings.Cut(strings.TrimPrefix(api.Metadata(), "https://"), "/")
	note := ""
	if len(document) > longestDirect {
		note = fmt.Sprintf("\n# Over %d bytes need max_direct_response_body_size_bytes: %d in the route_config.", longestDirect, len(document))
	}
	return fmt.Sprintf(`# What clients are told of %s (RFC 9728), with a token or without one.
# It stands before the API's own routes.%s
- match: {path: %s}
  direct_response:
    status: 200
    body: {inline_string: %s}
  response_headers_to_add:
  - header: {key: content-type, value: application/json}
    append_action: OVERWRITE_IF_EXISTS_OR_ADD
  typed_per_filter_config:
    envoy.filters.http.ext_authz:
      "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
      disabled: true`, api.Resource, note, quoted("/"+path), quoted(document))
}

// quoted is a text of one line in YAML's single quotes, which take every character as it is.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
