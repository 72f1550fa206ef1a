"""Records that are held until the table is corrected, with a retry backoff for each kind of refusal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from tracker.errors import RecordError, TableError
from tracker.recording.outbox.refusal_frequency import Kind
from tracker.recording.outbox.store import QueuedRecord

FIRST_WAIT_S, MAX_WAIT_S = 1.0, 60.0
SAMPLE_RECORDS = 20
Key = tuple[str, str, int]


class _Group:
    """The refused records of one kind; `error` is None until the kind is known to be systematic."""

    def __init__(self) -> None:
        self.keys: dict[Key, None] = {}
        self.single: list[tuple[QueuedRecord, RecordError]] = []
        self.error: TableError | None = None
        self.wait_s = FIRST_WAIT_S
        self.retry_at = 0.0


class HeldRecords:
    """The records of an outbox that a round must skip. They stay in the outbox.

    The set is in memory only: another process determines it by its own attempts.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._groups: dict[Kind | None, _Group] = {}
        self._kinds: dict[Key, Kind | None] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._kinds

    def __len__(self) -> int:
        return len(self._kinds)

    @property
    def error(self) -> TableError | None:
        """The error of the first kind of held records; None if no record is held."""
        return next((group.error for group in list(self._groups.values()) if group.error and group.keys), None)

    def add(self, record: QueuedRecord, error: RecordError) -> None:
        """Skip a refused record for this round; the end of the round decides whether it is held."""
        group = self._groups.setdefault(error.kind, _Group())
        group.keys[record.key] = None
        self._kinds[record.key] = error.kind
        if group.error is None:
            group.single.append((record, error))

    def hold(self, kind: Kind, error: TableError) -> bool:
        """Hold the records of a kind; returns whether they weren't held before."""
        group = self._groups.setdefault(kind, _Group())
        if group.error is not None:
            return False
        group.error = error
        group.single.clear()
        group.retry_at = self._clock() + group.wait_s
        return True

    def take_single(self) -> list[tuple[QueuedRecord, RecordError]]:
        """Remove and return the refused records whose kind is not systematic."""
        records = []
        for kind, group in list(self._groups.items()):
            if group.error is None:
                records += group.single
                self._drop(kind)
        return records

    def is_held(self, kind: Kind | None) -> bool:
        """Whether the records of this kind are held."""
        return kind in self._groups and self._groups[kind].error is not None

    def end_round(self) -> list[Kind]:
        """Remove and return the kinds without held records."""
        ended = [kind for kind, group in self._groups.items() if kind and group.error and not group.keys]
        for kind in ended:
            self._drop(kind)
        return ended

    # --- retries ---

    def retry_in_s(self) -> float | None:
        """The seconds until the next retry of a kind; None if no record is held."""
        times = [group.retry_at for group in list(self._groups.values()) if group.error and group.keys]
        return max(0.0, min(times) - self._clock()) if times else None

    def due(self, *, now: bool) -> list[Kind]:
        """The kinds that are due for a retry; with `now` all kinds."""
        return [
            kind
            for kind, group in self._groups.items()
            if kind and group.error and group.keys and (now or group.retry_at <= self._clock())
        ]

    def take_sample(self, kind: Kind) -> list[Key]:
        """Remove and return some records of a kind, which the round can then retry."""
        keys = list(self._groups[kind].keys)[:SAMPLE_RECORDS]
        self._remove(kind, keys)
        return keys

    def release(self, kind: Kind) -> None:
        """Stop holding the records of a kind, because the table accepts some of them."""
        self._remove(kind, list(self._groups[kind].keys))
        group = self._groups[kind]
        group.wait_s = FIRST_WAIT_S
        group.retry_at = self._clock() + group.wait_s

    def wait_longer(self, kind: Kind) -> None:
        """Double the backoff of a kind, because its sample was refused again."""
        group = self._groups[kind]
        group.wait_s = min(MAX_WAIT_S, group.wait_s * 2)
        group.retry_at = self._clock() + group.wait_s

    def _remove(self, kind: Kind, keys: Sequence[Key]) -> None:
        for key in keys:
            self._groups[kind].keys.pop(key, None)
            self._kinds.pop(key, None)

    def _drop(self, kind: Kind | None) -> None:
        for key in self._groups.pop(kind).keys:
            self._kinds.pop(key, None)
