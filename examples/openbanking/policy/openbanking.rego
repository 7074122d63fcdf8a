# METADATA
# title: The demo bank's decision
# description: The standard one, with the bank's limits.
package openbanking

import data.countersign.site
import data.countersign.standard

# METADATA
# title: What is allowed is allowed so often
# description: The contract's own limits are spent beside these.
decision := object.union(standard.decision, {"limits": limits})

# METADATA
# title: Each customer makes two large payments a day
# description: |
#   A limit's key is made of what was verified: with a value of the client's choice it
#   would be another limit each time.
limits contains {"name": "large_payments", "key": key, "max": 2, "window": 86400000000000} if {
	input.operation.permission == "create_payments"
	not site.small
	key := json.marshal([input.caller.issuer, input.caller.subject])
}
