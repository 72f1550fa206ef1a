"""A platform's log → the records that recording wrote there as its last resort.

A line may be ours as it is, begin with what a logger or a platform puts before it, or be the platform's own JSON
with our line in one of its texts (Vercel, CloudWatch, Cloud Logging), a line of such JSON spread over several, or a
row of a CSV export.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from tracker.database.table import COLUMN_NAMES
from tracker.errors import UsageError, UsageTypeError
from tracker.usage import FIELDS, TokenUsage

_MARK = "token_usage."
_PLACE = ("environment", "platform", "region", "deployment", "connection_ms", "retry_count", "instance_id", "sequence")
_DEPTH = 4


def read_records(lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    """Each record with its line's number, or the reason why a line of ours can't be read.

    A line without a record of ours is passed over. The same record in several lines comes several times: its id
    tells.
    """
    for number, line in enumerate(lines, start=1):
        if _MARK not in line:
            continue
        for event in _events(line, _DEPTH):
            try:
                yield number, _row(event["record"])
            except (UsageError, UsageTypeError, ValueError, TypeError) as error:
                yield number, f"The record in this line can't be read: {error}"


def _events(text: str, depth: int) -> Iterator[Mapping[str, Any]]:
    """The events in a text, at whatever depth of JSON within JSON they lie."""
    if depth == 0 or _MARK not in text:
        return
    for start, within in (("{", text), ('"', text), ("{", text.replace('""', '"'))):
        found = [event for value in _values(within, start) for event in _within(value, depth)]
        if found:
            yield from found
            return


def _values(text: str, start: str) -> Iterator[Any]:
    """The JSON values in a text that begin with this character."""
    position = text.find(start)
    while position >= 0:
        try:
            value, position = json.JSONDecoder().raw_decode(text, position)
        except (ValueError, RecursionError):
            position += 1
        else:
            yield value
        position = text.find(start, position)


def _within(value: Any, depth: int) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, str):
        yield from _events(value, depth - 1)
    elif isinstance(value, list):
        for item in value:
            yield from _within(item, depth)
    elif isinstance(value, dict):
        if str(value.get("event", "")).startswith(_MARK) and isinstance(value.get("record"), dict):
            yield value
        else:
            for item in value.values():
                yield from _within(item, depth)


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record as a row: the call's own columns checked anew, and only the columns the line holds."""
    given = {name: record[name] for name in FIELDS if record.get(name) is not None}
    if "created_at" in given:
        given["created_at"] = datetime.fromisoformat(str(given["created_at"]))
    if "id" not in given:
        raise UsageError("it has no id.")
    row = TokenUsage(**given).as_row()
    row |= {name: record[name] for name in _PLACE if record.get(name) is not None}
    return {name: value for name, value in row.items() if name in COLUMN_NAMES} | {"delivery": "outbox"}
