// Package standards holds the tests that name what the standards ask of a resource server:
// rule by rule, against Countersign as it is put together to serve, and by the vectors
// that others made.
package standards
