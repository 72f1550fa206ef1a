"""Loads SQL files, which start with their question and run unchanged in psql, for SQLAlchemy or psycopg2."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from tracker.database.schema import COLUMN_NAMES, DEFAULT_SCHEMA, Table, quote

_CALLS = re.compile(r"\b(FROM|JOIN) token_usage AS calls\b")
_TRACKER_TABLE = re.compile(r"\btoken_(?:usage|tracker_\w+)\b")
_ROLLUP_PART = re.compile(r" *-- Added up already:.*?-- From the rows:\n", re.DOTALL)
_BOUND = re.compile(r"(?<![:\w]):([a-z_]+)\b")


@dataclass(frozen=True, slots=True)
class Query:
    """A file's SQL without psql's own commands and without its last semicolon; `:names` are bound parameters."""

    text: str

    @property
    def reads_table(self) -> bool:
        """Whether it reads Token Tracker's tables; otherwise it reads the server's catalog or statistics."""
        return _TRACKER_TABLE.search(self.text) is not None

    @property
    def rows_only(self) -> Query:
        """The query without its part that reads rollups, for a role that may not read them."""
        return Query(_ROLLUP_PART.sub("", self.text))

    def text_for(self, schema: str | None, created_at_zone: str | None) -> str:
        """The SQL for a schema, and for a `created_at` without a time zone (then `:created_at_zone` is its zone)."""
        quoted = quote(schema or DEFAULT_SCHEMA) + "."
        text = _CALLS.sub(r"\1 (naive rows) AS calls", self.text) if created_at_zone else self.text
        text = _TRACKER_TABLE.sub(lambda match: quoted + match[0], text)
        columns = ", ".join(name for name in COLUMN_NAMES if name != "created_at")
        aware = f"(SELECT {columns}, created_at AT TIME ZONE :created_at_zone AS created_at FROM {quoted}token_usage)"  # noqa: S608  names of ours, the zone is bound
        return text.replace("(naive rows)", aware)

    def for_driver(self, table: Table) -> str:
        """The SQL with psycopg2's parameters, `%(name)s`."""
        text = self.text_for(table.schema, table.created_at_zone).replace("%", "%%")
        return _BOUND.sub(r"%(\1)s", text)


@cache
def load(package: str, name: str) -> Query:
    """Read a SQL file without psql's backslash commands, which only set defaults."""
    text = files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith(("\\", "--"))]
    return Query("\n".join(lines).rstrip().removesuffix(";"))
