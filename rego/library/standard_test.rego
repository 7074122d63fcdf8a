package countersign.standard_test

import data.countersign.standard

# A request that satisfies every requirement there is. It has what the library
# reads and nothing else: a Go test holds it against the paths that the library
# reaches.
base := {
	"request": {"time": 1795000000000000000},
	"operation": {
		"id": "GetAccountBalances",
		"permission": "read_accounts",
		"consent": [["ReadBalances"], ["ReadTransactionsBasic", "ReadTransactionsDetail"]],
		"regions": ["GB", "IE"],
		"step_up": {"acr_values": ["urn:example:sca"], "max_age": 300000000000},
	},
	"caller": {"kind": "customer", "client": "acme", "subject": "ann", "roles": ["customer"]},
	"token": {"auth_time": 1794999990000000000, "acr": "urn:example:sca"},
	"objects": [{"type": "account", "id": "22289", "owned": true, "region": "GB"}],
	"consent": {
		"id": "c-1",
		"status": "AUTH",
		"client": "acme",
		"subject": "ann",
		"permissions": ["ReadBalances", "ReadTransactionsDetail"],
		"objects": [{"type": "account", "id": "22289"}],
		"expires_at": 1796000000000000000,
	},
	"region": {"service": "GB", "caller": "GB"},
}

roles := {"customer": ["read_accounts"], "support": ["read_accounts"], "teller": ["read_branches"]}

decide(document) := decision if {
	decision := standard.decision with input as document with data.roles as roles
}

# with_fact puts a value at a path, such as "caller/kind".
with_fact(path, value) := json.patch(base, [{"op": "add", "path": path, "value": value}])

without(path) := json.patch(base, [{"op": "remove", "path": path}])

paths := {concat("/", [sprintf("%v", [part]) | some part in path]) |
	walk(base, [path, _])
	count(path) > 0
}

wrong := [null, "", [], {}, 0, true, "abc"]

test_everything_satisfied_allows if decide(base) == {"allowed": true, "waived": set()}

# Fail closed: nothing that is missing allows.

# What the contract does not ask for is not required. Everything else is missed.
lifted := {
	# An operation without the key requires nothing of the sort, and one without any
	# list left to match is one without the key.
	"operation/permission",
	"operation/consent",
	"operation/regions",
	"operation/step_up",
	# One requirement of several is gone, and the rest stands.
	"operation/step_up/acr_values",
	"operation/step_up/max_age",
	"operation/consent/0",
	"operation/consent/1",
	# The other alternative is the one that is held.
	"operation/consent/1/0",
	# The other region is the one that is served from.
	"operation/regions/1",
	# An object that a request does not name is not asked for: that all are named is
	# the contract's to see to, before the policy.
	"objects/0",
}

test_anything_missing_refuses if {
	allowed := {path | some path in paths; decide(without(path)).allowed}
	allowed == lifted
}

test_what_is_missing_is_decided if {
	every path in paths {
		is_boolean(decide(without(path)).allowed)
	}
}

test_no_input_refuses if {
	every document in [{}, null, "abc", [], 0, true] {
		decide(document).reason == "operation"
	}
}

# Fail closed: nothing of a wrong type allows.

# What is written here allows still, and why.
harmless := {
	# This is not the wrong type of an id.
	["operation/id", "abc"],
	["consent/id", "abc"],
	# This is what it was.
	["objects/0/owned", true],
	# What is empty asks for nothing.
	["operation/consent", []],
	["operation/regions", []],
	["objects", []],
	# The other alternative, and the other region, is the one that is held.
	["operation/regions/1", null],
	["operation/regions/1", ""],
	["operation/regions/1", []],
	["operation/regions/1", {}],
	["operation/regions/1", 0],
	["operation/regions/1", true],
	["operation/regions/1", "abc"],
	["operation/consent/1/0", null],
	["operation/consent/1/0", ""],
	["operation/consent/1/0", []],
	["operation/consent/1/0", {}],
	["operation/consent/1/0", 0],
	["operation/consent/1/0", true],
	["operation/consent/1/0", "abc"],
}

test_anything_of_a_wrong_type_refuses if {
	allowed := {[path, value] |
		some path in paths
		some value in wrong
		decide(json.patch(base, [{"op": "replace", "path": path, "value": value}])).allowed
	}
	allowed == harmless
}

