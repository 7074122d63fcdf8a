package envoy.authz

default allowed := false

allowed if {
	some permission in permissions[roles[user]]
	permission.method == input.attributes.request.http.method
	permission.path == input.attributes.request.http.path
}

allowed if {
	input.parsed_path == ["my", "test", "path"]
	input.parsed_query == {"a": ["1", "2"], "x": ["y"]}
}

allowed if input.parsed_body == {"firstname": "foo", "lastname": "bar", "dept": {"it": "eng"}}

result := {
	"allowed": allowed,
	"headers": {"x": "hello", "y": "world"},
	"request_headers_to_remove": ["foo", "bar"],
	"query_parameters_to_remove": ["foo", "bar"],
	"query_parameters_to_set": {"foo": "value1", "bar": ["value2", "value3"]},
	"response_headers_to_add": {"x": "hello", "y": "world"},
}

user := name if {
	["Basic", encoded] = split(input.attributes.request.http.headers.authorization, " ")
	[name, _] := split(base64.decode(encoded), ":")
}

roles := {"alice": "guest", "bob": "admin"}

permissions := {
	"guest": [{"method": "GET", "path": "/productpage"}],
	"admin": [{"method": "GET", "path": "/productpage"}, {"method": "GET", "path": "/api/v1/products"}],
}
