package countersign.standard.tables_test

import data.countersign.standard

# 2026-11-20, a Friday, 12:00 UTC.
noon := 1795176000000000000

open := [{"days": ["fri"], "from": "08:00", "to": "18:00", "zone": "Europe/London"}]

shut := [{"days": ["sat"], "from": "08:00", "to": "18:00", "zone": "Europe/London"}]

# Cases are requests that satisfy all that their tables ask for, with tables that have no
# more than what they ask for. A Go test holds them against what the library reads.
cases := {"delegate": delegate, "administrator": administrator, "glass": glass, "granted": granted, "client": client}

# Somebody acts for Ann, who is a delegate of the account's owner.
delegate := {
	"input": {
		"request": {"time": noon},
		"operation": {"id": "GetAccount", "permission": "read_accounts"},
		"caller": {
			"kind": "customer", "issuer": "https://as.example", "subject": "ann", "client": "acme",
			"tenant": "retail", "roles": ["customer"], "actor": "app",
		},
		"objects": [{"type": "account", "id": "1", "owned": true, "relation": "delegate"}],
	},
	"data": {
		"roles": {"customer": ["read_accounts"]},
		"access": {
			"kinds": {"customer": ["read_accounts"]},
			"tenants": {"retail": ["read_accounts"]},
			"relations": {"delegate": ["read_accounts"]},
			"actors": {"https://as.example": {"app": ["read_accounts"]}},
			"hours": {"permissions": {"read_accounts": open}, "roles": {"customer": open}},
		},
	},
}

# Kim is an operator by inheritance.
administrator := {
	"input": {
		"request": {"time": noon},
		"operation": {"id": "Freeze", "permission": "admin_freeze"},
		"caller": {"kind": "staff", "issuer": "https://staff.example", "subject": "kim", "roles": ["chief"]},
		"objects": [],
	},
	"data": {
		"roles": {"operator": ["admin_freeze"]},
		"access": {
			"inherits": {"chief": ["operator"]},
			"admin": {"roles": ["operator"], "permissions": ["close_accounts"], "operations": ["Thaw"]},
		},
	},
}

# Sam has the case INC-4711, and nothing else.
glass := {
	"input": {
		"request": {"time": noon},
		"operation": {"id": "GetAccount", "permission": "read_accounts"},
		"caller": {"kind": "staff", "issuer": "https://staff.example", "subject": "sam", "roles": []},
		"objects": [{"type": "account", "id": "1", "owned": false}],
	},
	"data": {"roles": {}, "access": {"break_glass": {"https://staff.example": {"sam": [{
		"ticket": "INC-4711",
		"from": "2026-11-20T11:00:00Z",
		"until": "2026-11-20T13:00:00Z",
		"permissions": ["read_accounts"],
		"requirements": ["not_owner", "permission"],
		"objects": ["account:1"],
	}]}}}},
}

# Tom is of support this week.
granted := {
	"input": {
		"request": {"time": noon},
		"operation": {"id": "GetCases", "permission": "read_cases"},
		"caller": {"kind": "staff", "issuer": "https://staff.example", "subject": "tom", "roles": []},
		"objects": [],
	},
	"data": {
		"roles": {"support": ["read_cases"]},
		"access": {"grants": {"https://staff.example": {"tom": [{
			"role": "support", "from": "2026-11-16T00:00:00Z", "until": "2026-11-23T00:00:00Z",
		}]}}},
	},
}

# Acme comes by itself.
client := {
	"input": {
		"request": {"time": noon},
		"operation": {"id": "CreateConsent", "permission": "create_consents"},
		"caller": {"kind": "client", "issuer": "https://as.example", "subject": "acme", "client": "acme", "roles": []},
		"objects": [],
	},
	"data": {
		"roles": {},
		"access": {"clients": {"https://as.example": {"acme": ["create_consents"]}}},
	},
}

decide(document, tables) := decision if {
	decision := standard.decision with input as document
		with data.roles as object.get(tables, "roles", {})
		with data.access as object.get(tables, "access", {})
}

# asked is the decision on a case with its input and its tables changed.
asked(name, facts, tables) := decide(json.patch(cases[name].input, facts), json.patch(cases[name].data, tables))

put(path, value) := [{"op": "add", "path": path, "value": value}]

paths(document) := {path |
	walk(document, [path, _])
	count(path) > 0
}

without(document, path) := json.patch(document, [{"op": "remove", "path": path}])

with_value(document, path, value) := json.patch(document, [{"op": "replace", "path": path, "value": value}])

wrong := [null, "", [], {}, 0, true, "abc"]

test_all_that_is_asked_for_allows if {
	every case in cases {
		decide(case.input, case.data).allowed
	}
}

# Fail closed: nothing that is missing of the input or of the data allows.