# A wrong type on both sides of a comparison is no match.
test_equal_wrong_types_satisfy_nothing if {
	pairs := {
		["caller/client", "consent/client"],
		["caller/subject", "consent/subject"],
		["operation/permission", "caller/roles/0"],
		["operation/consent/0/0", "consent/permissions/0"],
		["operation/regions/0", "region/service"],
		["region/service", "region/caller"],
		["objects/0/id", "consent/objects/0/id"],
		["objects/0/type", "consent/objects/0/type"],
		["operation/step_up/acr_values/0", "token/acr"],
		["operation/step_up/max_age", "token/auth_time"],
	}
	every pair in pairs {
		every value in [null, [], {}, 0, true] {
			patch := [{"op": "replace", "path": path, "value": value} | some path in pair]
			not decide(json.patch(base, patch)).allowed
		}
	}
}

# A larger type is not a later time: Rego orders "x" after every number.
test_types_are_not_times if {
	every path in ["consent/expires_at", "request/time", "token/auth_time", "operation/step_up/max_age"] {
		every value in ["9999999999999999999", [1], {"a": 1}, true] {
			not decide(with_fact(path, value)).allowed
		}
	}
}

# Step-up

step_up(asked, token) := decide(json.patch(base, [
	{"op": "replace", "path": "operation/step_up", "value": asked},
	{"op": "replace", "path": "token", "value": token},
]))

test_step_up_is_told_first if {
	d := decide(json.patch(base, [
		{"op": "remove", "path": "token"},
		{"op": "remove", "path": "consent"},
	]))
	d.reason == "step_up"
	d.step_up == base.operation.step_up
	"consent" in d.refusals
}

test_step_up_is_asked_only_when_it_is_refused if {
	d := decide(without("consent"))
	not "step_up" in object.keys(d)
}

test_authentication_in_the_future_is_not_recent if {
	d := step_up({"max_age": 300}, {"auth_time": base.request.time + 1})
	d.reason == "step_up"
}

test_authentication_at_its_oldest_is_recent if {
	step_up({"max_age": 300}, {"auth_time": base.request.time - 300}).allowed
	step_up({"max_age": 300}, {"auth_time": base.request.time - 301}).reason == "step_up"
	step_up({"max_age": 300}, {"auth_time": base.request.time}).allowed
}

test_either_of_strength_and_age_can_be_asked_alone if {
	step_up({"acr_values": ["a", "b"]}, {"acr": "b"}).allowed
	step_up({"acr_values": ["a", "b"]}, {"acr": "c"}).reason == "step_up"
	step_up({"max_age": 300}, {"acr": "b"}).reason == "step_up"
}

test_step_up_for_nothing_is_a_mistake if {
	every asked in [{}, {"acr": ["a"]}, [], "abc", {"acr_values": []}, {"acr_values": "a"}] {
		step_up(asked, {"acr": "a", "auth_time": base.request.time}).reason == "step_up"
	}
}

# Roles

bare := {
	"request": base.request,
	"operation": {"id": "op", "permission": "read_accounts"},
	"caller": {"kind": "staff", "subject": "sue", "roles": ["support"]},
	"objects": [],
}

test_a_role_grants_its_permission if decide(bare).allowed

test_a_customer_whose_role_lacks_the_permission_is_refused if {
	d := decide(with_fact("caller/roles", ["teller"]))
	d.reason == "permission"
	d.refusals == {"permission"}
}

test_an_unknown_role_grants_nothing if {
	decide(object.union(bare, {"caller": {"roles": ["nobody"]}})).reason == "permission"
	decide(object.union(bare, {"caller": {"roles": []}})).reason == "permission"
}

test_without_a_table_no_role_grants if {
	d := standard.decision with input as bare with data.roles as {}
	d.reason == "permission"
}

test_roles_are_a_list if decide(object.union(bare, {"caller": {"roles": {"a": "support"}}})).reason == "permission"

# Consent

consent_alone := json.patch(base, [
	{"op": "remove", "path": "operation/permission"},
	{"op": "remove", "path": "operation/step_up"},
	{"op": "remove", "path": "operation/regions"},
])

test_a_consent_grants if decide(consent_alone).allowed

