package countersign.site

# METADATA
# title: The tenant is closed
# custom: {reason: closed}
deny contains "closed" if input.caller.tenant == "closed"
