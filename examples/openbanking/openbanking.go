// Package openbanking holds the files of the demo bank: its OpenAPI document, its
// records, its policy, the configurations of Countersign and Envoy, and the stories
// that the demo tells. They are meant to be read, and copied from.
//
// Package bank beside it brings them to life; this package only carries them.
package openbanking

import "embed"

// Files are the folder's files under their own names.
//
//go:embed openapi.yaml bank.sql countersign.yaml.tmpl envoy.yaml.tmpl policy stories
var Files embed.FS
