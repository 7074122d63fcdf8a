# METADATA
# title: Times at which something holds
# description: |
#   Windows of the week, such as office hours, and windows of the calendar, such as what a
#   role is granted for. Both are held against input.request.time, the decision's one
#   reading of the clock. What is not written as it must be holds at no time.
#
#   Times are compared as text of one length, which stands in the order of what it means.
#   A zone that there is not ends the decision, which refuses; in data it does not load.
package countersign.standard.hours

# METADATA
# title: The key has no hours in that part of data.access.hours, or it is within them
# description: A part is "permissions" or "roles"; what is no table has nothing open.
permit(part, key) if {
	is_object(data.access.hours)
	table := object.get(data.access.hours, part, {})
	is_object(table)
	not key in object.keys(table)
}

permit(_, _) if not limited

permit(part, key) if open(data.access.hours[part][key])

# METADATA
# title: There are hours
limited if type_name(data.access.hours)

# METADATA
# title: It is now within one of the windows of the week
# description: |
#   A window is {"days": ["mon", "tue"], "from": "08:00", "to": "18:00", "zone": "Europe/London"}:
#   on each of those days from the one time until just before the other, as clocks show
#   them in that place (IANA), summer time or not. "24:00" is the end of the day. Where
#   "to" is before "from", the window ends on the day after.
# custom: {public: true}
open(windows) if {
	is_array(windows)
	some window in windows
	holds(window)
}

# METADATA
# title: It is now within the window of the week
holds(window) if {
	written(window)
	window.from < window.to
	[day, clock] := local(window.zone)
	day in window.days
	window.from <= clock
	clock < window.to
}

holds(window) if {
	written(window)
	window.to < window.from
	[day, clock] := local(window.zone)
	day in window.days
	window.from <= clock
}

holds(window) if {
	written(window)
	window.to < window.from
	[day, clock] := local(window.zone)
	before[day] in window.days
	clock < window.to
}

# METADATA
# title: The window of the week is written as it must be
written(window) if {
	is_array(window.days)
	is_string(window.from)
	regex.match(`^([01][0-9]|2[0-3]):[0-5][0-9]$`, window.from)
	is_string(window.to)
	regex.match(`^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$`, window.to)
	every day in window.days { before[day] }
}

# METADATA
# title: The days of the week, each with the one before it
before := {"mon": "sun", "tue": "mon", "wed": "tue", "thu": "wed", "fri": "thu", "sat": "fri", "sun": "sat"}

# METADATA
# title: The day of the week and the time of day, there and now
# description: |
#   "Local", which is wherever the process runs, is nowhere.
local(zone) := split(lower(time.format([now, zone, "Mon 15:04"])), " ") if {
	now := input.request.time
	is_number(now)
	is_string(zone)
	regex.match(`^(UTC|[A-Za-z]+(/[A-Za-z0-9_+-]+)+)$`, zone)
}

# METADATA
# title: It is now from the one instant on, and before the other
# description: |
#   Instants are of UTC, as in "2026-11-21T09:00:00Z". One without the other holds never:
#   what is for good needs no window.
# custom: {public: true}
within(from, until) if {
	instant(from)
	instant(until)
	from <= second
	second < until
}

# METADATA
# title: The instant is written as it must be
instant(text) if {
	is_string(text)
	regex.match(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$`, text)
}

# METADATA
# title: The present second, as instants are written
second := time.format([now, "UTC", "2006-01-02T15:04:05Z"]) if {
	now := input.request.time
	is_number(now)
}
