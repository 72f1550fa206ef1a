"""Messages of settings."""

from __future__ import annotations

TEXTS = {
    "allowed.api_tokens": "the entries that token-tracker api-token printed, separated by spaces",
    "allowed.attribute_names": "names of attributes separated by commas, * only at the end of a name, such as {names}",
    "allowed.boolean": "true or false",
    "allowed.currency": "a currency with its rate for one US dollar, such as KRW 1385 or KRW 1385 2026-11-01",
    "allowed.digest_time": "daily or weekly and a time, such as daily 09:00, and optionally en or ko",
    "allowed.directory": "a directory",
    "allowed.file": "a file",
    "allowed.megabytes": "megabytes from {low} to {high}",
    "allowed.milliseconds": "milliseconds from {low} to {high}",
    "allowed.mode": "direct or background",
    "allowed.password_hash": "the hash that token-tracker password printed",
    "allowed.pgbouncer_url": "the URL of PgBouncer's admin console, such as {url}",
    "allowed.platform": "one of {names}",
    "allowed.prices_file": "a TOML file with custom prices",
    "allowed.properties": "up to {count} keys of metadata separated by commas, such as team,feature",
    "allowed.seconds": "seconds from {low} to {high}",
    "allowed.seconds_or_none": "seconds from {low} to {high}, or none",
    "allowed.signing_key": "a secret of {min_chars} or more characters",
    "allowed.time_zone": "an IANA time zone such as Asia/Seoul",
    "allowed.token": "a bearer token",
    "allowed.urls": "URLs separated by spaces, such as {url}",
    "allowed.users": "addresses or domains, such as {users}",
    "allowed.whole_number": "a whole number from {low} to {high}",
    "database_url_blank": "{variable} contains only white space; it must be"
    " postgresql://user:password@host:5432/database.",
    "database_url_not_text": "database_url is {type_name}; it must be text such as"
    " postgresql://user:password@host:5432/database.",
    "fallback.access_refused": "All access is refused until it is corrected.",
    "fallback.api_refused": "All requests to the API routes are refused until it is corrected.",
    "fallback.default": "Its default is used.",
    "fallback.default_value": "Its default, {default}, is used.",
    "fallback.writes_refused": "The dashboard changes no prices, budgets or views until it is corrected.",
    "home_missing": "This user has no home directory; set HOME to one that can be written.",
    "masked_value": "something else (masked)",
    "setting_blank": "{variable} contains only white space; it must be {allowed}.",
    "setting_invalid": "{variable} is {given}; it must be {allowed}.",
    "setting_unknown": "There is no setting {unknown}; there are: {known}.",
}  # fmt: skip
