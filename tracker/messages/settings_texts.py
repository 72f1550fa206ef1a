"""Messages of settings."""

from __future__ import annotations

TEXTS = {
    "all_access_refused_until_corrected": "All access is refused until it is corrected.",
    "default_used": "Its default is used.",
    "setting_unknown": "There is no setting {unknown}; there are: {value}.",
    "database_url_blank": "{blank} contains only white space; it must be"
    " postgresql://user:password@host:5432/database.",
    "setting_blank": "{name} contains only white space; it must be {allowed}.",
    "setting_invalid": "{name} is {given}; it must be {allowed}.",
    "default_value_used": "Its default, {default}, is used.",
}  # fmt: skip
