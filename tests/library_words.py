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
    "diagnostics": "checklist compare_reports fetch_report probe local_outboxes recommendations"
    " rollup_check rules self_test server_queries",
    "recording": "retry direct_writer insert tracker",
    "recording/outbox": "store sqlite_file paths",
    "reports": "ledger_report",
    "reports/engine": "reader",
    "reports/connections": "pgbouncer sampler",
    "rollups": "refresh_lock refresh rollup_state",
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
    "The log contains them", "not reported", "yes", "no", "some", "none", "slow", "fast", "failed: {code}",
    "connected", "ok", "FAILED", "{step} {ok} after {ms} ms", "{step} not needed", "failed", "write", "read back",
    "same id again", "dashboard shows it", "rollup", "clean up", "no second row", "recorded", "duplicate",
    "{outcome}, {n} retries, id {id}", "a partitioned table", "As an owner:", "As the table's owner:",
    "As the schema's owner:", "with row-level security also CREATE POLICY.", "it is read-only", "the disk refused",
    "a row-level security policy for INSERT", "{check} ok", "{check} FAILED", "{check} not tried",
    "{steps} ({sentence})", "It answered {status} without {keys}.", "Set: {names}.",
    "Set: none; the embedded database is used.", "Missing: {names}.",
    "The right is missing in the catalog, and an insert was refused:", "A sum differs from its rows:",
    "{n} lines about the test recordings, such as {line}….", "DATABASE_URL is not set.",
    "{sentence} The server's message: \"{words}\".", "Not attempted, because the last attempt failed.",
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
