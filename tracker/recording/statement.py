"""Records → the one INSERT that stores them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from tracker import settings
from tracker.database.driver import Connection, execute
from tracker.database.table import COLUMNS, DEFAULT_SCHEMA, Table, quote, read_table

Row = Mapping[str, Any]
_TYPES = {column.name: column.type for column in COLUMNS}
_DEFAULTS = {column.name: column.default for column in COLUMNS}
# A record that waits is written without these when they hold what most records do: parsing JSON is what delivering
# a batch costs.
LEFT_OUT: dict[str, Any] = {
    "cache_read_input_tokens": 0,
    "cache_write_input_tokens": 0,
    "reasoning_output_tokens": 0,
    "is_test": False,
    "metadata": {},
}


class Target(NamedTuple):
    """The table as an insert sees it; learnt once a process, since it costs a round trip.

    `takes_notes` says whether this role may write into the ledger and the table of alerts.
    """

    schema: str
    zone: str | None = None
    omitted: frozenset[str] = frozenset()
    takes_notes: bool = False

    @classmethod
    def of(cls, table: Table) -> Target:
        return cls(table.schema, table.created_at_zone, frozenset(table.generated), table.takes_notes)

    @classmethod
    def read(cls, connection: Connection, schema: str | None, prefix: str = "") -> Target:
        """Raises `DatabaseError`."""
        return cls.of(read_table(connection, schema or DEFAULT_SCHEMA, prefix))

    @property
    def name(self) -> str:
        return self.table("token_usage")

    def table(self, name: str) -> str:
        """A table's full name: behind a pooler nobody knows what search_path another client left."""
        return f"{quote(self.schema)}.{name}"

    def columns(self, row: Row) -> tuple[str, ...]:
        return tuple(name for name in row if name not in self.omitted)


class Arrival(NamedTuple):
    """What the delivery itself adds to records that waited: whose they are, and what getting there took."""

    own_instance: str | None
    connection_ms: float
    retry_count: int


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


def insert_waiting(
    connection: Connection, target: Target, documents: Sequence[str], arrival: Arrival, prefix: str = ""
) -> int:
    """Insert records that waited, given as JSON objects, in one statement; how many were new.

    Raises `DatabaseError`.
    """
    parameters = {**arrival._asdict(), "zone": target.zone, "documents": f"[{','.join(documents)}]"}
    count, _ = execute(connection, prefix + _waiting(target), parameters)
    return count


def is_stored(connection: Connection, target: Target, row: Row) -> bool:
    """Whether the row with this id is this very record and not another's with the same id. Raises `DatabaseError`."""
    question = f"SELECT instance_id = %s AND sequence = %s FROM {target.name} WHERE id = %s"  # noqa: S608  our own name
    _, rows = execute(connection, question, (str(row["instance_id"]), row["sequence"], str(row["id"])))
    return bool(rows and rows[0][0])


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


@cache
def _waiting(target: Target) -> str:
    columns = [name for name in _TYPES if name not in target.omitted and name != "recorded_at"]
    values = {
        "created_at": "created_at AT TIME ZONE %(zone)s" if target.zone else "created_at",
        "delivery": "CASE WHEN delivery = 'background' AND instance_id = %(own_instance)s THEN 'background'"
        " ELSE 'outbox' END",
        "connection_ms": "coalesce(connection_ms, %(connection_ms)s)",
        "retry_count": "least(coalesce(retry_count, 0) + %(retry_count)s, 32767)",
        **{name: f"coalesce({name}, {_DEFAULTS[name]})" for name in LEFT_OUT},
    }
    types = ", ".join(f"{name} {_TYPES[name]}" for name in columns)
    return (
        f"INSERT INTO {target.name} ({', '.join(columns)}) SELECT {', '.join(values.get(c, c) for c in columns)}"  # noqa: S608
        f" FROM json_to_recordset(%(documents)s) AS record ({types}) ON CONFLICT (id) DO NOTHING"
    )


def _value(name: str, value: Any, zone: str | None) -> Any:
    """A value as text that PostgreSQL reads into the column's own type, whatever the session's settings are."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if name == "created_at":
        # psycopg2 would cast it by the session's zone when the column has none.
        if zone:
            value = value.astimezone(settings.zone(zone)).replace(tzinfo=None)
        return value.isoformat()
    if name == "metadata":
        return json.dumps(value, ensure_ascii=False)
    return str(value)
