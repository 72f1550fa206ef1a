"""Background responses, whose usage arrives after the call that creates them.

The id of the row is derived from the provider and the response's id, so that every process that polls the response
writes the same row. Polls before the end, and later polls, write nothing.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from tracker.providers.given_fields import without_context
from tracker.providers.responses import get
from tracker.recording.capture.response_ids import plain_response_id
from tracker.usage import MAX_INTEGER, TokenUsage

if TYPE_CHECKING:
    from tracker.recording.capture.call_state import CallState
    from tracker.recording.tracker import Tracker

MAX_PENDING = 1000
MAX_PENDING_AGE_S = 24 * 3600.0
_MAX_RECORDED = 10_000
NEVER_RETRIEVED = "response_never_retrieved"
FINAL_STATUSES = frozenset({"completed", "failed", "incomplete", "cancelled", "budget_exceeded"})


def derived_id(provider: str | None, response_id: str, purpose: str = "") -> UUID:
    """A UUIDv8 (RFC 9562, 5.8) that every process derives from the provider and the response id."""
    digest = hashlib.sha256("\0".join((provider or "", response_id, purpose)).encode("utf-8", "surrogatepass")).digest()
    number = int.from_bytes(digest[:16])
    return UUID(int=number & ~(0xF << 76) & ~(0b11 << 62) | 0x8 << 76 | 0b10 << 62)


class LaterUsage(ABC):
    """Decides at the end of a request whether to write a row for its response, and which row."""

    @abstractmethod
    def add(self, chunk: object) -> None:
        """Read one chunk of a stream, or the whole response."""

    @abstractmethod
    def row(self, state: CallState, usage: TokenUsage, *, broken_off: bool) -> tuple[TokenUsage, bool]:
        """The row, and whether to write it."""


# --- background responses -----------------------------------------------------------------------------------------


class BackgroundResponse(LaterUsage):
    """A request that creates, retrieves, or cancels a response that the provider generates in the background."""

    def __init__(self, *, creates: bool) -> None:
        self.creates = creates
        self._status: str | None = None
        self._background: bool | None = None
        self._response_id: str | None = None

    def add(self, chunk: object) -> None:
        node = _response_in(chunk)
        if node is None:
            return
        status, background, response_id = (get(node, name) for name in ("status", "background", "id"))
        self._status = status if isinstance(status, str) else self._status
        self._background = background if isinstance(background, bool) else self._background
        self._response_id = plain_response_id(response_id) if isinstance(response_id, str) else self._response_id

    def row(
        self,
        state: CallState,
        usage: TokenUsage,
        *,
        broken_off: bool,  # noqa: ARG002  its status says whether the response is finished
    ) -> tuple[TokenUsage, bool]:
        if self._response_id is None:  # an error: a failed creation is a failed call, a failed poll is no call
            return usage, self.creates
        pending = pending_of(state.recorder)
        record_id = derived_id(usage.provider, self._response_id)
        if self._status not in FINAL_STATUSES:
            if self.creates:
                pending.add(record_id, state.context.fill(usage, keep_provider=True))
            return replace(usage, id=record_id), False
        created = pending.take(record_id)
        background = self._background if self._background is not None else (self.creates or created is not None)
        if not background or pending.is_recorded(record_id):
            return replace(usage, id=record_id), False
        pending.mark_recorded(record_id)
        return finished_row(usage, created, record_id, self._status, polled=not self.creates), True


def finished_row(
    usage: TokenUsage, created: _PendingResponse | None, record_id: UUID, status: str | None, *, polled: bool
) -> TokenUsage:
    """The row of a finished background response, with the fields and the context of the call that created it."""
    changes: dict[str, Any] = {"id": record_id}
    if created is not None:
        creation = created.usage
        changes |= {name: getattr(creation, name) for name in ("user_id", "session_id", "operation", "is_test")}
        metadata = {name: value for name, value in creation.metadata.items() if name not in {"usage_problem", "stream"}}
        changes["metadata"] = {**metadata, **usage.metadata}
        changes["processing_time"] = min(MAX_INTEGER, round((time.monotonic() - created.created_s) * 1000))
    elif polled:
        changes["processing_time"] = None  # the duration of the poll is not that of the call
    if status == "cancelled":
        changes |= {"success": False, "error_message": usage.error_message or "The response was cancelled."}
    elif not usage.success and usage.metadata.get("stream") == "broken_off":
        metadata = dict(changes.get("metadata", usage.metadata))
        metadata.pop("stream", None)
        changes |= {"success": True, "error_message": None, "metadata": metadata}
    row: TokenUsage = replace(usage, **changes)
    return row if created is None else without_context(row)


def _response_in(chunk: object) -> object | None:
    """The response or interaction, also inside an event of a stream."""
    for name in ("response", "interaction"):
        node: object = get(chunk, name)
        if node is not None and not isinstance(node, str):
            return node
    return chunk if isinstance(get(chunk, "status"), str) else None


class _PendingResponse(NamedTuple):
    """A background response whose usage is not known yet."""

    usage: TokenUsage
    created_s: float


class PendingResponses:
    """The unfinished background responses that a Tracker created in this process; bounded in count and age."""

    def __init__(self, recorder: Tracker) -> None:
        self._recorder = weakref.ref(recorder)
        self._lock = threading.Lock()
        self._pending: OrderedDict[UUID, _PendingResponse] = OrderedDict()
        self._recorded: OrderedDict[UUID, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, record_id: UUID, usage: TokenUsage) -> None:
        """Add a response; the oldest ones above the limits are recorded as never retrieved."""
        with self._lock:
            self._pending[record_id] = _PendingResponse(usage, time.monotonic())
            expired = list(self._remove_expired())
        if (recorder := self._recorder()) is not None:
            _kept_alive[id(self)] = recorder
        self._record(expired)

    def _remove_expired(self) -> Iterator[_PendingResponse]:
        oldest_s = time.monotonic() - MAX_PENDING_AGE_S
        while self._pending:
            record_id, pending = next(iter(self._pending.items()))
            if len(self._pending) <= MAX_PENDING and pending.created_s >= oldest_s:
                return
            del self._pending[record_id]
            yield pending

    def take(self, record_id: UUID) -> _PendingResponse | None:
        """Remove and return the creating call of this response; None if another process created it."""
        with self._lock:
            pending = self._pending.pop(record_id, None)
            if not self._pending:
                _kept_alive.pop(id(self), None)
            return pending

    def is_recorded(self, record_id: UUID) -> bool:
        """Whether this process has written the row, so that a poll needs no round trip."""
        return record_id in self._recorded

    def mark_recorded(self, record_id: UUID) -> None:
        """Mark the row of this response as written."""
        with self._lock:
            self._recorded[record_id] = None
            while len(self._recorded) > _MAX_RECORDED:
                self._recorded.popitem(last=False)

    def record_never_retrieved(self) -> None:
        """Write a row marked as never retrieved for each pending response."""
        with self._lock:
            expired = list(self._pending.values())
            self._pending.clear()
        self._record(expired)
        _kept_alive.pop(id(self), None)

    def _record(self, expired: list[_PendingResponse]) -> None:
        if (recorder := self._recorder()) is None:
            return
        for pending in expired:
            usage = pending.usage
            response_id = str(usage.metadata.get("response_id", usage.id))
            # A different id: another process may still retrieve the response and write the row with the counts.
            record_id = derived_id(usage.provider, response_id, NEVER_RETRIEVED)
            metadata = {**usage.metadata, "usage_problem": NEVER_RETRIEVED}
            recorder.record(replace(usage, id=record_id, metadata=metadata, processing_time=None))


# --- per Tracker --------------------------------------------------------------------------------------------------

_lock = threading.Lock()
# A Tracker stays alive while responses are pending, so that closing it records them.
_kept_alive: dict[int, Tracker] = {}
_pending: weakref.WeakKeyDictionary[Any, PendingResponses] = weakref.WeakKeyDictionary()


def pending_of(recorder: Tracker) -> PendingResponses:
    """The pending background responses of this Tracker."""
    with _lock:
        if (pending := _pending.get(recorder)) is None:
            pending = _pending[recorder] = PendingResponses(recorder)
        return pending


def record_never_retrieved(recorder: Tracker) -> None:
    """Write a row for each background response of this Tracker that was never retrieved."""
    with _lock:
        pending = _pending.get(recorder)
    if pending is not None:
        pending.record_never_retrieved()


def _after_fork_in_child() -> None:
    """Discard the parent's pending responses, and replace the lock, which another thread may have locked."""
    global _lock
    _lock = threading.Lock()
    for per_tracker in (_kept_alive, _pending):
        per_tracker.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
