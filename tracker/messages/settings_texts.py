"""Messages of settings."""

from __future__ import annotations

TEXTS = {
    "fallback.access_refused": "All access is refused until it is corrected.",
    "fallback.writes_refused": "The dashboard changes no prices and budgets until it is corrected.",
    "fallback.default": "Its default is used.",
    "setting_unknown": "There is no setting {unknown}; there are: {known}.",
    "database_url_blank": "{variable} contains only white space; it must be"
    " postgresql://user:password@host:5432/database.",
    "setting_blank": "{variable} contains only white space; it must be {allowed}.",
    "setting_invalid": "{variable} is {given}; it must be {allowed}.",
    "fallback.default_value": "Its default, {default}, is used.",
}  # fmt: skip
