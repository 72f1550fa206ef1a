"""Records → the one INSERT that stores them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from tracker import settings
from tracker.database.connect import Connection, execute
from tracker.database.failures import RECORD_CLASSES, ErrorObject, explain_statement
from tracker.database.schema import COLUMNS, Table, quote, read_table
from tracker.errors import DatabaseError, RecordError

Row = Mapping[str, Any]
_TYPES = {column.name: column.type for column in COLUMNS}
_DEFAULTS = {column.name: column.default for column in COLUMNS}
# A record that waits is written without these when they hold what most records do: parsing JSON is what delivering
# a batch costs.
OMITTED_DEFAULTS: dict[str, Any] = {
    "cache_read_input_tokens": 0,
    "cache_write_input_tokens": 0,
    "reasoning_output_tokens": 0,
    "is_test": False,
    "metadata": {},
}


# With synchronous_commit = off a crash of the server can take a row that was confirmed. It ends with the transaction.
_DURABLY = "SET LOCAL synchronous_commit = local; "
_TOO_LARGE = {"22001", "22003"}
_FILLED_ON_DELIVERY = {"connection_ms", "retry_count", "delivery"}


class Target(NamedTuple):
    """The table as an insert sees it; learnt once a process, since it costs a round trip.

    `can_write_ledger` says whether this role may write into the ledger and the table of alerts; `defaulted` are the
    columns that take no NULL, so that an insert without a value must leave them out; `durably` goes before an insert
    where the server confirms a commit before it is on its disk.
    """

    schema: str
    zone: str | None = None
    omitted: frozenset[str] = frozenset()
    can_write_ledger: bool = False
    defaulted: frozenset[str] = frozenset()
    limits: tuple[tuple[str, int], ...] = ()
    durably: str = ""

    @classmethod
    def of(cls, table: Table) -> Target:
        return cls(
            table.schema,
            table.created_at_zone,
            frozenset(table.generated),
            table.can_write_ledger,
            frozenset(table.defaulted),
            table.limits,
            _DURABLY if table.synchronous_commit == "off" else "",
        )

    @classmethod
    def read(cls, connection: Connection, schema: str | None, prefix: str = "") -> Target:
        """Raises `DatabaseError`."""
        return cls.of(read_table(connection, schema, prefix))

    @property
    def name(self) -> str:
        return self.table("token_usage")

    def table(self, name: str) -> str:
        """A table's full name: behind a pooler nobody knows what search_path another client left."""
        return f"{quote(self.schema)}.{name}"

    def columns(self, row: Row) -> tuple[str, ...]:
        return tuple(
            name
            for name, value in row.items()
            if name not in self.omitted and not (value is None and name in self.defaulted)
        )

    def left_out(self, row: Row) -> frozenset[str]:
        """The columns whose default stands in for what this row doesn't know."""
        return frozenset(name for name in self.defaulted if row.get(name) is None)


class DeliveryInfo(NamedTuple):
    """What the delivery itself adds to records that waited: whose they are, and what getting there took."""

    own_instances: Sequence[str]
    connection_ms: float
    retry_count: int


def insert(connection: Connection, target: Target, row: Row, prefix: str = "", suffix: str = "") -> bool:
    """Insert one record in one round trip; False when its id was there. Raises `DatabaseError`."""
    columns = target.columns(row)
    try:
        count, _ = execute(
            connection,
            target.durably + prefix + _single(target.name, columns) + suffix,
            [v if type(v := row[name]) in _PLAIN else stored_value(name, v, target.zone) for name in columns],
        )
    except RecordError as error:
        raise _with_column(error, target, row) from None
    return count == 1


def _with_column(error: RecordError, target: Target, row: Row) -> DatabaseError:
    """The error with the column whose value is too long or too large; PostgreSQL doesn't say which."""
    if error.sqlstate not in _TOO_LARGE:
        return error
    for name, limit in target.limits:
        value = row.get(name)
        if value is not None and (len(value) > limit if _TYPES[name] == "text" else abs(float(value)) >= limit):
            return explain_statement(error.sqlstate, ErrorObject(column=name))
    return error


def insert_many(connection: Connection, target: Target, rows: Sequence[Row]) -> int:
    """Insert records with the same `Target.columns` in one statement; how many were new. Raises `DatabaseError`."""
    columns = target.columns(rows[0])
    # In a JSON document metadata stands as it is; as text it would become a JSON string.
    document = [
        {name: row[name] if name == "metadata" else stored_value(name, row[name], target.zone) for name in columns}
        for row in rows
    ]
    count, _ = execute(connection, target.durably + _batch(target, columns), (json.dumps(document),))
    return count


