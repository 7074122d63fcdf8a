package envoy.authz

default allow := false

allow := {"allowed": true, "headers": {"x-user": verified[2].sub}} if verified[0]

token := trim_prefix(input.attributes.request.http.headers.authorization, "Bearer ")

verified := io.jwt.decode_verify(token, {"secret": "secret", "iss": "shop", "time": 1795251600000000000})
