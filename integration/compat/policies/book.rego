package envoy.authz

default allow := false

allow if {
	input.parsed_path == ["com.book.BookService", "AddBook"]
	input.parsed_body.author == "John"
}
