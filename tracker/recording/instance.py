"""The recording process: its id, its running number, and what it writes beside a call's usage."""

from __future__ import annotations

import json
import operator
import uuid
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from tracker.recording.insert import OMITTED_DEFAULTS

if TYPE_CHECKING:
    from tracker.platforms import Runtime
    from tracker.usage import TokenUsage

Row = Mapping[str, Any]
_MOST_NUMBERS = 2**31 - 1  # the column is an integer


class Instance:
    """One process, from its start or its fork to its end. A gap in its numbers is a record that is missing."""

    def __init__(self, runtime: Runtime) -> None:
        self.id = uuid.uuid4()
        self.name = str(self.id)
        self._numbers = iter(range(1, _MOST_NUMBERS + 1))
        self.reported_sequence = 0
        self.place = {
            "environment": runtime.environment,
            "platform": runtime.platform,
            "region": runtime.region,
            "deployment": runtime.deployment,
            "instance_id": self.name,
        }

    @property
    def last_sequence(self) -> int:
        """The last number that was taken, 0 when none was."""
        return _MOST_NUMBERS - operator.length_hint(self._numbers)

    def assign_sequence(self, taken: list[int]) -> int:
        """The record's number, counted from 1; it is put into `taken` unless one is there.

        Taking and keeping a number is one step of the interpreter, so that no interruption can lose it.
        """
        if not taken:
            taken.extend(islice(self._numbers, 1))
        return taken[0]

    def next_sequence(self) -> int:
        """The next record's number."""
        return self.assign_sequence([])

    def row(self, usage: TokenUsage, delivery: str) -> dict[str, Any]:
        """The record's columns, all but its sequence."""
        return {**usage.as_row(), **self.place, "delivery": delivery}


def document(row: Row) -> str:
    """A row as one JSON object, from which it can be recorded again with the same id."""
    return _encode({name: _plain(value) for name, value in row.items()})


def compact_document(row: Row) -> str:
    """A row for the outbox: without what is NULL or a column's usual value, which `insert_queued` puts back."""
    left_out = OMITTED_DEFAULTS
    return _encode(
        {
            name: _plain(value)
            for name, value in row.items()
            if value is not None and (name not in left_out or value != left_out[name])
        }
    )


# No key is sorted and nothing refers to itself: the plain encoder is the fastest one in the standard library.
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, default=str).encode


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | dict):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)
