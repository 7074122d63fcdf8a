package countersign.site

deny contains "closed" if input.caller.tenant == "closed"
