// Package integration holds the tests that need more than one package: the house's
// import rules, the demo bank's stories through the pure pipeline and through the
// real Envoy, their traces in a real Jaeger, the proof that those stories notice when
// a check is missing, what kills, a full disk and floods leave of the record, and the
// measurement of what a check costs.
package integration
