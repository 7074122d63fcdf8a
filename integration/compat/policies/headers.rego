package envoy.authz

default allow := {
	"allowed": false,
	"headers": {"www-authenticate": "Basic realm=shop"},
	"http_status": 401,
	"body": "who are you?",
}

allow := {
	"allowed": true,
	"headers": {"x-user": user},
	"request_headers_to_remove": ["authorization", "x-debug"],
	"response_headers_to_add": {"x-policy": "shop", "set-cookie": ["a=1", "b=2"]},
	"query_parameters_to_set": {"user": user},
	"query_parameters_to_remove": ["admin"],
	"dynamic_metadata": {"user": user},
} if user

user := name if {
	["Basic", encoded] = split(input.attributes.request.http.headers.authorization, " ")
	[name, "password"] = split(base64.decode(encoded), ":")
}
