package envoy.authz

default allow := false

allow if input.source_principal == "spiffe://test-domain/test"
