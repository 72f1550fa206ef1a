"""Reads from a platform's log the records that recording wrote there as its last resort.

A line may be the record itself, the record after a prefix of a logger or platform, the platform's own JSON with the
record in one of its strings (Vercel, CloudWatch, Cloud Logging), one line of such JSON over several lines, or a row of
a CSV export.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, TextIO

from tracker.database.schema import COLUMN_NAMES
from tracker.errors import UsageError, UsageTypeError
from tracker.usage import FIELDS, TokenUsage

_MARK = "token_usage."
_EVENTS = frozenset({"token_usage.failed", "token_usage.queued", "token_usage.unqueued"})
# The beginning of an event, at any depth of JSON in JSON; a line may be cut in the event's name.
_EVENT_START = re.compile(r"""\bevent[\\"]+\s*:\s*[\\"]+token_usage\.(?:(?:failed|queued|unqueued)\b|\w*$)""")
_DEPLOYMENT_FIELDS = (
    "environment",
    "platform",
    "region",
    "deployment",
    "connection_ms",
    "retry_count",
    "instance_id",
    "sequence",
)
_DEPTH = 4
# A platform's lines have some hundred kilobytes at most; a longer line is not from a log.
_LONGEST_LINE = 16_000_000
# Limits failed parsing in one line, where each position can be the start of a JSON value.
_MAX_FAILED_CHARACTERS = 20_000_000
_MAX_NESTING = 10_000
_INCOMPLETE = "a record begins in this line and is cut off or unreadable; copy the whole line from the platform's log"


class LogRecords:
    """Iterates over the records in a log: the line number with the record, or with the reason why it can't be read.

    Lines without a record are skipped. A record that is logged several times is returned several times, with the same
    id. `lines` is the number of lines read.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.lines = 0

    def __iter__(self) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
        while line := self._file.readline(_LONGEST_LINE):
            self.lines += 1
            is_whole = line.endswith("\n") or len(line) < _LONGEST_LINE
            if _MARK in line:
                yield from self._records(line)
            if not is_whole and self._skip_rest(line):
                yield self.lines, f"the line is longer than {_LONGEST_LINE:,} characters and has a record: split it"

    def _records(self, line: str) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
        count = 0
        for event in _events(line, _DEPTH):
            count += 1
            try:
                yield self.lines, _row(event["record"])
            except (UsageError, UsageTypeError, ValueError, TypeError) as error:
                yield self.lines, f"the record in this line can't be read: {error}"
        if count < len(_EVENT_START.findall(line)):
            yield self.lines, _INCOMPLETE

    def _skip_rest(self, start: str) -> bool:
        """Read to the end of a line that is too long; return whether an event begins in the skipped part."""
        tail, has_record = start[-200:], False
        while rest := self._file.readline(_LONGEST_LINE):
            has_record = has_record or bool(_EVENT_START.search(tail + rest))
            if rest.endswith("\n"):
                break
            tail = rest[-200:]
        return has_record


def _events(text: str, depth: int) -> Iterator[Mapping[str, Any]]:
    """The events in a text, also in JSON within JSON strings, up to `depth` levels."""
    if depth == 0 or _MARK not in text:
        return
    for start, within in (("{", text), ('"', text), ("{", text.replace('""', '"'))):
        events = [event for value in _values(within, start) for event in _within(value, depth)]
        if events:
            yield from events
            return


def _values(text: str, start: str) -> Iterator[Any]:
    """The JSON values in a text that begin with this character."""
    position = text.find(start)
    parsed = 0
    while position >= 0 and parsed < _MAX_FAILED_CHARACTERS:
        try:
            value, position = json.JSONDecoder().raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            # A text that is nested too deeply is parsed to that depth only.
            end = error.pos if isinstance(error, json.JSONDecodeError) else position + _MAX_NESTING
            parsed += max(1, end - position)
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
        if value.get("event") in _EVENTS and isinstance(value.get("record"), dict):
            yield value
        else:
            for item in value.values():
                yield from _within(item, depth)


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record as a row with the columns that it has; the call's values are validated again."""
    given = {name: record[name] for name in FIELDS if record.get(name) is not None}
    if "created_at" in given:
        given["created_at"] = datetime.fromisoformat(str(given["created_at"]))
    if "id" not in given:
        raise UsageError("it has no id.")
    row = TokenUsage(**given).as_row()
    row |= {name: record[name] for name in _DEPLOYMENT_FIELDS if record.get(name) is not None}
    return {name: value for name, value in row.items() if name in COLUMN_NAMES} | {"delivery": "outbox"}
