"""The library's sentences that a page may show: collected out of its code, for the catalogue `library`.

The library speaks English, on the command line, in logs and in JSON. A page shows its sentences in the reader's words:
`pages/support/message_text.py` finds the one that was said among these, with its names and numbers, and says it again.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog

from tracker import messages

TRACKER = Path(__file__).parent.parent / "tracker"
SAID_IN = {
    "auth": "access_policy",
    "database": "adoption embedded embedded_directory constraint_check locate pool publications"
    " statement_pooling watchdog tls url",
    "diagnostics": "checklist compare_reports fetch_report environment_flags probe local_outboxes recommendations"
    " variable_remedies rollup_check rules self_test server_queries connection_probe environment_variables",
    "recording": "retry direct_writer insert tracker",
    "recording/outbox": "store sqlite_file paths",
    "reports": "ledger_report",
    "reports/engine": "reader",
    "reports/connections": "pgbouncer sampler",
    "rollups": "refresh_lock refresh rollup_state",
    "": "settings",
}
_SENTENCE = re.compile(r"(?:[A-Z0-9{]|token-tracker ).* .*[.;]")
# Statements for the log of a server or for psql: they are copied, not read.
_NOT_READ = re.compile(r"(DELETE|INSERT|SELECT|UPDATE|SET|GRANT|ALTER TABLE|CREATE \w+|PRAGMA) [^.]*;?$")
_FORMATTED = re.compile(r"\{(\w*)\}")
# What is no sentence by itself, and is put together with others or stands in a table.
_LEAST_LETTERS = 8
FRAGMENTS = (
    "Environment variables are set", "The database is reachable", "The table token_usage exists",
    "AI summary and AI tag are recorded", "The dashboard shows them", "The debug API answers",
    "The log contains them", "Maximum connections", "Idle timeout", "Connect timeout",
    "Maximum lifetime of a connection", "Maximum retries", "Time limit for one record, including retries", "no limit",
    "{n} s", "set by {variable}", "Serverless:", "Server:",
    "many instances share the server's connections, so each uses few",
    "one process serves all requests, so it may use more",
    "a frozen instance keeps its sockets open, so idle ones close soon", "connections stay open between bursts",
    "an upper bound: the record's deadline ends earlier", "instances live for minutes, and so do their connections",
    "the process keeps running, and so may its connections", "transient errors are retried",
    "the function's own time limit is short", "a server has no time limit for a request",
    "not reported", "yes", "no", "some", "none", "slow", "fast",
    "failed: {code}", "connected", "ok", "FAILED", "{step} {ok} after {ms} ms", "{step} not needed",
    "failed", "write", "read back", "same id again", "dashboard shows it", "rollup", "clean up",
    "no second row", "recorded", "duplicate", "{outcome}, {n} retries, id {id}", "a view", "a materialized view",
    "a foreign table", "a partitioned table", "As an owner:", "As the table's owner:", "As the schema's owner:",
    "with row-level security also CREATE POLICY.", "it is read-only", "the disk refused",
    "a row-level security policy for INSERT", "something else (masked)", "no URL",
    "an address that starts with {scheme}", "is not a PostgreSQL URL that can be read",
    "contains a % without two hexadecimal digits after it; write % in a password as %25",
    "a whole number from {low} to {high}", "seconds from {low} to {high}", "seconds from {low} to {high}, or none",
    "direct or background", "a file", "a directory", "megabytes from {low} to {high}",
    "URLs separated by spaces, such as {url}", "true or false", "milliseconds from {low} to {high}",
    "an IANA time zone such as Asia/Seoul", "a TOML file with custom prices", "a bearer token",
    "the URL of PgBouncer's admin console, such as {url}", "one of {names}",
    "SCHEMA public TO the user, or on the schema that DATABASE_URL names", "{check} ok", "{check} FAILED",
    "{check} not tried", "{steps} ({sentence})", "The database user may not read {table}.",
    "The database user may not insert into {table}.", "The database user may not delete from {table}.",
    "The database user may not update {table}.", "The database user may not insert into or update {table}.",
    "The database user may not create a table in the schema.",
    "The database user may not change {table}: only its owner may.",
    "The database user may not enter the schema of {table}.", "It answered {status} without {keys}.", "Set: {names}.",
    "Set: none; the embedded database is used.", "Missing: {names}.",
    "The right is missing in the catalog, and an insert was refused:", "A sum differs from its rows:",
    "{n} lines about the test recordings, such as {line}….", "DATABASE_URL is not set.",
    "{sentence} The server's message: \"{words}\".",
    "Not attempted, because the last attempt failed.", "addresses or domains, such as {users}",
)  # fmt: skip


def library_words() -> Catalog:
    """Every sentence, as a template whose names stand in braces, with the module that says it."""
    catalog = Catalog(fuzzy=False)
    for folder, names in SAID_IN.items():
        for name in names.split():
            place = "/".join(filter(None, (folder, f"{name}.py")))
            for text in sentences((TRACKER / place).read_text(encoding="utf-8")):
                catalog.add(text, locations=[(place, None)])  # type: ignore[list-item]
    for code, text in messages.catalog():
        catalog.add(text, locations=[(code, None)])  # type: ignore[list-item]
    for fragment in FRAGMENTS:
        catalog.add(fragment)
    return catalog


def sentences(code: str) -> Iterator[str]:
    """The sentences of a module, in order; neither docstrings nor the parts of an f-string."""
    tree = ast.parse(code)
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    skipped |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if id(node) not in skipped and isinstance(node, ast.Constant | ast.JoinedStr):
            text = template(node).strip()
            if _SENTENCE.fullmatch(text) and not _NOT_READ.match(text) and _is_recognised(text):
                yield text


def _is_recognised(template: str) -> bool:
    """Whether enough of it is fixed that no other sentence is taken for it."""
    return len(re.sub(r"\{\w+\}|[^A-Za-z]", "", template)) >= _LEAST_LETTERS


def template(node: ast.Constant | ast.JoinedStr) -> str:
    """A string with what is filled in as {name}, each name once."""
    if isinstance(node, ast.Constant):
        return _numbered(node.value) if isinstance(node.value, str) else ""
    text = "".join(
        str(part.value) if isinstance(part, ast.Constant) else "{" + _name(part.value) + "}"  # type: ignore[attr-defined]
        for part in node.values
    )
    return _numbered(text)


def _name(expression: ast.expr) -> str:
    """What to call a value: the last name that it is got by."""
    if isinstance(expression, ast.Name):
        return expression.id.strip("_")
    if isinstance(expression, ast.Attribute):
        return expression.attr.strip("_")
    if isinstance(expression, ast.Subscript) and isinstance(expression.slice, ast.Constant):
        key = expression.slice.value
        return key if isinstance(key, str) else _name(expression.value)
    return "value"


def _numbered(text: str) -> str:
    seen: dict[str, int] = {}

    def once(found: re.Match[str]) -> str:
        name = found[1] or "value"
        seen[name] = seen.get(name, 0) + 1
        return "{" + name + (str(seen[name]) if seen[name] > 1 else "") + "}"

    return _FORMATTED.sub(once, text)
