package envoy.authz

default allow := false

allow if {
	input.attributes.request.http.method == "POST"
	not input.truncated_body
	input.parsed_body.total <= 100
	every item in input.parsed_body.items { item in {"tea", "milk"} }
}
