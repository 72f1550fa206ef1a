"""Finds constraints of an adopted table that refuse Token Tracker's own values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tracker.database.schema import COLUMN_NAMES, Table, literal, quote
from tracker.errors import SettingError
from tracker.usage import TOKEN_COLUMNS

# What we store by ourselves where a caller says nothing; the longest word of each column.
DEFAULTS = {"user_id": "anonymous", "operation": "chat"}
_OUR_WORDS = {
    **DEFAULTS,
    "delivery": "background",
    "platform": "azure_functions",
    "cost_source": "genai-prices 0.0.100",
}
# A call of which nothing is known but its model, as it is stored.
_PLAIN_CALL = {
    **{name: literal(text) for name, text in _OUR_WORDS.items()},
    **dict.fromkeys((*TOKEN_COLUMNS, "total_tokens", "retry_count"), "0"),
    "model": "'gpt-4o'",
    "created_at": "now()",
    "recorded_at": "now()",
    "success": "true",
    "is_test": "false",
    "metadata": "'{}'",
}
Ask = Callable[[str, Mapping[str, Any] | None], list[tuple[Any, ...]] | None]


@cache
def _question() -> str:
    return Path(__file__).with_name("constraints.sql").read_text(encoding="utf-8")


def refused_defaults(ask: Ask, table: Table) -> list[str]:
    """One sentence for each constraint that refuses what we store by ourselves; empty where all fits.

    `ask` answers a question, or returns None where it can't be answered.
    """
    if table.kind not in {"r", "p"} or not (rows := ask(_question(), {"schema": table.schema})):
        return []
    found = rows[0][0]
    return [*_too_long(found["lengths"]), *_constraints(ask, found)]


def undated(ask: Ask, table: Table) -> int:
    """How many rows have no created_at: no figure counts them."""
    if not table.exists or "created_at" not in table.columns:
        return 0
    rows = ask(f"SELECT count(*) FROM {quote(table.schema)}.token_usage WHERE created_at IS NULL", None)  # noqa: S608
    return int(rows[0][0]) if rows else 0


def undated_remark(count: int) -> str:
    return (
        f"{count} rows have no created_at and are not counted in any figure. Set created_at, or delete them:"
        " WHERE created_at IS NULL."
    )


def _too_long(lengths: Mapping[str, int]) -> Iterator[str]:
    for column, word in _OUR_WORDS.items():
        if column in lengths and lengths[column] < len(word):
            yield (
                f"{column} takes {lengths[column]} characters, and Token Tracker's value {word!r} has {len(word)}:"
                f" ALTER TABLE token_usage ALTER COLUMN {column} TYPE text."
            )
    limited = [f"{name} ({lengths[name]})" for name in COLUMN_NAMES if name in lengths]
    if limited:
        yield f"A longer text than the column takes is refused: {', '.join(limited)} characters."


def _constraints(ask: Ask, found: Mapping[str, Any]) -> Iterator[str]:
    for constraint in found["constraints"]:
        ours = [name for name in constraint["columns"] or () if name in COLUMN_NAMES]
        if not ours:
            continue
        if constraint["kind"] == "f":
            yield from _foreign_key(ask, constraint)
        elif _refuses(ask, constraint, found["types"]):
            yield (
                f"The constraint {constraint['name']} refuses a call with Token Tracker's values of {', '.join(ours)}:"
                f" {constraint['definition']}."
            )


def _foreign_key(ask: Ask, constraint: Mapping[str, Any]) -> Iterator[str]:
    columns, targets = constraint["columns"], constraint["target_columns"]
    if len(columns) != 1 or columns[0] not in DEFAULTS:
        yield (f"A call whose {', '.join(columns)} is not in {constraint['target']} is refused ({constraint['name']}).")
        return
    word = DEFAULTS[columns[0]]
    there = ask(
        f"SELECT EXISTS (SELECT 1 FROM {constraint['target']} WHERE {quote(targets[0])}::text = %(word)s)",  # noqa: S608
        {"word": word},
    )
    if there and there[0][0]:
        return
    yield (
        f"{columns[0]} must be in {constraint['target']} ({constraint['name']}), and Token Tracker's value {word!r} for"
        f" a call without one {'is not' if there else 'may not be'} there: insert it, or always give {columns[0]}."
    )


def _refuses(ask: Ask, constraint: Mapping[str, Any], types: Mapping[str, str]) -> bool:
    """Whether the CHECK is false for a call of which only the model is known."""
    try:
        row = ", ".join(
            f"CAST({_PLAIN_CALL.get(name, 'NULL')} AS {types[name]}) AS {quote(name)}" for name in constraint["columns"]
        )
    except SettingError:  # a text that can't be written as a literal
        return False
    rows = ask(f"SELECT ({constraint['expression']}) IS FALSE FROM (SELECT {row}) AS token_usage", None)  # noqa: S608
    return bool(rows and rows[0][0])
