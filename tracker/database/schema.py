"""What `token_usage` looks like in this database: its columns, its key, and which zone a naive time means."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from tracker.database.connect import execute
from tracker.database.url import SearchPath
from tracker.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracker.database.connect import Connection

TABLE = "token_usage"
DEFAULT_SCHEMA = "public"
ZONE_COMMENT = "token-tracker: times without zone are "


class Column(NamedTuple):
    """A column of ours: its type and default, and the types under which an existing one works too."""

    name: str
    type: str
    default: str | None = None
    also: tuple[str, ...] = ()

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
# Without these no call can be told from another; the rest can be added to any table.
ESSENTIAL = ("id", "created_at", "model", "input_tokens", "output_tokens")
# What a record may not know. Where such a column is NOT NULL, its default must stand in.
SOMETIMES_NULL = (
    "session_id",
    "provider",
    "cost",
    "cost_source",
    "processing_time",
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

# `recorded_at` is the database's own to fill.
_ALWAYS_FILLED = {*COLUMN_NAMES} - {*SOMETIMES_NULL, "recorded_at"}


class Index(NamedTuple):
    """A complete b-tree index: its keys are columns' names, or expressions as PostgreSQL writes them."""

    name: str
    keys: tuple[str, ...]
    valid: bool


class Table(NamedTuple):
    """`token_usage` as it is. `created_at_zone` is the IANA zone that naive times mean, None for timestamptz.

    `sees_no_rows`: row-level security is on, and no policy for SELECT is for this role.
    `limits`: the longest text, or the exclusive limit of a number, that a column takes.
    `ours`: our own tables are beside it. `other_schemas` are those of the search_path with a token_usage of their own.
    `required` are the NOT NULL columns without a default that an insert of ours may leave without a value,
    `defaulted` those of ours whose default must stand in for NULL.
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
    estimated_rows: int = 0
    can_write_ledger: bool = False
    sees_no_rows: bool = False
    limits: tuple[tuple[str, int], ...] = ()
    ours: bool = False
    other_schemas: tuple[str, ...] = ()
    synchronous_commit: str = "on"

    @property
    def exists(self) -> bool:
        return self.kind is not None

    @property
    def missing_columns(self) -> tuple[str, ...]:
        return tuple(name for name in COLUMN_NAMES if name not in self.columns)

    @property
    def created_at_zone(self) -> str | None:
        if not self.naive_created_at:
            return None
        for line in (self.created_at_comment or "").splitlines():
            if line.startswith(ZONE_COMMENT):
                return line.removeprefix(ZONE_COMMENT).strip()
        return "UTC"


_PARAMETER_SIGNS = re.compile("[%:]")


@cache
def _question() -> str:
    return Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")


def quote(identifier: str) -> str:
    """A name as an SQL identifier, for statements with and without parameters.

    `%` and `:` begin parameters for the driver and in our files of SQL, so they are written as code points.
    """
    quoted = '"' + identifier.replace('"', '""') + '"'
    if not _PARAMETER_SIGNS.search(identifier):
        return quoted
    return "U&" + _PARAMETER_SIGNS.sub(lambda sign: f"\\{ord(sign[0]):04x}", quoted.replace("\\", "\\\\"))


def literal(text: str) -> str:
    """A text as an SQL literal, for statements that take no parameters."""
    if "\\" in text:
        raise SettingError("The existing comment of created_at holds a backslash; remove it and migrate again.")
    return "'" + text.replace("'", "''") + "'"


def _limit(column: Mapping[str, Any]) -> int | None:
    """The length of a text, or the exclusive limit of a number, of a column of ours."""
    if column["name"] not in COLUMN_NAMES:
        return None
    kind, modifier = column["type"], column["typmod"] - 4
    if kind in {"character varying", "character"} and modifier > 0:
        return int(modifier)
    if kind == "numeric" and modifier > 0:
        return int(10 ** ((modifier >> 16 & 0xFFFF) - (modifier & 0x7FF)))
    return {"smallint": 2**15, "integer": 2**31}.get(kind)


def read_table(connection: Connection, schema: str | None = None, prefix: str = "") -> Table:
    """Look the table up in the catalog, in one round trip and without any right on it. Raises `DatabaseError`.

    Without a schema, or with a `SearchPath`, the table says in which schema it was found.
    `prefix` holds statements of ours that put the session right first.
    """
    path = schema.names if isinstance(schema, SearchPath) else None
    named = schema if path is None else None
    _, rows = execute(connection, prefix + _question(), {"schema": named, "path": path})
    found = rows[0][0]
    columns = {column["name"]: column["type"] for column in found["columns"]}
    created_at: Mapping[str, str] = next((c for c in found["columns"] if c["name"] == "created_at"), {})
    return Table(
        schema=found["schema"],
        limits=tuple((c["name"], limit) for c in found["columns"] if (limit := _limit(c))),
        ours=found["ours"],
        other_schemas=tuple(found["other_schemas"]),
        kind=found["kind"],
        columns=columns,
        generated=tuple(c["name"] for c in found["columns"] if c["generated"]),
        required=tuple(c["name"] for c in found["columns"] if c["required"] and c["name"] not in _ALWAYS_FILLED),
        defaulted=tuple(
            c["name"]
            for c in found["columns"]
            if c["not_null"] and not c["required"] and not c["generated"] and c["name"] in SOMETIMES_NULL
        ),
        unique_id=found["unique_id"],
        naive_created_at=created_at.get("type") == "timestamp without time zone",
        created_at_comment=created_at.get("comment"),
        row_security=found["row_security"],
        is_owner=found["is_owner"],
        supabase=found["supabase"],
        indexes=tuple(Index(i["name"], tuple(i["keys"]), i["valid"]) for i in found["indexes"]),
        late_index=found["late_index"],
        estimated_rows=int(found["estimated_rows"]),
        can_write_ledger=bool(found["can_write_ledger"]),
        sees_no_rows=found["sees_no_rows"],
        synchronous_commit=found["synchronous_commit"],
    )
