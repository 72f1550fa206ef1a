"""Messages of reports and rollups; `name.remedy` is the remedy of the cause `name`."""

from __future__ import annotations

TEXTS = {
    "loss_explanations_hidden": "What explains a missing number is hidden. {sentence} GRANT SELECT ON"
    " token_tracker_ledger TO this role, or: token-tracker migrate.",
    "range_without_zone": "A report's range needs times with a zone; give its start and end a tzinfo.",
    "range_reversed": "A report's range must not end before it starts; exchange the two.",
    "weekday_invalid": "A weekday is 0 (Monday) to 6 (Sunday), not {weekday}.",
    "hour_invalid": "An hour of the day is 0 to 23, not {hour}.",
    "time_zone_unknown": "There is no time zone {name}; use an IANA name such as Asia/Seoul.",
    "minimum_invalid": "The minimum of a search must be a number from 0, not {value}.",
    "session_sort_unknown": "AI sessions can't be sorted by {sort}; use one of: {sorts}.",
    "dimension_unknown": "There is no dimension {name}; use some of: {names}.",
    "measure_unknown": "There is no measure {name}; use some of: {names}.",
    "too_many_properties": "A question has at most {limit} properties (metadata.KEY) as dimensions; remove some.",
    "last_invalid": "{text} is no range; use hours, days or weeks such as 24h, 7d and 2w, or today or month.",
    "export_invalid": "The filters of the export can't be read. Reload the page and export again.",
    "difference.missing": "{row}: is missing",
    "difference.without_rows": "{row}: has no rows in token_usage",
    "difference.total": "{name} is {actual}, the rows have {expected}",
    "difference.totals": "{row}: {totals}",
    "rollups_incomplete": "The rollups don't cover all calls yet.",
    "rollups_incomplete.remedy": "Run: token-tracker rollup.",
    "readers_busy": "All connections of the dashboard are busy.",
    "readers_busy.remedy": "No action is needed; try again later.",
    "not_pgbouncer": "The server of {variable} doesn't support SHOW POOLS.",
    "not_pgbouncer.remedy": "Use the URL of the admin console: its database is named pgbouncer, its user is listed in"
    " stats_users.",
    "first_sample_slow": "The connections can't be sampled: the first sample takes too long.",
    "sampling_failed": "The connections can't be sampled ({error_type}); the log has details.",
    "refreshing": "Another process is refreshing the rollups.",
    "rollups_missing": "The rollup tables are missing.",
    "rollups_missing.remedy": "Create them: token-tracker migrate.",
    "right_missing": "This database user has no permission to write the rollups.",
}  # fmt: skip
