"""The columns of `token_usage`, and the state of the table in a database: columns, key, indexes, time zone."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from tracker.database.connect import execute
from tracker.database.url import SearchPath
from tracker.errors import SettingError, SetupError
from tracker.messages import Message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracker.database.connect import Connection

TABLE = "token_usage"
DEFAULT_SCHEMA = "public"
ZONE_COMMENT = "token-tracker: times without zone are "


class Column(NamedTuple):
    """A column of `token_usage`: its type and default, and the other types that an existing column may have.

    Records are stored without an optional column until `migrate` adds it; a later version added it to the table.
    """

    name: str
    type: str
    default: str | None = None
    also: tuple[str, ...] = ()
    optional: bool = False

    @property
    def accepted(self) -> tuple[str, ...]:
        return (self.type, *self.also)


_TEXT = ("character varying", "citext", "character")
_INTEGER = ("bigint", "numeric", "smallint")
_NUMBER = ("integer", "bigint", "numeric", "double precision", "real")

COLUMNS: tuple[Column, ...] = (
    Column("id", "uuid", "gen_random_uuid()"),
    Column("created_at", "timestamp with time zone", "now()", ("timestamp without time zone",)),
    Column("recorded_at", "timestamp with time zone", "now()"),
    Column("user_id", "text", "'anonymous'", _TEXT),
    Column("session_id", "text", None, _TEXT),
    Column("provider", "text", None, _TEXT),
    Column("model", "text", None, _TEXT),
    Column("operation", "text", "'chat'", _TEXT),
    Column("input_tokens", "integer", None, _INTEGER),
    Column("output_tokens", "integer", None, _INTEGER),
    Column("total_tokens", "integer", None, _INTEGER),
    Column("cache_read_input_tokens", "integer", "0", _INTEGER),
    Column("cache_write_input_tokens", "integer", "0", _INTEGER),
    Column("reasoning_output_tokens", "integer", "0", _INTEGER),
    Column("cost", "numeric", None, ("double precision", "real")),
    Column("cost_source", "text", None, _TEXT),
    Column("processing_time", "integer", None, _NUMBER),
    Column("time_to_first_token_ms", "integer", None, _NUMBER, optional=True),
    Column("success", "boolean", "true"),
    Column("error_message", "text", None, _TEXT),
    Column("environment", "text", None, _TEXT),
    Column("platform", "text", None, _TEXT),
    Column("region", "text", None, _TEXT),
    Column("deployment", "text", None, _TEXT),
    Column("connection_ms", "real", None, _NUMBER),
    Column("retry_count", "smallint", None, _NUMBER),
    Column("delivery", "text", None, _TEXT),
    Column("instance_id", "uuid"),
    Column("sequence", "integer", None, ("bigint",)),
    Column("is_test", "boolean", "false"),
    Column("metadata", "jsonb", "'{}'", ("json",)),
)
COLUMN_NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)
OPTIONAL_TYPES = {column.name: column.type for column in COLUMNS if column.optional}
# A call can't be identified without these columns; the others can be added to any table.
ESSENTIAL = ("id", "created_at", "model", "input_tokens", "output_tokens")
# Values that a record may lack. If such a column is NOT NULL, its default is stored.
SOMETIMES_NULL = (
    "session_id",
    "provider",
    "cost",
    "cost_source",
    "processing_time",
    "time_to_first_token_ms",
    "error_message",
    "environment",
    "platform",
    "region",
    "deployment",
    "connection_ms",
    "retry_count",
    "delivery",
    "instance_id",
    "sequence",
)

# The database fills `recorded_at`.
_ALWAYS_FILLED = {*COLUMN_NAMES} - {*SOMETIMES_NULL, "recorded_at"}


class Index(NamedTuple):
    """A complete b-tree index: its keys are columns' names, or expressions as PostgreSQL writes them."""

    name: str
    keys: tuple[str, ...]
    valid: bool


class Table(NamedTuple):
    """The state of `token_usage`. `created_at_zone` is the IANA zone that naive times mean, None for timestamptz.

    `sees_no_rows`: row-level security is on, and no policy for SELECT applies to this role.
    `limits`: the longest text, or the exclusive limit of a number, that a column takes.
    `has_tracker_tables`: its schema has the other tables of Token Tracker. `other_schemas` also have a token_usage.
    `required` are the NOT NULL columns without a default for which an insert may have no value,
    `defaulted` the NOT NULL columns whose default is stored instead of NULL.
    """

    schema: str
    kind: str | None = None
    columns: Mapping[str, Any] = MappingProxyType({})
    generated: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    defaulted: tuple[str, ...] = ()
    unique_id: bool = False
    naive_created_at: bool = False
    created_at_comment: str | None = None
    row_security: bool = False
    is_owner: bool = False
    supabase: bool = False
    indexes: tuple[Index, ...] = ()
    late_index: bool = False
    session_index: bool = False
    can_write_ledger: bool = False
    sees_no_rows: bool = False
    limits: tuple[tuple[str, int], ...] = ()
    has_tracker_tables: bool = False
    other_schemas: tuple[str, ...] = ()
    synchronous_commit: str = "on"

    @property
    def exists(self) -> bool:
        return self.kind is not None

    @property
    def missing_columns(self) -> tuple[str, ...]:
        """The missing columns without which no call is recorded and no report is read."""
        return tuple(name for name in COLUMN_NAMES if name not in self.columns and name not in OPTIONAL_TYPES)

    @property
    def missing_optional_columns(self) -> tuple[str, ...]:
        """The missing columns that records and reports omit until `migrate` adds them."""
        return tuple(name for name in OPTIONAL_TYPES if self.exists and name not in self.columns)

    @property
    def created_at_zone(self) -> str | None:
        if not self.naive_created_at:
            return None
        for line in (self.created_at_comment or "").splitlines():
            if line.startswith(ZONE_COMMENT):
                return line.removeprefix(ZONE_COMMENT).strip()
        return "UTC"


