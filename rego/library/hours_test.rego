package countersign.standard.hours_test

import data.countersign.standard.hours

office := {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "08:00", "to": "18:00", "zone": "Europe/London"}

night := {"days": ["fri"], "from": "22:00", "to": "06:00", "zone": "Europe/London"}

at(instant) := {"request": {"time": time.parse_rfc3339_ns(instant)}}

changed(window, name, value) := json.patch(window, [{"op": "add", "path": name, "value": value}])

test_a_window_begins_and_ends_to_the_minute if {
	every instant in ["2026-11-20T08:00:00Z", "2026-11-20T12:30:00Z", "2026-11-20T17:59:59.999Z"] {
		hours.open([office]) with input as at(instant)
	}
	every instant in ["2026-11-20T07:59:59.999Z", "2026-11-20T18:00:00Z", "2026-11-21T12:00:00Z", "2026-11-22T12:00:00Z"] {
		not hours.open([office]) with input as at(instant)
	}
}

test_clocks_are_those_of_the_place if {
	# In summer it is one hour later in London than in UTC, and the change is in the night of 25 October.
	hours.open([office]) with input as at("2026-10-23T07:00:00Z")
	not hours.open([office]) with input as at("2026-10-23T17:00:00Z")
	not hours.open([office]) with input as at("2026-10-26T07:00:00Z")
	hours.open([office]) with input as at("2026-10-26T17:00:00Z")

	# It is Friday in Auckland, and Thursday in London.
	auckland := changed(office, "zone", "Pacific/Auckland")
	hours.open([changed(auckland, "days", ["fri"])]) with input as at("2026-11-19T20:00:00Z")
}

test_the_hour_that_comes_twice_is_open_twice if {
	window := {"days": ["sun"], "from": "01:00", "to": "02:00", "zone": "Europe/London"}
	every instant in ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"] {
		hours.open([window]) with input as at(instant)
	}

	# The one that is left out in spring is never open.
	every instant in ["2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z"] {
		not hours.open([window]) with input as at(instant)
	}
}

test_a_window_across_midnight_is_of_the_day_on_which_it_begins if {
	every instant in ["2026-11-20T22:00:00Z", "2026-11-20T23:59:59Z", "2026-11-21T00:00:00Z", "2026-11-21T05:59:59Z"] {
		hours.open([night]) with input as at(instant)
	}
	every instant in ["2026-11-20T21:59:59Z", "2026-11-21T06:00:00Z", "2026-11-20T05:00:00Z", "2026-11-21T22:30:00Z", "2026-11-20T12:00:00Z"] {
		not hours.open([night]) with input as at(instant)
	}
	sunday := changed(night, "days", ["sun"])
	hours.open([sunday]) with input as at("2026-11-23T01:00:00Z")
}

test_a_whole_day if {
	whole := {"days": ["sat"], "from": "00:00", "to": "24:00", "zone": "UTC"}
	hours.open([whole]) with input as at("2026-11-21T00:00:00Z")
	hours.open([whole]) with input as at("2026-11-21T23:59:59Z")
	not hours.open([whole]) with input as at("2026-11-22T00:00:00Z")
}

test_one_window_of_several_is_enough if {
	hours.open([night, office]) with input as at("2026-11-20T12:00:00Z")
	hours.open([office, night]) with input as at("2026-11-20T23:00:00Z")
}

wrong := [null, "", [], {}, 0, true, "abc", ["mon", 1], ["Mon"], "8:00", "25:00", "08:60", "08:00 ", "Local", "local", "EST", "../etc/passwd", "Europe/"]

test_what_is_written_wrong_is_never_open if {
	every name in ["days", "from", "to", "zone"] {
		every value in wrong {
			not hours.open([changed(office, name, value)]) with input as at("2026-11-20T12:00:00Z")
			not hours.open([changed(night, name, value)]) with input as at("2026-11-20T23:00:00Z")
		}
		not hours.open([object.remove(office, [name])]) with input as at("2026-11-20T12:00:00Z")
		not hours.open([object.remove(night, [name])]) with input as at("2026-11-21T01:00:00Z")
	}
	every windows in [null, "", {}, 0, true, "all", office, [null], ["all"], [[office]]] {
		not hours.open(windows) with input as at("2026-11-20T12:00:00Z")
	}
	not hours.open([changed(office, "to", "08:00")]) with input as at("2026-11-20T08:00:00Z")
	not hours.open([changed(office, "from", "24:00")]) with input as at("2026-11-20T08:00:00Z")
}

test_at_no_known_time_nothing_is_open if {
	every document in [{}, {"request": {}}, {"request": {"time": null}}, {"request": {"time": "2026-11-20T12:00:00Z"}}, null] {
		not hours.open([office]) with input as document
		not hours.within("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z") with input as document
	}
}

test_a_validity_begins_and_ends_to_the_second if {
	every instant in ["2026-11-20T08:00:00Z", "2026-11-20T08:00:00.999Z", "2026-11-20T09:59:59.999999999Z"] {
		hours.within("2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z") with input as at(instant)
	}
	every instant in ["2026-11-20T07:59:59.999Z", "2026-11-20T10:00:00Z", "2025-11-20T09:00:00Z", "2027-11-20T09:00:00Z"] {
		not hours.within("2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z") with input as at(instant)
	}
}

test_a_validity_that_is_written_wrong_holds_never if {
	every text in [null, 0, true, "", "abc", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00+00:00", "2026-01-01t00:00:00z", "2026-01-01T00:00:00Z\n", {}, []] {
		not hours.within(text, "2027-01-01T00:00:00Z") with input as at("2026-11-20T08:00:00Z")
		not hours.within("2026-01-01T00:00:00Z", text) with input as at("2026-11-20T08:00:00Z")
	}
}

test_what_has_no_hours_is_not_restricted if {
	monday := at("2026-11-23T03:00:00Z")
	hours.permit("roles", "a") with input as monday with data.access as {}
	hours.permit("roles", "a") with input as monday with data.access.hours as {}
	hours.permit("roles", "a") with input as monday with data.access.hours as {"roles": {"b": [office]}, "permissions": {"a": [office]}}
	not hours.permit("roles", "a") with input as monday with data.access.hours as {"roles": {"a": [office]}}
	hours.permit("roles", "a") with input as at("2026-11-20T12:00:00Z") with data.access.hours as {"roles": {"a": [office]}}
}

test_what_is_no_table_of_hours_has_nothing_open if {
	every value in [null, "", [], 0, true, "abc"] {
		not hours.permit("roles", "a") with input as at("2026-11-20T12:00:00Z") with data.access.hours as value
		not hours.permit("roles", "a") with input as at("2026-11-20T12:00:00Z") with data.access.hours as {"roles": value}
		not hours.permit("roles", "a") with input as at("2026-11-20T12:00:00Z") with data.access.hours as {"roles": {"a": value}}
	}
}
