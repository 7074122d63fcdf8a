package countersign.standard.details_test

import data.countersign.standard.details

payment := {
	"type": "payment_initiation", "actions": ["initiate", "status"], "datatypes": ["single"], "privileges": ["owner"],
	"identifier": "p-1", "locations": ["https://rs.example"],
}

asked := {
	"type": "payment_initiation", "actions": ["initiate"], "datatypes": ["single"], "privileges": ["owner"],
	"identifier": "p-1",
}

granting(elements, ask) := found if {
	document := {"operation": {"audiences": ["urn:rs", "https://rs.example"]}, "token": {"authorization_details": elements}}
	found := details.granting(ask) with input as document
}

changed(element, name, value) := json.patch(element, [{"op": "add", "path": name, "value": value}])

without(element, name) := json.patch(element, [{"op": "remove", "path": name}])

test_an_element_that_says_it_all_grants if granting([payment], asked) == [payment]

test_each_that_grants_is_told if {
	other := changed(payment, "identifier", "p-2")
	ask := without(asked, "identifier")
	granting([payment, {"type": "a"}, other], ask) == [payment, other]
}

test_members_of_two_elements_are_not_mixed if {
	every name in ["actions", "datatypes", "privileges", "identifier"] {
		granting([without(payment, name), {"type": "payment_initiation", name: payment[name]}], asked) == []
	}
}

test_what_is_not_said_is_not_granted if {
	every name in ["type", "actions", "datatypes", "privileges", "identifier"] {
		granting([without(payment, name)], asked) == []
	}
}

test_values_of_other_types_grant_nothing if {
	every name in object.keys(payment) {
		every value in [null, "", [], {}, 0, true, "abc", {"initiate": true}] {
			granting([changed(payment, name, value)], asked) == []
		}
	}
}

test_all_of_a_list_is_asked_for if {
	granting([payment], changed(asked, "actions", ["status", "initiate"])) == [payment]
	granting([payment], changed(asked, "actions", ["initiate", "cancel"])) == []
}

test_texts_are_compared_as_they_stand if {
	every change in [["type", "Payment_Initiation"], ["type", "payment_initiation "], ["identifier", "P-1"], ["actions", ["INITIATE"]]] {
		granting([changed(payment, change[0], change[1])], asked) == []
	}
}

test_a_location_is_one_of_this_api if {
	every locations in [["https://rs.example"], ["https://other.example", "urn:rs"]] {
		count(granting([changed(payment, "locations", locations)], asked)) == 1
	}
	count(granting([without(payment, "locations")], asked)) == 1
	every locations in [["https://other.example"], ["https://rs.example/"], ["HTTPS://rs.example"], ["https://rs"], [["urn:rs"]]] {
		granting([changed(payment, "locations", locations)], asked) == []
	}
}

test_without_names_of_its_own_an_api_is_nowhere if {
	every operation in [{}, {"audiences": null}, {"audiences": "https://rs.example"}, {"audiences": {"a": "https://rs.example"}}] {
		document := {"operation": operation, "token": {"authorization_details": [payment]}}
		found := details.granting(asked) with input as document
		found == []
	}
}

test_what_is_no_list_of_elements_grants_nothing if {
	every elements in [null, {}, {"a": payment}, "abc", 1, [null], ["abc"], [[payment]]] {
		granting(elements, asked) == []
	}
	every document in [{}, {"token": {}}, {"token": null}, null] {
		found := details.granting(asked) with input as document
		found == []
	}
}

test_a_mistaken_question_is_granted_by_none if {
	every ask in [
		{}, null, "payment_initiation", [asked], {"type": ""}, {"type": null}, {"type": ["payment_initiation"]}, {"actions": ["initiate"]},
		changed(asked, "action", ["initiate"]), changed(asked, "locations", ["https://rs.example"]), changed(asked, "actions", []),
		changed(asked, "actions", "initiate"), changed(asked, "actions", [null]), changed(asked, "identifier", null),
	] {
		granting([payment, {"type": ""}, {"type": null, "actions": [null], "identifier": null}], ask) == []
	}
}
