"""Records → the one INSERT that stores them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from tracker.database.driver import Connection, execute
from tracker.database.table import COLUMNS, Table, read_table

Row = Mapping[str, Any]
_TYPES = {column.name: column.type for column in COLUMNS}


@dataclass(frozen=True, slots=True)
class Target:
    """The table as an insert sees it; learnt once a process, since it costs a round trip."""

    name: str
    zone: str | None = None
    omitted: frozenset[str] = frozenset()

    @classmethod
    def of(cls, table: Table) -> Target:
        schema = table.schema.replace('"', '""')
        return cls(f'"{schema}".token_usage', table.created_at_zone, frozenset(table.generated))

    @classmethod
    def read(cls, connection: Connection, schema: str | None, prefix: str = "") -> Target:
        """Raises `DatabaseError`."""
        return cls.of(read_table(connection, schema, prefix))

    def columns(self, row: Row) -> tuple[str, ...]:
        return tuple(name for name in row if name not in self.omitted)


def insert(connection: Connection, target: Target, row: Row, prefix: str = "") -> bool:
    """Insert one record in one round trip; False when its id was there. Raises `DatabaseError`."""
    columns = target.columns(row)
    count, _ = execute(
        connection,
        prefix + _single(target.name, columns),
        [_value(name, row[name], target.zone) for name in columns],
    )
    return count == 1


def insert_many(connection: Connection, target: Target, rows: Sequence[Row]) -> int:
    """Insert records with the same columns in one statement; how many were new. Raises `DatabaseError`."""
    columns = target.columns(rows[0])
    # In a JSON document metadata stands as it is; as text it would become a JSON string.
    document = [
        {name: row[name] if name == "metadata" else _value(name, row[name], target.zone) for name in columns}
        for row in rows
    ]
    count, _ = execute(connection, _batch(target, columns), (json.dumps(document),))
    return count


@cache
def _single(table: str, columns: tuple[str, ...]) -> str:
    places = ", ".join(["%s"] * len(columns))
    # The target is named: without it a clash on any other unique index would pass as a duplicate.
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places}) ON CONFLICT (id) DO NOTHING"  # noqa: S608  our own names


@cache
def _batch(target: Target, columns: tuple[str, ...]) -> str:
    def declared(name: str) -> str:
        naive = name == "created_at" and target.zone
        return f"{name} {'timestamp' if naive else _TYPES[name]}"

    names = ", ".join(columns)
    types = ", ".join(declared(name) for name in columns)
    return (
        f"INSERT INTO {target.name} ({names}) SELECT {names} FROM json_to_recordset(%s) AS record ({types})"  # noqa: S608
        " ON CONFLICT (id) DO NOTHING"
    )


def _value(name: str, value: Any, zone: str | None) -> Any:
    """A value as text that PostgreSQL reads into the column's own type, whatever the session's settings are."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if name == "created_at":
        # psycopg2 would cast it by the session's zone when the column has none.
        return value.astimezone(ZoneInfo(zone)).replace(tzinfo=None).isoformat() if zone else value.isoformat()
    if name == "metadata":
        return json.dumps(value, ensure_ascii=False)
    return str(value)


class Copied(NamedTuple):
    """Rows as COPY's text format, column by column: what is the same in all of them stands apart, and once."""

    columns: tuple[str, ...]
    text: str
    constants: Mapping[str, Any]


def copied(rows: Sequence[Row], target: Target) -> Copied:
    """Rows of the same columns for COPY (PostgreSQL, "COPY", File Formats)."""
    columns, cells, constants = [], [], {}
    for name in target.columns(rows[0]):
        values = [row[name] for row in rows]
        if values.count(values[0]) == len(values) and name != "id":
            constants[name] = _value(name, values[0], target.zone)
        else:
            columns.append(name)
            cells.append(_cells(name, values, target.zone))
    text = "\n".join(map("\t".join, zip(*cells, strict=True))) + "\n"
    return Copied(tuple(columns), text, constants)


def _cells(name: str, values: Sequence[Any], zone: str | None) -> list[str]:
    if name.endswith("_tokens"):
        return list(map(str, values))
    if name == "created_at":
        return [_value(name, value, zone) for value in values]
    texts = (value if type(value) is str or value is None else str(_value(name, value, zone)) for value in values)
    return [
        "\\N" if text is None else text if text.isprintable() and "\\" not in text else text.translate(_ESCAPES)
        for text in texts
    ]


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
