package countersign.standard.callers_test

import data.countersign.standard.callers

reading := {"operation": {"permission": "read"}}

test_a_list_is_of_permissions if {
	callers.listed({"delegate": ["view", "read"]}, "delegate") with input as reading
	callers.listed({"owner": "all"}, "owner") with input as reading
	not callers.listed({"delegate": ["view"]}, "delegate") with input as reading
	not callers.listed({"delegate": []}, "delegate") with input as reading
	not callers.listed({"delegate": ["read"]}, "owner") with input as reading
}

test_all_is_all_without_a_permission_too if {
	callers.listed({"owner": "all"}, "owner") with input as {}
	not callers.listed({"owner": ["read"]}, "owner") with input as {}
}

test_what_is_no_table_lists_nothing if {
	every list in [null, "read", {"a": "read"}, {"read": true}, 0, true, "ALL", ["all"], [["read"]]] {
		not callers.listed({"owner": list}, "owner") with input as reading
	}
	every table in [null, "all", [], ["all"], 0, true] {
		not callers.listed(table, "owner") with input as reading
		not callers.listed(table, 0) with input as reading
	}
	every permission in [null, 0, true, [], {}] {
		not callers.listed({"owner": [permission]}, "owner") with input as {"operation": {"permission": permission}}
	}
}

test_a_tenant_is_the_callers_own if {
	callers.of_tenant("retail") with input as {"caller": {"tenant": "retail"}}
	not callers.of_tenant("retail") with input as {"caller": {"tenant": "private"}}
	every value in [null, "", 0, [], {}, true] {
		not callers.of_tenant(value) with input as {"caller": {"tenant": value}}
	}
	not callers.of_tenant("retail") with input as {"caller": {}}
}

checker := {"caller": {"kind": "staff", "subject": "sam"}}

test_who_made_it_does_not_approve_it if {
	callers.four_eyes("tom") with input as checker
	not callers.four_eyes("sam") with input as checker
	callers.four_eyes(["tom", "kim"]) with input as checker
	not callers.four_eyes(["tom", "sam"]) with input as checker
	not callers.four_eyes("tom") with input as object.union(checker, {"caller": {"actor": "tom"}})
	callers.four_eyes("tom") with input as object.union(checker, {"caller": {"actor": "bot"}})
}

test_nobody_is_apart_from_an_unknown_maker if {
	every value in [null, "", [], {}, 0, true, {"tom"}, [null], [""], ["tom", null], {"a": "tom"}] {
		not callers.four_eyes(value) with input as checker
	}
}

test_who_is_nobody_approves_nothing if {
	every change in [{"kind": "client"}, {"kind": "anonymous"}, {"kind": null}, {"subject": ""}, {"subject": null}, {"subject": 0}] {
		not callers.four_eyes("tom") with input as object.union(checker, {"caller": change})
	}
	every path in ["caller", "caller/kind", "caller/subject"] {
		not callers.four_eyes("tom") with input as json.remove(checker, [path])
	}
}
