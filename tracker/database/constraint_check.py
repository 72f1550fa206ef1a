"""Finds constraints of an adopted table that refuse Token Tracker's own values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tracker.database.schema import COLUMN_NAMES, Table, literal, quote
from tracker.database.sql_file import load
from tracker.errors import SettingError
from tracker.messages import Message
from tracker.usage import TOKEN_COLUMNS

# The values that Token Tracker stores if the caller gives none; of each column the longest one.
DEFAULTS = {"user_id": "anonymous", "operation": "chat"}
_TRACKER_VALUES = {
    **DEFAULTS,
    "delivery": "background",
    "platform": "azure_functions",
    "cost_source": "genai-prices 0.0.100",
}
# A call with only a model, as it is stored.
_MINIMAL_CALL = {
    **{name: literal(text) for name, text in _TRACKER_VALUES.items()},
    **dict.fromkeys((*TOKEN_COLUMNS, "total_tokens", "retry_count"), "0"),
    "model": "'gpt-4o'",
    "created_at": "now()",
    "recorded_at": "now()",
    "success": "true",
    "is_test": "false",
    "metadata": "'{}'",
}
RunQuery = Callable[[str, Mapping[str, Any] | None], list[tuple[Any, ...]] | None]


def refused_defaults(run_query: RunQuery, table: Table) -> list[str]:
    """One sentence for each constraint that refuses Token Tracker's own values; empty if none does.

    `run_query` returns rows, or None if the query fails.
    """
    query = load("tracker.database", "constraints").text
    if table.kind not in {"r", "p"} or not (rows := run_query(query, {"schema": table.schema})):
        return []
    catalog = rows[0][0]
    return [*_check_lengths(catalog["lengths"]), *_check_constraints(run_query, catalog)]


def count_undated(run_query: RunQuery, table: Table) -> int:
    """The number of rows without created_at, which no report counts."""
    if not table.exists or "created_at" not in table.columns:
        return 0
    rows = run_query(f"SELECT count(*) FROM {quote(table.schema)}.token_usage WHERE created_at IS NULL", None)  # noqa: S608
    return int(rows[0][0]) if rows else 0


def undated_remark(count: int) -> str:
    return Message("database.rows_without_created_at", count=count)


def _check_lengths(lengths: Mapping[str, int]) -> Iterator[str]:
    for column, word in _TRACKER_VALUES.items():
        if column in lengths and lengths[column] < len(word):
            yield (
                Message(
                    "database.column_length.tracker_value_longer",
                    column=column,
                    max_length=lengths[column],
                    tracker_value=f"{word!r}",
                    length=len(word),
                )
            )
    limited = [f"{name} ({lengths[name]})" for name in COLUMN_NAMES if name in lengths]
    if limited:
        yield Message("database.column_length.limited", columns=", ".join(limited))


def _check_constraints(run_query: RunQuery, catalog: Mapping[str, Any]) -> Iterator[str]:
    for constraint in catalog["constraints"]:
        ours = [name for name in constraint["columns"] or () if name in COLUMN_NAMES]
        if not ours:
            continue
        if constraint["kind"] == "f":
            yield from _check_foreign_key(run_query, constraint)
        elif _refuses_minimal_call(run_query, constraint, catalog["types"]):
            yield (
                Message(
                    "database.check_constraint.tracker_values_refused",
                    constraint=constraint["name"],
                    columns=", ".join(ours),
                    definition=constraint["definition"],
                )
            )


def _check_foreign_key(run_query: RunQuery, constraint: Mapping[str, Any]) -> Iterator[str]:
    columns, targets = constraint["columns"], constraint["target_columns"]
    if len(columns) != 1 or columns[0] not in DEFAULTS:
        yield (
            Message(
                "database.foreign_key.value_absent",
                columns=", ".join(columns),
                target=constraint["target"],
                constraint=constraint["name"],
            )
        )
        return
    word = DEFAULTS[columns[0]]
    exists = run_query(
        f"SELECT EXISTS (SELECT 1 FROM {constraint['target']} WHERE {quote(targets[0])}::text = %(word)s)",  # noqa: S608
        {"word": word},
    )
    if exists and exists[0][0]:
        return
    yield Message(
        f"database.foreign_key.{'tracker_value_absent' if exists else 'tracker_value_unchecked'}",
        column=columns[0],
        target=constraint["target"],
        constraint=constraint["name"],
        tracker_value=f"{word!r}",
    )


def _refuses_minimal_call(run_query: RunQuery, constraint: Mapping[str, Any], types: Mapping[str, str]) -> bool:
    """Whether the CHECK is false for a call with only a model."""
    try:
        row = ", ".join(
            f"CAST({_MINIMAL_CALL.get(name, 'NULL')} AS {types[name]}) AS {quote(name)}"
            for name in constraint["columns"]
        )
    except SettingError:  # the text can't be written as a literal
        return False
    rows = run_query(f"SELECT ({constraint['expression']}) IS FALSE FROM (SELECT {row}) AS token_usage", None)  # noqa: S608
    return bool(rows and rows[0][0])
