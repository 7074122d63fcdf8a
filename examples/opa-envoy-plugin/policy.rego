package shop.authz

# By basic auth: each role may do what the data says.
default allow := {"allowed": false, "http_status": 401, "headers": {"www-authenticate": "Basic realm=shop"}}

allow := {"allowed": true, "headers": {"x-user": user}, "request_headers_to_remove": ["authorization"]} if permitted

allow := {"allowed": false, "http_status": 403, "body": "not yours"} if {
	user
	not permitted
}

permitted if {
	some role in data.roles[user]
	some permission in data.permissions[role]
	permission.method == input.attributes.request.http.method
	permission.path == input.parsed_path
}

user := name if {
	["Basic", encoded] = split(input.attributes.request.http.headers.authorization, " ")
	[name, password] = split(base64.decode(encoded), ":")
	crypto.sha256(password) == data.passwords[name]
}
