"""Loads SQL files, which start with their question and run unchanged in psql, for SQLAlchemy or psycopg2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from tracker.database.schema import COLUMN_NAMES, DEFAULT_SCHEMA, OPTIONAL_TYPES, Table, quote

_CALLS = re.compile(r"\b(FROM|JOIN) token_usage AS calls\b")
_TRACKER_TABLE = re.compile(r"\btoken_(?:usage|tracker_\w+)\b")
_FROM_ROLLUPS = re.compile(r" *-- From the rollups:.*?-- From the rows:\n", re.DOTALL)
_INCLUDE = re.compile(r"^\\ir (\S+)$", re.MULTILINE)
_VARIABLE = re.compile(r"^\\set (\w+) '(.*)'$", re.MULTILINE)
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
        return Query(_FROM_ROLLUPS.sub("", self.text))

    def text_for(self, table: Table) -> str:
        """The SQL for a table; if its `created_at` has no time zone, `:created_at_zone` is its zone.

        Optional columns that the table lacks are NULL.
        """
        quoted = quote(table.schema or DEFAULT_SCHEMA) + "."
        is_adapted = table.created_at_zone is not None or table.missing_optional_columns
        text = _CALLS.sub(r"\1 (adapted rows) AS calls", self.text) if is_adapted else self.text
        text = _TRACKER_TABLE.sub(lambda match: quoted + match[0], text)
        columns = ", ".join(_column_sql(name, table) for name in COLUMN_NAMES)
        return text.replace("(adapted rows)", f"(SELECT {columns} FROM {quoted}token_usage)")  # noqa: S608  names of ours

    def interpolate(self, variables: Mapping[str, str]) -> Query:
        """The query with these SQL texts instead of the parameters of the same names."""
        return Query(_interpolate(self.text, variables))

    def for_driver(self, table: Table) -> str:
        """The SQL with psycopg2's parameters, `%(name)s`."""
        text = self.text_for(table).replace("%", "%%")
        return _BOUND.sub(r"%(\1)s", text)


def _column_sql(name: str, table: Table) -> str:
    if name == "created_at" and table.created_at_zone is not None:
        return "created_at AT TIME ZONE :created_at_zone AS created_at"
    if name in OPTIONAL_TYPES and name not in table.columns:
        return f"CAST(NULL AS {OPTIONAL_TYPES[name]}) AS {name}"
    return name


@cache
def load(package: str, name: str) -> Query:
    """Read a query's SQL file, with the variables of the files that it includes, without other psql commands."""
    file = Path(str(files(package))) / f"{name}.sql"
    lines = [line for line in _read(file).splitlines() if not line.startswith(("\\", "--"))]
    return Query(_interpolate("\n".join(lines).rstrip().removesuffix(";"), _included_variables(file)))


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _included_variables(file: Path) -> dict[str, str]:
    r"""The variables that `\set name 'value'` sets in the files that `\ir` includes.

    The defaults of bound parameters, `\if :{?name} \else \set name ... \endif`, are not among them.
    """
    variables: dict[str, str] = {}
    for name in _INCLUDE.findall(_read(file)):
        included = file.parent / name
        variables |= _included_variables(included)
        variables |= {name: value.replace("''", "'") for name, value in _VARIABLE.findall(_read(included))}
    return variables


def _interpolate(text: str, variables: Mapping[str, str]) -> str:
    return _BOUND.sub(lambda match: _interpolate(variables.get(match[1], ""), variables) or match[0], text)
