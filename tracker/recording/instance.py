"""The recording process: its id, its sequence numbers, and the columns that it adds to a call's usage."""

from __future__ import annotations

import json
import operator
import uuid
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from tracker.recording.insert import OMITTED_DEFAULTS, Row

if TYPE_CHECKING:
    from tracker.platforms import Runtime
    from tracker.usage import TokenUsage

_MAX_SEQUENCE = 2**31 - 1  # the column is an integer


class Instance:
    """One process, from its start or fork to its end. A gap in its sequence numbers is a missing record."""

    def __init__(self, runtime: Runtime) -> None:
        self.id = uuid.uuid4()
        self.name = str(self.id)
        self._numbers = iter(range(1, _MAX_SEQUENCE + 1))
        self.reported_sequence = 0
        self.runtime_fields = {
            "environment": runtime.environment,
            "platform": runtime.platform,
            "region": runtime.region,
            "deployment": runtime.deployment,
            "instance_id": self.name,
        }

    @property
    def last_sequence(self) -> int:
        """The last assigned number; 0 if none was assigned."""
        return _MAX_SEQUENCE - operator.length_hint(self._numbers)

    def assign_sequence(self, assigned: list[int]) -> int:
        """The record's number, counted from 1; it is appended to `assigned` unless the list contains one.

        Advancing and storing the number is one bytecode instruction, so that no interruption can lose it.
        """
        if not assigned:
            assigned.extend(islice(self._numbers, 1))
        return assigned[0]

    def row(self, usage: TokenUsage, delivery: str) -> dict[str, Any]:
        """The record's columns, except for its sequence."""
        return {**usage.as_row(), **self.runtime_fields, "delivery": delivery}


def document(row: Row) -> str:
    """A row as one JSON object, which can be recorded again with the same id."""
    return _encode({name: _plain(value) for name, value in row.items()})


def compact_document(row: Row) -> str:
    """A row for the outbox, without NULL and usual values, which `insert_queued` restores."""
    defaults = OMITTED_DEFAULTS
    return _encode(
        {
            name: _plain(value)
            for name, value in row.items()
            if value is not None and (name not in defaults or value != defaults[name])
        }
    )


# Without sorted keys and the check for cycles, this encoder is the fastest one in the standard library.
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, default=str).encode


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | dict):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)
