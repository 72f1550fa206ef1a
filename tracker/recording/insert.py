"""Inserts records: one by one, in a batch, and from the outbox."""

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
from tracker.messages import Message

Row = Mapping[str, Any]
_TYPES = {column.name: column.type for column in COLUMNS}
_DEFAULTS = {column.name: column.default for column in COLUMNS}
# A queued record omits these columns when they contain their usual value: delivering a batch spends most of its time
# on parsing JSON.
OMITTED_DEFAULTS: dict[str, Any] = {
    "cache_read_input_tokens": 0,
    "cache_write_input_tokens": 0,
    "reasoning_output_tokens": 0,
    "is_test": False,
    "metadata": {},
}


# With synchronous_commit = off a crash of the server can lose a confirmed row. The setting ends with the transaction.
_DURABLE_COMMIT = "SET LOCAL synchronous_commit = local; "
_VALUE_TOO_LARGE_STATES = {"22001", "22003"}
_FILLED_ON_DELIVERY = {"connection_ms", "retry_count", "delivery"}


class Target(NamedTuple):
    """The properties of token_usage that an insert needs; read once for each process, because it costs a round trip.

    `omitted`: the columns that the database generates, and optional columns that the table lacks.
    `can_write_ledger`: whether this role may write to the ledger and the alerts table. `defaulted`: the columns that
    don't accept NULL, so that an insert without a value must omit them. `commit_prefix`: the statement before an insert
    if the server confirms a commit before it is on disk.
    """

    schema: str
    zone: str | None = None
    omitted: frozenset[str] = frozenset()
    can_write_ledger: bool = False
    defaulted: frozenset[str] = frozenset()
    limits: tuple[tuple[str, int], ...] = ()
    commit_prefix: str = ""

    @classmethod
    def of(cls, table: Table) -> Target:
        return cls(
            table.schema,
            table.created_at_zone,
            frozenset((*table.generated, *table.missing_optional_columns)),
            table.can_write_ledger,
            frozenset(table.defaulted),
            table.limits,
            _DURABLE_COMMIT if table.synchronous_commit == "off" else "",
        )

    @classmethod
    def read(cls, connection: Connection, schema: str | None, prefix: str = "") -> Target:
        """Raises `DatabaseError`."""
        return cls.of(read_table(connection, schema, prefix))

    @property
    def name(self) -> str:
        return self.table("token_usage")

    def table(self, name: str) -> str:
        """The qualified name of a table: behind a pooler another client may have changed search_path."""
        return f"{quote(self.schema)}.{name}"

    def columns(self, row: Row) -> tuple[str, ...]:
        if not self.omitted and not self.defaulted:
            return tuple(row)
        return tuple(
            name
            for name, value in row.items()
            if name not in self.omitted and not (value is None and name in self.defaulted)
        )

    def defaulted_columns(self, row: Row) -> frozenset[str]:
        """The columns that this row has no value for and that get their default."""
        return frozenset(name for name in self.defaulted if row.get(name) is None)


class DeliveryInfo(NamedTuple):
    """The values that delivery adds to queued records: the own instances, the connection time, and the retries."""

    own_instances: Sequence[str]
    connection_ms: float
    retry_count: int


def insert(connection: Connection, target: Target, row: Row, prefix: str = "", suffix: str = "") -> bool:
    """Insert one record in one round trip; returns False if its id exists already. Raises `DatabaseError`."""
    columns = target.columns(row)
    try:
        count, _ = execute(
            connection,
            target.commit_prefix + prefix + _insert_statement(target.name, columns) + suffix,
            [v if type(v := row[name]) in _PLAIN_TYPES else stored_value(name, v, target.zone) for name in columns],
        )
    except RecordError as error:
        raise _name_column(error, target, row) from None
    return count == 1


def _name_column(error: RecordError, target: Target, row: Row) -> DatabaseError:
    """The error with the name of the column whose value is too large, which PostgreSQL doesn't report."""
    if error.sqlstate not in _VALUE_TOO_LARGE_STATES:
        return error
    for name, limit in target.limits:
        value = row.get(name)
        if value is not None and (len(value) > limit if _TYPES[name] == "text" else abs(float(value)) >= limit):
            return explain_statement(error.sqlstate, ErrorObject(column=name))
    return error


def insert_many(connection: Connection, target: Target, rows: Sequence[Row]) -> int:
    """Insert records with equal `Target.columns` in one statement; returns the new ones. Raises `DatabaseError`."""
    columns = target.columns(rows[0])
    # In a JSON document, metadata is an object; as text it would become a JSON string.
    document = [
        {name: row[name] if name == "metadata" else stored_value(name, row[name], target.zone) for name in columns}
        for row in rows
    ]
    count, _ = execute(connection, target.commit_prefix + _batch_statement(target, columns), (json.dumps(document),))
    return count


def insert_queued(
    connection: Connection, target: Target, documents: Sequence[str], delivery_info: DeliveryInfo, prefix: str = ""
) -> int:
    """Insert queued records, which are JSON objects, in one statement; returns the number of new ones.

    If columns don't accept NULL, there is one statement for each set of omitted columns. Raises `DatabaseError`.
    """
    count = 0
    for missing, positions in _group_by_missing_columns(target, documents).items():
        texts = [documents[position] for position in positions]
        parameters = {**_delivery_parameters(target, delivery_info), "documents": f"[{','.join(texts)}]"}
        try:
            statement = target.commit_prefix + prefix + _queued_statement(target, missing)
            count += execute(connection, statement, parameters)[0]
        except RecordError as error:
            if len(texts) > 1 or error.sqlstate not in _VALUE_TOO_LARGE_STATES:  # a document may be invalid JSON
                raise
            raise _name_column(error, target, json.loads(texts[0])) from None
    return count