test_each_fault_of_a_consent_has_its_reason if {
	faults := {
		"consent/id": ["", "consent"],
		"consent/client": ["other", "consent_client"],
		"consent/subject": ["bob", "consent_subject"],
		"consent/status": ["RVKD", "consent_status"],
		"consent/expires_at": [1795000000000000000, "consent_expiry"],
		"consent/permissions": [["ReadBalances"], "consent_permission"],
		"consent/objects": [[{"type": "account", "id": "1"}], "consent_object"],
	}
	every path, fault in faults {
		d := decide(with_fact(path, fault[0]))
		d.allowed == false
		d.reason == fault[1]
		count(d.refusals) == 1
	}
}

test_the_older_status_counts if decide(with_fact("consent/status", "Authorised")).allowed

test_a_consent_may_be_open_ended if {
	open := json.patch(without("consent/expires_at"), [{"op": "add", "path": "consent/open_ended", "value": true}])
	decide(open).allowed
	every value in [null, "", [], {}, 0, "abc", false, "true", 1] {
		decide(json.patch(open, [{"op": "replace", "path": "consent/open_ended", "value": value}])).reason == "consent_expiry"
	}
	decide(without("consent/expires_at")).reason == "consent_expiry"
}

test_a_consent_is_a_customers if {
	every kind in ["client", "staff", "anonymous"] {
		"consent_subject" in decide(with_fact("caller/kind", kind)).refusals
	}
}

test_every_list_of_permissions_must_be_met if {
	decide(with_fact("consent/permissions", ["ReadTransactionsDetail", "ReadTransactionsBasic"])).reason == "consent_permission"
}

test_an_empty_list_of_alternatives_is_never_met if {
	decide(with_fact("operation/consent", [[]])).reason == "consent_permission"
}

# Ownership

ownership_alone := json.patch(consent_alone, [{"op": "remove", "path": "operation/consent"}])

test_ownership_grants_a_customer if decide(ownership_alone).allowed

test_a_client_by_itself_owns_nothing if {
	every kind in ["client", "staff", "anonymous", "Customer", ""] {
		d := decide(object.union(ownership_alone, {"caller": {"kind": kind}}))
		d.reason == "not_owner"
	}
}

test_one_object_of_another_refuses if {
	d := decide(with_fact("objects/1", {"type": "account", "id": "2", "owned": false, "region": "GB"}))
	d.reason == "consent_object"
	d.refusals == {{"consent_object": "account:2"}, {"not_owner": "account:2"}}
}

test_an_object_that_cannot_be_named_refuses if {
	every named in [{}, "abc", null, {"type": "account"}, {"id": "1"}, {"type": "a:b", "id": "c", "owned": true}] {
		decide(object.union(ownership_alone, {"objects": [named]})).reason == "objects"
	}
}

test_no_objects_grant_nothing if {
	decide(object.union(ownership_alone, {"objects": []})).reason == "nothing_grants"
}

# Region

test_the_region_table_says_who_is_served if {
	foreign := with_fact("region/caller", "FR")
	decide(foreign).reason == "region_caller"
	served := standard.decision with input as foreign with data.roles as roles with data.regions as {"GB": ["GB", "FR"]}
	served.allowed
}

test_a_table_without_the_service_serves_nobody if {
	d := standard.decision with input as base with data.roles as roles with data.regions as {"IE": ["GB"]}
	d.refusals == {"region_caller", {"region_object": "account:22289"}}
}

test_a_service_elsewhere_refuses if decide(with_fact("operation/regions", ["IE"])).reason == "region"

test_an_object_kept_elsewhere_refuses if decide(with_fact("objects/0/region", "IE")).reason == "region_object"

# Public operations and scopes

test_a_public_operation_needs_nobody if {
	document := {"operation": {"id": "op", "public": true}, "objects": []}
	decide(document).allowed
	every path in ["operation", "operation/id", "operation/public", "objects"] {
		not decide(json.patch(document, [{"op": "remove", "path": path}])).allowed
	}
}

test_public_is_true_and_nothing_else if {
	every value in [null, "", [], {}, 0, 1, "true", false] {
		decide({"operation": {"id": "op", "public": value}, "objects": []}).reason == "nothing_grants"
	}
}

test_a_scope_grants_where_the_contract_says_so if {
	document := {"operation": {"id": "op", "grant": "scope"}, "caller": {"kind": "client"}, "objects": []}
	decide(document).allowed
	every path in ["operation/grant", "caller/kind", "caller"] {
		decide(json.patch(document, [{"op": "remove", "path": path}])).reason == "nothing_grants"
	}
	decide(object.union(document, {"caller": {"kind": "anonymous"}})).reason == "nothing_grants"
	decide(object.union(document, {"operation": {"grant": "scopes"}})).reason == "nothing_grants"
}

test_nothing_grants if {
	decide({"operation": {"id": "op"}, "caller": {"kind": "customer"}, "objects": []}) == {
		"allowed": false, "reason": "nothing_grants", "refusals": {"nothing_grants"},
	}
}

# A site's policy

test_a_site_refuses if {
	d := standard.decision with input as base with data.roles as roles with data.countersign.site.deny as {"zebra", "aardvark"}
	d.reason == "aardvark"
	d.refusals == {"aardvark", "zebra"}
}

test_a_sites_refusal_is_told_last if {
	d := standard.decision with input as without("region/caller")
		with data.roles as roles
		with data.countersign.site.deny as {"aardvark"}
	d.reason == "region_caller"
}

test_a_sites_refusal_cannot_be_waived if {
	every name in ["aardvark", "permission"] {
		d := standard.decision with input as base
			with data.roles as roles
			with data.countersign.site.deny as {name}
			with data.countersign.site.waive as {name}
		d.reason == name
	}
}

case := json.patch(base, [
	{"op": "replace", "path": "caller", "value": {"kind": "staff", "roles": ["support"]}},
	{"op": "remove", "path": "operation/consent"},
	{"op": "replace", "path": "objects/0/owned", "value": false},
])

test_a_site_waives_one_requirement_of_one_object if {
	decide(case).refusals == {{"not_owner": "account:22289"}}
	waive := {{"not_owner": "account:22289"}}
	d := standard.decision with input as case with data.roles as roles with data.countersign.site.waive as waive
	d == {"allowed": true, "waived": waive}
	two := json.patch(case, [{"op": "add", "path": "objects/1", "value": {"type": "account", "id": "3", "region": "GB"}}])
	refused := standard.decision with input as two with data.roles as roles with data.countersign.site.waive as waive
	refused.refusals == {{"not_owner": "account:3"}}
	refused.waived == waive
}

test_a_waiver_of_something_else_lifts_nothing if {
	every waive in [{"not_owner"}, {{"not_owner": "account:2"}}, {"permission"}, "not_owner", true, {}] {
		d := standard.decision with input as case with data.roles as roles with data.countersign.site.waive as waive
		d.reason == "not_owner"
	}
}

test_a_waiver_grants if {
	document := {"operation": {"id": "op", "permission": "read_accounts"}, "caller": {"kind": "staff"}, "objects": []}
	d := standard.decision with input as document with data.roles as roles with data.countersign.site.waive as {"permission"}
	d == {"allowed": true, "waived": {"permission"}}
}

test_a_waiver_of_what_grants_nothing_grants_nothing if {
	document := {
		"request": {"time": 5}, "operation": {"id": "op", "regions": ["GB"], "step_up": {"max_age": 1}},
		"caller": {"kind": "customer"}, "objects": [],
	}
	waive := {"region", "region_caller", "step_up"}
	d := standard.decision with input as document with data.roles as roles with data.countersign.site.waive as waive
	d.reason == "nothing_grants"
}

test_what_is_not_required_cannot_be_waived if {
	document := {"operation": {"id": "op"}, "caller": {"kind": "staff"}, "objects": []}
	d := standard.decision with input as document with data.countersign.site.waive as {"permission", "nothing_grants"}
	d.reason == "nothing_grants"
}

test_what_everything_rests_upon_cannot_be_waived if {
	d := standard.decision with input as {}
		with data.countersign.site.waive as {"operation", "objects"}
	d.refusals == {"operation", "objects", "nothing_grants"}
}

# A contract that only observes the region must not open what nothing grants.
test_that_nothing_grants_is_told_beside_what_grants_nothing if {
	document := {
		"request": {"time": 5}, "operation": {"id": "op", "regions": ["GB"], "step_up": {"max_age": 1}},
		"caller": {"kind": "customer"}, "objects": [],
	}
	decide(document).refusals == {"region", "region_caller", "step_up", "nothing_grants"}
	decide(document).reason == "step_up"
}

test_what_would_grant_is_not_missed_beside_it if {
	every path in ["caller/roles", "consent/status", "objects/0/owned"] {
		not "nothing_grants" in decide(without(path)).refusals
	}
}
