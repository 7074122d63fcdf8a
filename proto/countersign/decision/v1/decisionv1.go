// Package decisionv1 is the record of one decision, generated from decision.proto,
// which says what each field holds and what is left out on purpose.
//
// The package decides nothing and keeps nothing: audit makes records of it and
// writes them down, and whoever reads a log can parse a line of it with protojson.
package decisionv1