# Without these nothing of the sort is asked for: nobody acts for the customer, no object
# is named, there is no such table or no entry for this one in it.
lifted := {
	"delegate": {
		["caller", "actor"], ["objects", 0],
		["access"], ["access", "kinds"], ["access", "tenants"], ["access", "relations"], ["access", "actors"],
		["access", "hours"],
		["access", "hours", "permissions"], ["access", "hours", "permissions", "read_accounts"],
		["access", "hours", "roles"], ["access", "hours", "roles", "customer"],
		# The caller's names are of no account but to those who act for them.
		["caller", "client"], ["caller", "subject"],
	},
	"administrator": {
		["access", "admin"], ["access", "admin", "permissions"], ["access", "admin", "operations"],
		["access", "admin", "permissions", 0], ["access", "admin", "operations", 0],
		# Nothing is by a time or a person here.
		["request"], ["request", "time"], ["caller", "issuer"], ["caller", "subject"],
	},
	# What is not known to be hers is lifted as what is known not to be.
	"glass": {["objects", 0], ["objects", 0, "owned"], ["caller", "roles"], ["roles"]},
	"granted": {["caller", "roles"]},
	"client": {["request"], ["request", "time"], ["caller", "subject"], ["caller", "roles"], ["roles"]},
}

test_anything_missing_refuses if {
	every name, case in cases {
		allowed := {path | some path in paths(case.input); decide(without(case.input, path), case.data).allowed} | {path | some path in paths(case.data); decide(case.input, without(case.data, path)).allowed}
		allowed == lifted[name]
	}
}

test_what_is_missing_is_decided if {
	every case in cases {
		every path in paths(case.input) {
			is_boolean(decide(without(case.input, path), case.data).allowed)
		}
		every path in paths(case.data) {
			is_boolean(decide(case.input, without(case.data, path)).allowed)
		}
	}
}

# Fail closed: nothing of a wrong type allows.

# What is written here allows still: what is not read, any other text for an id, and what is
# empty and asks for nothing.
harmless := {
	"delegate": {
		["caller/client", "any"], ["caller/subject", "any"], ["operation/id", "abc"], ["objects/0/owned", true],
		["objects/0/id", "abc"], ["objects/0/type", "abc"], ["objects", []], ["access", "any"],
		["access/hours", {}], ["access/hours/permissions", {}], ["access/hours/roles", {}],
	},
	"administrator": {
		["request", "any"], ["request/time", "any"], ["caller/issuer", "any"], ["caller/subject", "any"],
		["operation/id", "abc"], ["objects", []],
		["access/admin/permissions", "any"], ["access/admin/operations", "any"],
		["access/admin/permissions/0", "any"], ["access/admin/operations/0", "any"],
	},
	"glass": {
		["caller/roles", "any"], ["roles", "any"], ["operation/id", "abc"], ["objects", []], ["objects/0/owned", "any"],
		["access/break_glass/https://staff.example/sam/0/ticket", "abc"],
	},
	"granted": {["caller/roles", "any"], ["operation/id", "abc"], ["objects", []]},
	"client": {
		["request", "any"], ["request/time", "any"], ["caller/subject", "any"], ["caller/roles", "any"], ["roles", "any"],
		["operation/id", "abc"], ["objects", []],
	},
}

spelled(path) := concat("/", [sprintf("%v", [part]) | some part in path])

test_anything_of_a_wrong_type_refuses if {
	every name, case in cases {
		allowed := {[spelled(path), value] |
			some path in paths(case.input)
			some value in wrong
			decide(with_value(case.input, path, value), case.data).allowed
		} | {[spelled(path), value] |
			some path in paths(case.data)
			some value in wrong
			decide(case.input, with_value(case.data, path, value)).allowed
		}
		{pair | some pair in allowed; not [pair[0], "any"] in harmless[name]} == {pair | some pair in harmless[name]; pair[1] != "any"}
		{pair[0] | some pair in harmless[name]; pair[1] == "any"} - {pair[0] | some pair in allowed} == set()
	}
}

# Each requirement by itself

refused(name, facts, tables, refusals) if {
	d := asked(name, facts, tables)
	d.allowed == false
	d.refusals == refusals
	is_string(d.reason)
}

test_a_kind_of_caller_has_a_ceiling if {
	refused("delegate", [], put("access/kinds/customer", ["other"]), {"kind"})
	refused("delegate", [], put("access/kinds", {"staff": "all"}), {"kind"})
	asked("delegate", [], put("access/kinds/customer", "all")).allowed
}

test_a_tenant_has_a_ceiling if {
	refused("delegate", put("caller/tenant", "private"), [], {"tenant"})
	asked("delegate", [], put("access/tenants/retail", "all")).allowed
}