_PARAMETER_MARKERS = re.compile("[%:]")


@cache
def _catalog_query() -> str:
    return Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")


@lru_cache(maxsize=256)
def quote(identifier: str) -> str:
    """A name as an SQL identifier, for statements with and without parameters.

    `%` and `:` start parameters in psycopg2 and in SQL files, so they are written as code points.
    """
    quoted = '"' + identifier.replace('"', '""') + '"'
    if not _PARAMETER_MARKERS.search(identifier):
        return quoted
    return "U&" + _PARAMETER_MARKERS.sub(lambda marker: f"\\{ord(marker[0]):04x}", quoted.replace("\\", "\\\\"))


def literal(text: str) -> str:
    """A text as an SQL literal, for statements that accept no parameters."""
    if "\\" in text:
        raise SettingError(Message("database.comment_with_backslash"))
    return "'" + text.replace("'", "''") + "'"


def require_columns(table: Table) -> Table:
    """The table. Raises `SetupError` if it is missing or lacks a column."""
    if not table.exists:
        raise SetupError("table_missing", Message("database.table_missing"), Message("database.table_missing.remedy"))
    if table.missing_columns:
        raise SetupError(
            "column_missing",
            Message("database.column_missing.named", columns=", ".join(table.missing_columns)),
            Message("database.column_missing.remedy"),
        )
    return table


def _limit(column: Mapping[str, Any]) -> int | None:
    """The maximum length of a text column, or the exclusive limit of a number column; None if unlimited."""
    if column["name"] not in COLUMN_NAMES:
        return None
    kind, modifier = column["type"], column["typmod"] - 4
    if kind in {"character varying", "character"} and modifier > 0:
        return int(modifier)
    if kind == "numeric" and modifier > 0:
        return int(10 ** ((modifier >> 16 & 0xFFFF) - (modifier & 0x7FF)))
    return {"smallint": 2**15, "integer": 2**31}.get(kind)


def read_table(connection: Connection, schema: str | None = None, prefix: str = "") -> Table:
    """Read the state of the table from the catalog; needs no privilege on the table. Raises `DatabaseError`.

    Without a schema, or with a `SearchPath`, `Table.schema` is the schema that has the table.
    `prefix` contains statements that set up the session, sent in the same round trip.
    """
    path = schema.names if isinstance(schema, SearchPath) else None
    named = schema if path is None else None
    _, rows = execute(connection, prefix + _catalog_query(), {"schema": named, "path": path})
    catalog = rows[0][0]
    columns = {column["name"]: column["type"] for column in catalog["columns"]}
    created_at: Mapping[str, str] = next((c for c in catalog["columns"] if c["name"] == "created_at"), {})
    return Table(
        schema=catalog["schema"],
        limits=tuple((c["name"], limit) for c in catalog["columns"] if (limit := _limit(c))),
        has_tracker_tables=catalog["has_tracker_tables"],
        other_schemas=tuple(catalog["other_schemas"]),
        kind=catalog["kind"],
        columns=columns,
        generated=tuple(c["name"] for c in catalog["columns"] if c["generated"]),
        required=tuple(c["name"] for c in catalog["columns"] if c["required"] and c["name"] not in _ALWAYS_FILLED),
        defaulted=tuple(
            c["name"]
            for c in catalog["columns"]
            if c["not_null"] and not c["required"] and not c["generated"] and c["name"] in SOMETIMES_NULL
        ),
        unique_id=catalog["unique_id"],
        naive_created_at=created_at.get("type") == "timestamp without time zone",
        created_at_comment=created_at.get("comment"),
        row_security=catalog["row_security"],
        is_owner=catalog["is_owner"],
        supabase=catalog["supabase"],
        indexes=tuple(Index(i["name"], tuple(i["keys"]), i["valid"]) for i in catalog["indexes"]),
        late_index=catalog["late_index"],
        session_index=catalog["session_index"],
        can_write_ledger=bool(catalog["can_write_ledger"]),
        sees_no_rows=catalog["sees_no_rows"],
        synchronous_commit=catalog["synchronous_commit"],
    )
