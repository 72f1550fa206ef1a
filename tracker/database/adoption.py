"""Checks an existing token_usage: reasons against adoption, remarks for its owner, and missing columns."""

from __future__ import annotations

from datetime import UTC, datetime

from tracker.database.indexes import duplicates
from tracker.database.schema import COLUMNS, ESSENTIAL, Table, quote
from tracker.messages import Message, join_messages
from tracker.settings import load_time_zone

_KINDS = {"v": "view", "m": "materialized_view", "f": "foreign_table"}
# If one of these is generated, only a person knows what its value means.
_INSERTED = (*ESSENTIAL, "user_id")
# The owner decides: other readers of the table may not expect NULL in this column.
COST_MAY_BE_UNKNOWN = "ALTER TABLE token_usage ALTER COLUMN cost DROP NOT NULL, ALTER COLUMN cost DROP DEFAULT;"


def find_objections(table: Table) -> list[str]:
    """The reasons why this table can't be adopted, each with its remedy; empty if it can."""
    if table.kind in _KINDS:
        return [Message("database.not_a_table", kind=Message(f"database.kind.{_KINDS[table.kind]}"))]
    objections: list[str] = [Message("database.column_absent", column=name) for name in _absent(table)]
    objections += _wrong_types(table)
    if "id" in table.columns and not table.unique_id:
        # The unique indexes of a partitioned table must include the partition key.
        partitioned = table.kind == "p"
        objections.append(Message(f"database.id_not_unique.{'partitioned' if partitioned else 'ordinary'}"))
    objections += [Message("database.column_generated", column=name) for name in _generated(table)]
    objections += [
        Message("database.column_not_null", column=name, quoted_column=quote(name)) for name in table.required
    ]
    return objections


def _absent(table: Table) -> list[str]:
    return [name for name in ESSENTIAL if name not in table.columns]


def _generated(table: Table) -> list[str]:
    return [name for name in table.generated if name in _INSERTED]


def _wrong_types(table: Table) -> list[str]:
    return [
        Message(
            "database.column_type_differs",
            column=column.name,
            data_type=table.columns[column.name],
            accepted_types=join_messages(column.accepted, "general.either"),
        )
        for column in COLUMNS
        if column.name in table.columns and table.columns[column.name] not in column.accepted
    ]


def find_remarks(table: Table) -> list[str]:
    """Remarks for the owner of this table, one or two sentences each."""
    remarks: list[str] = []
    if table.created_at_zone:
        remarks.append(Message("database.created_at_without_zone", time_zone=table.created_at_zone))
        if _repeats_an_hour(table.created_at_zone):
            remarks.append(Message("database.created_at_zone_ambiguous", time_zone=table.created_at_zone))
    if "total_tokens" in table.generated:
        remarks.append(Message("database.total_tokens_generated"))
    remarks += [Message("database.column_default_stored", column=name) for name in table.defaulted if name != "cost"]
    if "cost" in table.defaulted:
        remarks.append(Message("database.cost_not_null", statement=COST_MAY_BE_UNKNOWN))
    if repeated := duplicates(table):
        remarks.append(Message("database.duplicate_indexes", statements=" ".join(repeated)))
    if table.supabase and not table.row_security:
        remarks.append(Message("database.row_security_off_public"))
    if table.row_security and not table.is_owner:
        remarks.append(Message("database.row_security_not_owner"))
    return remarks


def _repeats_an_hour(name: str) -> bool:
    """Whether the zone's clocks are set back this year; False if this machine doesn't know the zone."""
    try:
        zone = load_time_zone(name)
    except ValueError:
        return False
    year = datetime.now(UTC).year
    return len({datetime(year, month, 1, tzinfo=UTC).astimezone(zone).utcoffset() for month in range(1, 13)}) > 1


def column_statements(table: Table) -> list[str]:
    """ALTER statements that add missing columns; the default is set separately, so that old rows keep NULL."""
    statements = []
    for column in COLUMNS:
        if column.name not in table.columns:
            statements.append(f"ALTER TABLE token_usage ADD COLUMN {column.name} {column.type}")
            if column.default:
                statements.append(f"ALTER TABLE token_usage ALTER COLUMN {column.name} SET DEFAULT {column.default}")
    return statements
