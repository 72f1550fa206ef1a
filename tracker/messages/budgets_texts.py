"""Messages of budgets; `name.remedy` is the remedy of the cause `name`."""

from __future__ import annotations

TEXTS = {
    "value_invalid": "A budget's {field} is {value}; it must be {allowed}.",
    "name_invalid": "A budget's name is one line of at most {max_chars} characters.",
    "subject_for_everybody": "A budget for everybody has no user, model or operation.",
    "subject_missing": "A budget for one {scope} must name it.",
    "property_invalid": "{text} is no property with a value; write KEY=VALUE, such as team=growth.",
    "properties_invalid": "A budget's subject {subject} is no list of properties with values.",
    "properties_unsupported": "The table of budgets does not accept properties yet.",
    "properties_unsupported.remedy": "Update it: token-tracker migrate.",
    "properties_not_evaluated": "The budget {name} was not evaluated: its calls could not be read within {seconds} s.",
    "amount_invalid": "A budget's limit is {amount}; it must be above 0, to {max_amount}.",
    "alert_percent_invalid": "A budget's alert is sent at 1 to 100 percent, not at {percent}.",
    "tables_missing": "The tables of budgets don't exist.",
    "tables_missing.remedy": "Create them: token-tracker migrate.",
    "not_readable": "This database user may not read the budgets.",
    "ignored": "Budget {name} is ignored: {error}",
    "limits_not_readable": "This database user may not read {table}: {statement}",
    "limits_not_checked": "Only the first {count} users of {table} are checked.",
    "alerts_not_allowed": "This role can't send alerts: {statement}",
}  # fmt: skip
