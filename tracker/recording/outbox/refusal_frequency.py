"""Counts refusals to detect those that are so frequent that the table is their cause, not the single record."""

from __future__ import annotations

import time
from collections.abc import Callable

from tracker.errors import RecordError, TableError

LIMIT = 20
WINDOW_S = 60.0
_MAX_KINDS = 1000
Kind = tuple[str, str]


class RefusedKinds:
    """Counts refusals by SQLSTATE and constraint or column, for direct writes and outbox deliveries together.

    A kind is systematic after `LIMIT` refusals with at most `WINDOW_S` between two of them; a `TableError` is always
    systematic. There is no lock: a lost count delays the limit by one refusal.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[Kind, tuple[int, float]] = {}

    def add(self, error: RecordError) -> None:
        """Count a refusal."""
        if error.kind is None:
            return
        if len(self._counts) >= _MAX_KINDS:
            self._counts.clear()
        count = LIMIT if isinstance(error, TableError) else self._count(error.kind) + 1
        self._counts[error.kind] = (count, self._clock())

    def is_systematic(self, error: RecordError) -> bool:
        """Whether records with this refusal are held until the table is corrected."""
        return isinstance(error, TableError) or (error.kind is not None and self._count(error.kind) >= LIMIT)

    def reset(self, kind: Kind) -> None:
        """Reset the count of a kind, because the table accepts its records again."""
        self._counts.pop(kind, None)

    def _count(self, kind: Kind) -> int:
        count, counted_at = self._counts.get(kind, (0, 0.0))
        return count if self._clock() - counted_at < WINDOW_S else 0