test_who_acts_for_another_may_do_what_is_listed if {
	refused("delegate", put("caller/actor", "bot"), [], {"actor"})
	refused("delegate", [], put("access/actors", {"https://other.example": {"app": "all"}}), {"actor"})
	asked("delegate", [], put("access/actors/https:~1~1as.example/app", "all")).allowed
}

test_a_delegate_may_do_what_is_listed if {
	refused("delegate", put("objects/0/relation", "parent"), [], {{"relation": "account:1"}})
	refused("delegate", [{"op": "remove", "path": "objects/0/relation"}], [], {{"relation": "account:1"}})
	refused("delegate", [], put("access/relations/delegate", ["other"]), {{"relation": "account:1"}})
	asked("delegate", [], put("access/relations/delegate", "all")).allowed
}

test_each_object_is_asked_about if {
	refused("delegate", put("objects/1", {"type": "account", "id": "2", "owned": true, "relation": "parent"}), [], {{"relation": "account:2"}})
	refused("delegate", put("objects/1", {"type": "account", "id": "2", "owned": false}), [], {{"not_owner": "account:2"}})
}

test_a_permission_has_hours if {
	refused("delegate", [], put("access/hours/permissions/read_accounts", shut), {"hours"})
	asked("delegate", [], put("access/hours/permissions", {"other": shut})).allowed
}

test_a_role_has_hours if {
	refused("delegate", [], put("access/hours/roles/customer", shut), {"hours"})

	# Another of the caller's roles is open.
	two := put("access/hours/roles", {"customer": shut, "guest": open})
	roles := put("roles/guest", ["read_accounts"])
	asked("delegate", put("caller/roles", ["customer", "guest"]), array.concat(two, roles)).allowed
}

test_without_the_permission_hours_are_not_the_reason if {
	refused("delegate", put("caller/roles", []), put("access/hours/roles/customer", shut), {"permission"})
}

test_an_administrator_is_staff if {
	every kind in ["customer", "client", "anonymous"] {
		refused("administrator", put("caller/kind", kind), [], {"admin"})
	}
}

test_an_administrators_role_permits_it_itself if {
	# The chief has it by a role that is no administrators'.
	refused("administrator", [], put("access/admin/roles", ["auditor"]), {"admin"})
	clerk := array.concat(put("roles/clerk", ["admin_freeze"]), put("access/inherits/chief", ["clerk"]))
	refused("administrator", [], clerk, {"admin"})
}

test_an_administrators_role_has_hours if {
	refused("administrator", [], put("access/hours", {"roles": {"operator": shut}}), {"admin", "hours"})
}

test_operations_of_administrators_are_listed_too if {
	lent := put("access/inherits/chief", ["clerk"])
	by_permission := array.concat(lent, put("roles/clerk", ["close_accounts"]))
	refused("administrator", put("operation/permission", "close_accounts"), by_permission, {"admin"})
	by_id := array.concat(lent, put("roles/clerk", ["read_accounts"]))
	thaw := array.concat(put("operation/id", "Thaw"), put("operation/permission", "read_accounts"))
	refused("administrator", thaw, by_id, {"admin"})
	asked("administrator", put("operation/permission", "read_accounts"), by_id).allowed
}

test_where_administration_is_written_wrong_every_operation_is_theirs if {
	every value in [null, "", 0, true, "abc"] {
		every path in ["access/admin", "access/admin/permissions", "access/admin/operations"] {
			refused("granted", [], array.concat(put("access/admin", {"roles": ["operator"]}), put(path, value)), {"admin"})
		}
	}
	asked("granted", [], put("access/admin", {})).allowed
	refused("granted", put("operation/permission", null), put("access/admin", {}), {"admin", "permission"})
}

# What else grants does not stand in for an administrator.
test_nothing_else_makes_an_administrator if {
	owner := {
		"request": {"time": noon},
		"operation": {"id": "Thaw", "grant": "scope"},
		"caller": {"kind": "customer", "issuer": "https://as.example", "subject": "ann", "client": "acme", "roles": ["operator"]},
		"objects": [{"type": "account", "id": "1", "owned": true}],
	}
	d := decide(owner, administrator.data)
	d.refusals == {"admin"}
	permitted := json.patch(owner, put("operation/permission", "admin_freeze"))
	decide(permitted, administrator.data).refusals == {"admin"}
	free := json.patch(owner, put("operation/id", "Other"))
	decide(free, administrator.data).allowed
}

test_no_site_waives_what_administrators_alone_may_do if {
	d := standard.decision with input as administrator.input
		with data.roles as {}
		with data.access as administrator.data.access
		with data.countersign.site.waive as {"admin", "permission"}
	d.refusals == {"admin"}
	d.waived == {"permission"}
}