def insert_queued(
    connection: Connection, target: Target, documents: Sequence[str], delivery_info: DeliveryInfo, prefix: str = ""
) -> int:
    """Insert records that waited, given as JSON objects, in one statement; how many were new.

    Where columns take no NULL, one statement for each set of columns that must be left out. Raises `DatabaseError`.
    """
    count = 0
    for missing, positions in _alike(target, documents).items():
        texts = [documents[position] for position in positions]
        parameters = {**_arrived(target, delivery_info), "documents": f"[{','.join(texts)}]"}
        try:
            count += execute(connection, target.durably + prefix + _waiting(target, missing), parameters)[0]
        except RecordError as error:
            if len(texts) > 1 or error.sqlstate not in _TOO_LARGE:  # a document may be no JSON at all
                raise
            raise _with_column(error, target, json.loads(texts[0])) from None
    return count


def _alike(target: Target, documents: Sequence[str]) -> dict[frozenset[str], list[int]]:
    """The documents' positions by the columns that an insert must leave out."""
    if not target.defaulted:
        return {frozenset(): list(range(len(documents)))}
    alike: dict[frozenset[str], list[int]] = {}
    for position, document in enumerate(documents):
        missing = target.left_out(json.loads(document)) - _FILLED_ON_DELIVERY
        alike.setdefault(missing, []).append(position)
    return alike


def _arrived(target: Target, delivery_info: DeliveryInfo) -> dict[str, Any]:
    own = f"{{{','.join(delivery_info.own_instances)}}}"
    return {**delivery_info._asdict(), "own_instances": own, "zone": target.zone}


class InsertResult(NamedTuple):
    """What became of records that were inserted one by one: how many were new, and the refused ones by position."""

    new: int
    refused: dict[int, RecordError]


def insert_each(
    connection: Connection, target: Target, documents: Sequence[str], delivery_info: DeliveryInfo, prefix: str = ""
) -> InsertResult:
    """Insert waiting records each in a subtransaction of its own, all in one statement. Raises `DatabaseError`.

    A batch with many refused records would take two transactions for each of them otherwise.
    """
    new, refused = 0, {}
    for missing, positions in _alike(target, documents).items():
        texts = ",".join(documents[position] for position in positions)
        batch = f'{json.dumps(_arrived(target, delivery_info))[:-1]}, "documents": [{texts}]}}'
        statement = target.durably + prefix + _each(target, missing)
        _, rows = execute(connection, statement, {"batch": batch})
        found = json.loads(rows[0][0])
        new += found["new"]
        for one in found["refused"]:
            position = positions[one["number"]]
            refused[position] = _refusal(one, target, json.loads(documents[position]))
    return InsertResult(new, refused)


def _refusal(found: Mapping[str, Any], target: Target, row: Row) -> RecordError:
    blame = ErrorObject(*(found[name] or None for name in ("constraint", "column", "table", "datatype")))
    error = explain_statement(found["sqlstate"], blame)
    assert isinstance(error, RecordError)  # noqa: S101  the statement catches no other class
    named = _with_column(error, target, row)
    return named if isinstance(named, RecordError) else error


def is_stored(connection: Connection, target: Target, row: Row) -> bool:
    """Whether the row with this id is this very record and not another's with the same id.

    Raises `RecordError` when there is no such row though the insert was taken, other `DatabaseError`s as they come.
    """
    question = f"SELECT instance_id = %s AND sequence = %s FROM {target.name} WHERE id = %s"  # noqa: S608  our own name
    _, rows = execute(connection, question, (str(row["instance_id"]), row["sequence"], str(row["id"])))
    if not rows:
        raise row_swallowed_error()
    return bool(rows[0][0])


def find_missing_ids(connection: Connection, target: Target, ids: Sequence[str]) -> set[str]:
    """Which of these ids have no row. Raises `DatabaseError`."""
    known = f"SELECT 1 FROM {target.name} AS stored WHERE stored.id = given.id::uuid"  # noqa: S608  our own name
    question = f"SELECT id FROM json_array_elements_text(%s) AS given (id) WHERE NOT EXISTS ({known})"  # noqa: S608
    _, rows = execute(connection, question, (json.dumps(ids),))
    return {found for (found,) in rows}


