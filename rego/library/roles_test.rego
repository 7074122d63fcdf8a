package countersign.standard.roles_test

import data.countersign.standard
import data.countersign.standard.roles

table := {"teller": ["read"], "manager": ["approve"], "director": ["close"], "auditor": ["audit"]}

sam := {
	"request": {"time": 1795176000000000000},
	"caller": {"kind": "staff", "issuer": "https://staff", "subject": "sam", "client": "desk", "roles": ["manager"]},
}

as_role(role) := json.patch(sam, [{"op": "replace", "path": "caller/roles", "value": [role]}])

permitted(document, access) := found if {
	found := roles.permissions with input as document with data.roles as table with data.access as access
}

now_permitted(document, access) := found if {
	found := roles.current with input as document with data.roles as table with data.access as access
}

lines := {"inherits": {"director": ["manager"], "manager": ["teller", "clerk"], "clerk": []}}

test_a_role_has_what_it_inherits_at_any_depth if {
	permitted(as_role("teller"), lines) == {"read"}
	permitted(as_role("manager"), lines) == {"approve", "read"}
	permitted(as_role("director"), lines) == {"approve", "close", "read"}
	now_permitted(as_role("director"), lines) == {"approve", "close", "read"}
}

test_a_circle_adds_nothing if {
	circle := {"inherits": {"manager": ["teller"], "teller": ["clerk"], "clerk": ["manager", "clerk"]}}
	permitted(sam, circle) == {"approve", "read"}
}

test_an_unknown_role_is_permitted_nothing if {
	permitted(as_role("nobody"), lines) == set()
	permitted(as_role("teller"), {"inherits": {"teller": ["nobody"]}}) == {"read"}
}

test_what_is_written_wrong_is_inherited_by_nobody if {
	every value in [null, "", {}, 0, true, "director", {"a": "director"}, [["director"]], [{"director": true}]] {
		permitted(sam, {"inherits": {"manager": value}}) == {"approve"}
	}
	every value in [null, "", [], 0, true, "director", ["director"], [["manager", "director"]]] {
		permitted(sam, {"inherits": value}) == {"approve"}
	}
}

test_what_is_no_list_permits_nothing if {
	every value in [null, "read", {"read": true}, 0, true] {
		found := roles.permissions with input as sam with data.roles as {"manager": value} with data.access as {}
		found == set()
	}
}

test_a_role_has_hours_in_whatever_form_it_is_written if {
	document := json.patch(sam, [{"op": "add", "path": "operation", "value": {"id": "Read", "permission": "read"}}])
	every value in [["read"], {"read"}, {"a": "read"}] {
		satisfied := standard.satisfied with input as document with data.roles as {"manager": value}
			with data.access as {"hours": {"roles": {"manager": weekend}}}
		"permission" in satisfied
		not "hours" in satisfied
	}
}

test_roles_are_a_list_of_texts if {
	every value in [null, "manager", {"a": "manager"}, 0, [["manager"]], [{"manager": true}]] {
		permitted(json.patch(sam, [{"op": "replace", "path": "caller/roles", "value": value}]), lines) == set()
	}
	permitted(json.remove(sam, ["caller/roles"]), lines) == set()
}

# 2026-11-20T12:00:00Z
granted(grant) := {"grants": {"https://staff": {"sam": [grant]}}}

grant := {"role": "auditor", "from": "2026-11-20T12:00:00Z", "until": "2026-11-20T12:00:01Z"}

test_a_role_is_granted_for_a_time if {
	permitted(sam, granted(grant)) == {"approve", "audit"}
	permitted(object.union(sam, {"request": {"time": 1795176001000000000}}), granted(grant)) == {"approve"}
	permitted(object.union(sam, {"request": {"time": 1795175999000000000}}), granted(grant)) == {"approve"}
}

test_a_granted_role_inherits if {
	access := object.union(lines, granted(object.union(grant, {"role": "director"})))
	permitted(sam, access) == {"approve", "close", "read"}
}

test_a_grant_is_one_persons_of_one_issuer if {
	every change in [{"issuer": "https://other"}, {"subject": "tom"}, {"kind": "client"}, {"kind": "anonymous"}] {
		permitted(object.union(sam, {"caller": change}), granted(grant)) == {"approve"}
	}
	permitted(object.union(sam, {"caller": {"kind": "customer"}}), granted(grant)) == {"approve", "audit"}
}

test_a_grant_that_is_written_wrong_grants_nothing if {
	every name in ["role", "from", "until"] {
		permitted(sam, granted(object.remove(grant, [name]))) == {"approve"}
		every value in [null, "", [], {}, 0, true, "abc", ["auditor"]] {
			permitted(sam, granted(object.union(object.remove(grant, [name]), {name: value}))) == {"approve"}
		}
	}
	every value in [null, "", {}, 0, true, grant, {"a": grant}, ["auditor"]] {
		permitted(sam, {"grants": {"https://staff": {"sam": value}}}) == {"approve"}
	}
	every path in ["caller/issuer", "caller/subject", "caller/kind", "request/time"] {
		permitted(json.remove(sam, [path]), granted(grant)) == {"approve"}
		permitted(json.patch(sam, [{"op": "replace", "path": path, "value": null}]), granted(grant)) == {"approve"}
	}
}

weekend := [{"days": ["sat", "sun"], "from": "00:00", "to": "24:00", "zone": "UTC"}]

weekdays := [{"days": ["fri"], "from": "00:00", "to": "24:00", "zone": "UTC"}]

test_a_role_out_of_its_hours_is_not_there if {
	closed := object.union(lines, {"hours": {"roles": {"manager": weekend}}})
	permitted(sam, closed) == {"approve", "read"}
	now_permitted(sam, closed) == set()

	# Nor does anybody inherit by it.
	now_permitted(as_role("director"), closed) == {"close"}
	open := object.union(lines, {"hours": {"roles": {"manager": weekdays}}})
	now_permitted(as_role("director"), open) == {"approve", "close", "read"}
}

test_an_inherited_role_has_its_own_hours if {
	closed := object.union(lines, {"hours": {"roles": {"teller": weekend}}})
	now_permitted(sam, closed) == {"approve"}
}

acme := {"caller": {"kind": "client", "issuer": "https://as", "client": "acme", "subject": "acme"}}

test_a_client_by_itself_has_a_table if {
	access := {"clients": {"https://as": {"acme": ["create_consents"]}}}
	permitted(acme, access) == {"create_consents"}
	now_permitted(acme, access) == {"create_consents"}
	every change in [{"kind": "customer"}, {"kind": "staff"}, {"issuer": "https://other"}, {"client": "other"}, {"client": 0}, {"issuer": null}] {
		permitted(object.union(acme, {"caller": change}), access) == set()
	}
	every value in [null, "create_consents", {"a": "create_consents"}, 0, true] {
		permitted(acme, {"clients": {"https://as": {"acme": value}}}) == set()
	}
}