test_a_site_waives_other_requirements_of_the_tables if {
	d := standard.decision with input as delegate.input
		with data.roles as delegate.data.roles
		with data.access as {"kinds": {}, "tenants": {}, "actors": {}, "relations": {}, "hours": []}
		with data.countersign.site.waive as {"kind", "tenant", "actor", "hours", {"relation": "account:1"}}
	d.allowed
	count(d.waived) == 5
}

# Broken glass

entry := "access/break_glass/https:~1~1staff.example/sam/0"

broken := {"permission", {"not_owner": "account:1"}, {"break_glass": "INC-4711"}}

test_broken_glass_is_told_with_its_ticket if {
	decide(glass.input, glass.data) == {"allowed": true, "waived": broken}
}

test_glass_is_not_broken_without_need if {
	d := asked("glass", put("caller/roles", ["support"]), put("roles/support", ["read_accounts"]))
	d.waived == broken - {"permission"}
	none := asked("glass", array.concat(put("objects", []), put("caller/roles", ["support"])), put("roles/support", ["read_accounts"]))
	none == {"allowed": true, "waived": set()}
}

test_glass_is_broken_for_what_the_entry_names if {
	refused("glass", put("caller/subject", "tom"), [], {"permission", {"not_owner": "account:1"}})
	refused("glass", put("operation/permission", "create_payments"), [], {"permission", {"not_owner": "account:1"}})
	refused("glass", put("objects/0/id", "2"), [], {"permission", {"not_owner": "account:2"}})
	both := put("objects/1", {"type": "account", "id": "2", "owned": false})
	refused("glass", both, [], {"permission", {"not_owner": "account:1"}, {"not_owner": "account:2"}})
	asked("glass", both, put(concat("", [entry, "/objects"]), "all")).allowed
	refused("glass", [], put(concat("", [entry, "/requirements"]), ["permission"]), {{"not_owner": "account:1"}})
}

test_glass_is_not_broken_for_what_could_not_be_read if {
	unread := put("objects/0/id", "\ufffd")
	every entries in ["all", ["account:\ufffd"]] {
		refused("glass", unread, put(concat("", [entry, "/objects"]), entries), {"permission", {"not_owner": "account:\ufffd"}})
	}
}

test_glass_is_broken_for_a_time if {
	every moment in [noon - 3600000000001, noon + 3600000000000] {
		asked("glass", put("request/time", moment), []).refusals == {"permission", {"not_owner": "account:1"}}
	}
	asked("glass", put("request/time", noon - 3600000000000), []).allowed
}

test_glass_is_broken_by_staff_themselves if {
	every kind in ["customer", "client", "anonymous"] {
		not asked("glass", put("caller/kind", kind), []).allowed
	}
	not asked("glass", put("caller/actor", "bot"), []).allowed
	not asked("glass", put("caller/actor", null), []).allowed
	not asked("glass", put("caller/issuer", "https://as.example"), []).allowed
}

test_broken_glass_leaves_the_rest_as_it_is if {
	requirements := put(concat("", [entry, "/requirements"]), [
		"permission", "not_owner", "step_up", "kind", "tenant", "admin", "operation", "objects",
	])
	kept := array.concat(requirements, array.concat(put("access/kinds", {}), put("access/tenants", {})))
	refused("glass", put("operation/step_up", {"max_age": 1}), kept, {"step_up", "kind", "tenant"})
	refused("glass", put("operation/id", ""), kept, {"operation", "kind", "tenant"})
	admin := array.concat(requirements, put("access/admin", {"roles": ["operator"], "operations": ["GetAccount"]}))
	refused("glass", [], admin, {"admin"})
	denied := standard.decision with input as glass.input
		with data.roles as {}
		with data.access as glass.data.access
		with data.countersign.site.deny as {"frozen"}
	denied.refusals == {"frozen"}
	denied.waived == broken
}

test_a_ticket_is_the_name_of_a_case if {
	every ticket in ["", " ", "sam@bank.example", "-1", "a b", "a\n", 4711, null, ["INC-1"]] {
		not asked("glass", [], put(concat("", [entry, "/ticket"]), ticket)).allowed
	}
	asked("glass", [], put(concat("", [entry, "/ticket"]), "4711")).allowed
}

test_two_tickets_are_both_told if {
	other := object.union(glass.data.access.break_glass["https://staff.example"].sam[0], {"ticket": "INC-4712", "requirements": ["permission"]})
	d := asked("glass", [], put("access/break_glass/https:~1~1staff.example/sam/1", other))
	d.waived == broken | {{"break_glass": "INC-4712"}}
}

# A site's policy, and a caller, break no glass.
test_nothing_but_the_table_breaks_glass if {
	d := standard.decision with input as glass.input
		with data.roles as {}
		with data.access as {}
		with data.countersign.site.waive as broken
	d.waived == broken - {{"break_glass": "INC-4711"}}
}
