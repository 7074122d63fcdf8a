// Package compat holds policy-only mode against opa-envoy-plugin's contract: a case for
// each row of what its policies are given and may answer, in process and over gRPC. Each
// is answered as it is there, or stands in differs.yaml with the defect and our denial.
package compat
