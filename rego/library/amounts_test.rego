package countersign.standard.amounts_test

import data.countersign.standard.amounts

test_spellings_of_one_amount_are_the_same if {
	every pair in [["123.5", "123.50"], ["123", "123.00"], ["0123.5", "123.5"], ["0", "0.000"], ["00", "0"]] {
		amounts.same(pair[0], pair[1])
		amounts.at_most(pair[0], pair[1])
		amounts.at_most(pair[1], pair[0])
	}
}

# More digits than a floating-point number holds.
test_every_digit_counts if {
	every pair in [
		["123.5", "123.51"], ["0.1", "0.10000000000000001"], ["999999999999999998", "999999999999999999"],
		["123456789012345678.123456789012345677", "123456789012345678.123456789012345678"], ["9.99", "10"], ["9", "10"], ["0.9", "1"],
	] {
		not amounts.same(pair[0], pair[1])
		amounts.at_most(pair[0], pair[1])
		not amounts.at_most(pair[1], pair[0])
	}
}

test_what_is_no_amount_compares_with_nothing if {
	wrong := [
		"", " 1", "1 ", "-1", "+1", "1e2", "0x10", "1,5", "1.", ".5", "1.2.3", "1_000", "١", "1\n",
		"1234567890123456789", "0.1234567890123456789", 1, 1.5, null, true, ["1"], {"a": "1"},
	]
	every amount in wrong {
		not amounts.same(amount, amount)
		not amounts.at_most(amount, "999999")
		not amounts.at_most("0", amount)
	}
}