def row_swallowed_error() -> RecordError:
    """The error for a record whose insert was taken and added no row, though its id wasn't there."""
    return RecordError(
        "row_swallowed",
        "The table took the record and stored nothing: a trigger or rule of its own dropped the row, or row-level"
        " security hides it.",
        "Correct the trigger, rule or policy on token_usage.",
    )


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
def _waiting(target: Target, missing: frozenset[str]) -> str:
    left_out = {*target.omitted, *missing, "recorded_at"}
    columns = [name for name in _TYPES if name not in left_out]
    values = {
        "created_at": "created_at AT TIME ZONE %(zone)s" if target.zone else "created_at",
        "delivery": "CASE WHEN delivery = 'background' AND instance_id = ANY (%(own_instances)s::uuid[])"
        " THEN 'background' ELSE 'outbox' END",
        "connection_ms": "coalesce(connection_ms, %(connection_ms)s)",
        "retry_count": "least(coalesce(retry_count, 0) + %(retry_count)s, 32767)",
        **{name: f"coalesce({name}, {_DEFAULTS[name]})" for name in OMITTED_DEFAULTS},
    }
    types = ", ".join(f"{name} {_TYPES[name]}" for name in columns)
    return (
        f"INSERT INTO {target.name} ({', '.join(columns)}) SELECT {', '.join(values.get(c, c) for c in columns)}"  # noqa: S608
        f" FROM json_to_recordset(%(documents)s) AS record ({types}) ON CONFLICT (id) DO NOTHING"
    )


@cache
def _each(target: Target, missing: frozenset[str]) -> str:
    """The insert in a loop of PL/pgSQL. The data is a setting of the transaction: no text of it is part of the code."""
    insert_one = _waiting(target, missing) % {
        "documents": "json_build_array(tracker_document)",
        "own_instances": "tracker_own_instances",
        "zone": "tracker_zone",
        "connection_ms": "tracker_connection_ms",
        "retry_count": "tracker_retry_count",
    }
    classes = "|".join(RECORD_CLASSES)
    return f"""SELECT set_config('tracker.batch', %(batch)s, true); DO $tracker$
#variable_conflict use_column
DECLARE
    tracker_batch json := current_setting('tracker.batch')::json;
    tracker_own_instances text := tracker_batch ->> 'own_instances';  -- once: each access parses the whole document
    tracker_zone text := tracker_batch ->> 'zone';
    tracker_connection_ms real := (tracker_batch ->> 'connection_ms')::real;
    tracker_retry_count integer := (tracker_batch ->> 'retry_count')::integer;
    tracker_document json;
    tracker_number integer := 0;
    tracker_new integer := 0;
    tracker_rows integer;
    tracker_refused json[] := '{{}}';
    tracker_constraint text;
    tracker_column text;
    tracker_table text;
    tracker_datatype text;
BEGIN
    SET CONSTRAINTS ALL IMMEDIATE;  -- a deferred one would refuse the whole batch at its commit
    FOR tracker_document IN SELECT value FROM json_array_elements(tracker_batch -> 'documents') LOOP
        BEGIN
            {insert_one};
            GET DIAGNOSTICS tracker_rows = ROW_COUNT;
            tracker_new := tracker_new + tracker_rows;
        EXCEPTION WHEN OTHERS THEN
            IF SQLSTATE !~ '^({classes})' THEN
                RAISE;
            END IF;
            GET STACKED DIAGNOSTICS tracker_constraint = CONSTRAINT_NAME, tracker_column = COLUMN_NAME,
                tracker_table = TABLE_NAME, tracker_datatype = PG_DATATYPE_NAME;
            tracker_refused := tracker_refused || json_build_object('number', tracker_number, 'sqlstate', SQLSTATE,
                'constraint', tracker_constraint, 'column', tracker_column, 'table', tracker_table,
                'datatype', tracker_datatype);
        END;
        tracker_number := tracker_number + 1;
    END LOOP;
    PERFORM set_config('tracker.result',
        json_build_object('new', tracker_new, 'refused', to_json(tracker_refused))::text, true);
END $tracker$; SELECT current_setting('tracker.result')"""  # noqa: S608  our own text


def stored_value(name: str, value: Any, zone: str | None) -> Any:
    """A value as text that PostgreSQL reads into the column's own type, whatever the session's settings are."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if name == "created_at":
        # psycopg2 would cast it by the session's zone when the column has none.
        if zone:
            value = value.astimezone(settings.load_time_zone(zone)).replace(tzinfo=None)
        return value.isoformat()
    if name == "metadata":
        return _encode(value) if value else "{}"
    return str(value)


# What is text already, or a number that psycopg2 writes as it is.
_PLAIN = {str, int, bool, type(None), float}
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode
