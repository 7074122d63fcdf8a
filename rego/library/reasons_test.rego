package countersign.standard.reasons_test

import data.countersign.standard
import data.countersign.standard.tables_test
import data.countersign.standard_test

# told are the reasons that the library gives, each by a request that is refused for it
# alone. A Go test holds them against those that are declared.
told := ({reason |
	some reason, [path, value] in by_fact
	decision := standard_test.decide(standard_test.with_fact(path, value))
	decision.allowed == false
	decision.reason == reason
	only(decision, reason)
} | {reason |
	some reason, [name, path, value] in by_table
	decision := tables_test.asked(name, [], tables_test.put(path, value))
	decision.allowed == false
	decision.reason == reason
	only(decision, reason)
}) | {"nothing_grants" |
	decision := standard_test.decide({"operation": {"id": "op"}, "objects": []})
	decision.allowed == false
	decision.reason == "nothing_grants"
}

only(decision, reason) if standard.names == {reason} with standard.refusals as decision.refusals

by_fact := {
	"operation": ["operation/id", ""],
	"objects": ["objects/0", {"type": "account"}],
	"step_up": ["token/acr", "other"],
	"permission": ["caller/roles", []],
	"consent": ["consent/id", ""],
	"consent_client": ["consent/client", "other"],
	"consent_subject": ["consent/subject", "bob"],
	"consent_status": ["consent/status", "RVKD"],
	"consent_expiry": ["consent/expires_at", 0],
	"consent_permission": ["consent/permissions", []],
	"consent_object": ["consent/objects", []],
	"not_owner": ["objects/0/owned", false],
	"region": ["operation/regions", ["IE"]],
	"region_caller": ["region/caller", "FR"],
	"region_object": ["objects/0/region", "FR"],
}

by_table := {
	"admin": ["administrator", "access/admin/roles", []],
	"kind": ["delegate", "access/kinds", {}],
	"tenant": ["delegate", "access/tenants", {}],
	"actor": ["delegate", "access/actors", {}],
	"hours": ["delegate", "access/hours/permissions/read_accounts", []],
	"relation": ["delegate", "access/relations", {}],
}

test_each_reason_is_told if count(told) == (count(by_fact) + count(by_table)) + 1