def _group_by_missing_columns(target: Target, documents: Sequence[str]) -> dict[frozenset[str], list[int]]:
    """The positions of the documents, grouped by the columns that an insert must omit."""
    if not target.defaulted:
        return {frozenset(): list(range(len(documents)))}
    groups: dict[frozenset[str], list[int]] = {}
    for position, document in enumerate(documents):
        missing = target.defaulted_columns(json.loads(document)) - _FILLED_ON_DELIVERY
        groups.setdefault(missing, []).append(position)
    return groups


def _delivery_parameters(target: Target, delivery_info: DeliveryInfo) -> dict[str, Any]:
    own = f"{{{','.join(delivery_info.own_instances)}}}"
    return {**delivery_info._asdict(), "own_instances": own, "zone": target.zone}


class InsertResult(NamedTuple):
    """The result of inserting records one by one: the number of new ones, and the refused ones by position."""

    new: int
    refused: dict[int, RecordError]


def insert_each(
    connection: Connection, target: Target, documents: Sequence[str], delivery_info: DeliveryInfo, prefix: str = ""
) -> InsertResult:
    """Insert queued records in one statement, each in its own subtransaction. Raises `DatabaseError`.

    Otherwise a batch with many refused records would need two transactions for each of them.
    """
    new, refused = 0, {}
    for missing, positions in _group_by_missing_columns(target, documents).items():
        texts = ",".join(documents[position] for position in positions)
        batch = f'{json.dumps(_delivery_parameters(target, delivery_info))[:-1]}, "documents": [{texts}]}}'
        statement = target.commit_prefix + prefix + _one_by_one_statement(target, missing)
        _, rows = execute(connection, statement, {"batch": batch})
        result = json.loads(rows[0][0])
        new += result["new"]
        for refusal in result["refused"]:
            position = positions[refusal["number"]]
            refused[position] = _refused_error(refusal, target, json.loads(documents[position]))
    return InsertResult(new, refused)


def _refused_error(refusal: Mapping[str, Any], target: Target, row: Row) -> RecordError:
    error_object = ErrorObject(*(refusal[name] or None for name in ("constraint", "column", "table", "datatype")))
    error = explain_statement(refusal["sqlstate"], error_object)
    assert isinstance(error, RecordError)  # noqa: S101  the statement catches no other class
    with_column = _name_column(error, target, row)
    return with_column if isinstance(with_column, RecordError) else error


def is_stored(connection: Connection, target: Target, row: Row) -> bool:
    """Whether the row with this id is this record, not another record with the same id.

    Raises `RecordError` if there is no such row although the insert succeeded; also raises other `DatabaseError`s.
    """
    query = f"SELECT instance_id = %s AND sequence = %s FROM {target.name} WHERE id = %s"  # noqa: S608  constant names
    _, rows = execute(connection, query, (str(row["instance_id"]), row["sequence"], str(row["id"])))
    if not rows:
        raise row_swallowed_error()
    return bool(rows[0][0])


def find_missing_ids(connection: Connection, target: Target, ids: Sequence[str]) -> set[str]:
    """The ids that have no row. Raises `DatabaseError`."""
    stored = f"SELECT 1 FROM {target.name} AS stored WHERE stored.id = given.id::uuid"  # noqa: S608  constant names
    query = f"SELECT id FROM json_array_elements_text(%s) AS given (id) WHERE NOT EXISTS ({stored})"  # noqa: S608
    _, rows = execute(connection, query, (json.dumps(ids),))
    return {id_ for (id_,) in rows}


def row_swallowed_error() -> RecordError:
    """The error for a record whose insert succeeded without adding a row, although its id didn't exist."""
    return RecordError(
        "row_swallowed",
        Message("recording.row_swallowed"),
        Message("recording.row_swallowed.remedy"),
    )


@cache
def _insert_statement(table: str, columns: tuple[str, ...]) -> str:
    placeholders = ", ".join(["%s"] * len(columns))
    # The conflict target is explicit: otherwise a conflict with any other unique index would count as a duplicate.
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({placeholders}) ON CONFLICT (id) DO NOTHING"  # noqa: S608  constant names


@cache
def _batch_statement(target: Target, columns: tuple[str, ...]) -> str:
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
def _queued_statement(target: Target, missing: frozenset[str]) -> str:
    omitted = {*target.omitted, *missing, "recorded_at"}
    columns = [name for name in _TYPES if name not in omitted]
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
def _one_by_one_statement(target: Target, missing: frozenset[str]) -> str:
    """The insert in a PL/pgSQL loop. A setting of the transaction contains the data, so that no data becomes code."""
    insert_one = _queued_statement(target, missing) % {
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
END $tracker$; SELECT current_setting('tracker.result')"""  # noqa: S608  constant text


def stored_value(name: str, value: Any, zone: str | None) -> Any:
    """A value as text that PostgreSQL converts to the column's type, independent of the session's settings."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if name == "created_at":
        # psycopg2 would convert it with the session's time zone if the column has no time zone.
        if zone:
            value = value.astimezone(settings.load_time_zone(zone)).replace(tzinfo=None)
        return value.isoformat()
    if name == "metadata":
        return _encode(value) if value else "{}"
    return str(value)


# Text, and numbers that psycopg2 writes unchanged.
_PLAIN_TYPES = {str, int, bool, type(None), float}
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode
