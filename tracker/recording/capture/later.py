"""Usage that arrives after the call: background responses, and batches.

The row of such a call has an id that is derived from the provider and the response's (or batch's) id, so that every
process that polls it writes the same row. Polls before the end, and later polls, write nothing.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from tracker.recording.capture.response_ids import plain_response_id
from tracker.sources.answers import Answer, follow, get
from tracker.sources.usage import usage_of
from tracker.usage import MAX_INTEGER, TokenUsage

if TYPE_CHECKING:
    from tracker.recording.capture.call import CallState
    from tracker.recording.tracker import Tracker

MAX_PENDING = 1000
MAX_PENDING_AGE_S = 24 * 3600.0
_MAX_RECORDED = 10_000
_MAX_LINES = 20_000
_MAX_BATCHES = 100
NEVER_RETRIEVED = "response_never_retrieved"
FINAL_STATUSES = frozenset({"completed", "failed", "incomplete", "cancelled", "budget_exceeded"})
_FINAL_BATCH_STATUSES = frozenset({"completed", "expired", "cancelled", "failed"})
_BATCH_COUNTS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "reasoning_output_tokens",
)


def derived_id(provider: str | None, response_id: str, purpose: str = "") -> UUID:
    """A UUIDv8 (RFC 9562, 5.8) that every process derives from the same response: a digest of its names."""
    digest = hashlib.sha256("\0".join((provider or "", response_id, purpose)).encode("utf-8", "surrogatepass")).digest()
    number = int.from_bytes(digest[:16])
    return UUID(int=number & ~(0xF << 76) & ~(0b11 << 62) | 0x8 << 76 | 0b10 << 62)


class LaterUsage:
    """Decides at the end of a request whether its response is the row of a call, and which."""

    def add(self, piece: object) -> None:
        """One piece of a stream."""

    def row(self, state: CallState, usage: TokenUsage, *, broken_off: bool) -> tuple[TokenUsage, bool]:
        """The row, and whether to write it."""
        raise NotImplementedError


# --- background responses -----------------------------------------------------------------------------------------


class BackgroundResponse(LaterUsage):
    """A request that creates, retrieves, or cancels a response that the provider makes in the background."""

    def __init__(self, *, creates: bool) -> None:
        self.creates = creates
        self._status: str | None = None
        self._background: bool | None = None
        self._response_id: str | None = None

    def add(self, piece: object) -> None:
        node = _response_in(piece)
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
        if self._response_id is None:  # an error: of a creation it is a failed call, of a poll it is none
            return usage, self.creates
        pending = pending_of(state.recorder)
        record_id = derived_id(usage.provider, self._response_id)
        if self._status not in FINAL_STATUSES:
            if self.creates:
                pending.add(record_id, usage)
            return replace(usage, id=record_id), False
        created = pending.take(record_id)
        background = self._background if self._background is not None else (self.creates or created is not None)
        if not background or pending.is_recorded(record_id):
            return replace(usage, id=record_id), False
        pending.mark_recorded(record_id)
        return finished_row(usage, created, record_id, self._status, polled=not self.creates), True


def finished_row(
    usage: TokenUsage, created: _Pending | None, record_id: UUID, status: str | None, *, polled: bool
) -> TokenUsage:
    """The row of a finished background response, with the fields that its creation was given."""
    changes: dict[str, Any] = {"id": record_id}
    if created is not None:
        first = created.usage
        changes |= {name: getattr(first, name) for name in ("user_id", "session_id", "operation", "is_test")}
        kept = {name: value for name, value in first.metadata.items() if name not in {"usage_problem", "stream"}}
        changes["metadata"] = {**kept, **usage.metadata}
        changes["processing_time"] = min(MAX_INTEGER, round((time.monotonic() - created.created_s) * 1000))
    elif polled:
        changes["processing_time"] = None  # the poll's own duration is not the call's
    if status == "cancelled":
        changes |= {"success": False, "error_message": usage.error_message or "The response was cancelled."}
    elif not usage.success and usage.metadata.get("stream") == "broken_off":
        metadata = dict(changes.get("metadata", usage.metadata))
        metadata.pop("stream", None)
        changes |= {"success": True, "error_message": None, "metadata": metadata}
    return replace(usage, **changes)


def _response_in(piece: object) -> object | None:
    """The response or interaction itself, also inside a stream's event."""
    for name in ("response", "interaction"):
        node: object = get(piece, name)
        if node is not None and not isinstance(node, str):
            return node
    return piece if isinstance(get(piece, "status"), str) else None


class _Pending(NamedTuple):
    """A background response whose usage is not known yet."""

    usage: TokenUsage
    created_s: float


class PendingResponses:
    """The background responses that a Tracker's process created and did not see finished: bounded in count and age."""

    def __init__(self, recorder: Tracker) -> None:
        self._recorder = weakref.ref(recorder)
        self._lock = threading.Lock()
        self._pending: OrderedDict[UUID, _Pending] = OrderedDict()
        self._recorded: OrderedDict[UUID, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, record_id: UUID, usage: TokenUsage) -> None:
        """Wait for this response; the oldest ones above the bound become marked rows."""
        with self._lock:
            self._pending[record_id] = _Pending(usage, time.monotonic())
            given_up = list(self._expired())
        if (recorder := self._recorder()) is not None:
            _kept[id(self)] = recorder
        self._record(given_up)

    def _expired(self) -> Iterator[_Pending]:
        oldest_s = time.monotonic() - MAX_PENDING_AGE_S
        while self._pending:
            record_id, pending = next(iter(self._pending.items()))
            if len(self._pending) <= MAX_PENDING and pending.created_s >= oldest_s:
                return
            del self._pending[record_id]
            yield pending

    def take(self, record_id: UUID) -> _Pending | None:
        """What the creation said of this response; None if another process created it."""
        with self._lock:
            pending = self._pending.pop(record_id, None)
            if not self._pending:
                _kept.pop(id(self), None)
            return pending

    def is_recorded(self, record_id: UUID) -> bool:
        """Whether this process has written the row already, so that a poll needs no round trip."""
        return record_id in self._recorded

    def mark_recorded(self, record_id: UUID) -> None:
        """The row of this response is written."""
        with self._lock:
            self._recorded[record_id] = None
            while len(self._recorded) > _MAX_RECORDED:
                self._recorded.popitem(last=False)

    def record_never_retrieved(self) -> None:
        """Write a marked row for each response that is still pending."""
        with self._lock:
            given_up = list(self._pending.values())
            self._pending.clear()
        self._record(given_up)
        _kept.pop(id(self), None)

    def _record(self, given_up: list[_Pending]) -> None:
        if (recorder := self._recorder()) is None:
            return
        for pending in given_up:
            usage = pending.usage
            response_id = str(usage.metadata.get("response_id", usage.id))
            # Its own id: another process may still retrieve the response, and then writes the row with the counts.
            record_id = derived_id(usage.provider, response_id, NEVER_RETRIEVED)
            metadata = {**usage.metadata, "usage_problem": NEVER_RETRIEVED}
            recorder.record(replace(usage, id=record_id, metadata=metadata, processing_time=None))


# --- batches ------------------------------------------------------------------------------------------------------


class BatchUsage(LaterUsage):
    """A request that retrieves a batch: finished, it is one row with the sum of its requests."""

    def __init__(self, batch_id: str | None = None) -> None:
        self._batch_id = batch_id
        self._object: object = None
        self._lines = _Lines() if batch_id is not None else None

    def add(self, piece: object) -> None:
        if self._lines is not None:
            self._lines.add(piece)
        else:
            self._object = piece

    def row(self, state: CallState, usage: TokenUsage, *, broken_off: bool) -> tuple[TokenUsage, bool]:
        if self._lines is not None:
            total = None if broken_off else self._lines.total(batches_of(state.recorder))
            return batch_row(state.recorder, self._batch_id, total, usage, state.fields)
        total = total_of_batch(self._object)
        return batch_row(state.recorder, batch_id_of(self._object), total, usage, state.fields)


class BatchTotal(NamedTuple):
    """The usage of a batch's completed requests, with their response ids if the batch states them."""

    calls: int
    answer: Answer
    response_ids: frozenset[str] = frozenset()


def batch_id_of(batch: object) -> str | None:
    """The id of OpenAI's, Anthropic's, or Gemini's batch object."""
    return next((value for name in ("id", "name") if isinstance(value := get(batch, name), str)), None)


def total_of_batch(batch: object) -> BatchTotal | None:
    """The usage that a finished batch states: OpenAI's `usage`, Gemini's inlined responses; None without one."""
    from tracker.sources.answers import read

    inlined = follow(batch, ("dest", "inlined_responses"))
    if isinstance(inlined, list):
        lines = _Lines()
        for line in inlined:
            lines.add(line)
        return lines.total(None)
    if get(batch, "status") not in _FINAL_BATCH_STATUSES:
        return None
    answer = read(batch)
    calls = follow(batch, ("request_counts", "completed"))
    if not any(answer.counts.values()) or not isinstance(calls, int) or calls < 1:
        return None
    return BatchTotal(calls, answer)


def batch_row(
    recorder: Tracker, batch_id: str | None, total: BatchTotal | None, usage: TokenUsage, fields: Mapping[str, Any]
) -> tuple[TokenUsage, bool]:
    """The one row of a finished batch, unless its lines or an earlier poll are recorded."""
    if batch_id is None or total is None:
        return usage, False
    provider = usage.provider or total.answer.provider
    record_id = derived_id(provider, batch_id)
    pending = pending_of(recorder)
    if pending.is_recorded(record_id):
        return replace(usage, id=record_id), False
    pending.mark_recorded(record_id)
    if not batches_of(recorder).claim(record_id, total):
        return replace(usage, id=record_id), False
    answer = total.answer._replace(
        response_id=batch_id, details={**total.answer.details, "service_tier": "batch"}, provider=provider
    )
    given = {name: value for name, value in fields.items() if name not in {"id", "processing_time"}}
    given["metadata"] = {**given.get("metadata", {}), "calls": total.calls}
    return usage_of(answer, {**given, "id": record_id}), True


class _Lines:
    """Adds up the lines of a batch's results."""

    def __init__(self) -> None:
        self._answers: list[Answer] = []

    def add(self, line: object) -> None:
        from tracker.sources.answers import read

        answer = read(line)
        if any(answer.counts.values()):
            self._answers.append(answer)

    def total(self, batches: Batches | None) -> BatchTotal | None:
        """The sum of the lines that were not recorded one by one."""
        answers = [answer for answer in self._answers if batches is None or not batches.has_line(answer)]
        if not answers:
            return None
        counts = {name: sum(answer.counts.get(name, 0) for answer in answers) for name in _BATCH_COUNTS}
        details: dict[str, Any] = {}
        for answer in answers:
            for name, value in answer.details.items():
                if isinstance(value, int | float):
                    details[name] = details.get(name, 0) + value
        ids = frozenset(answer.response_id for answer in answers if answer.response_id is not None)
        return BatchTotal(len(answers), answers[0]._replace(counts=counts, details=details, problem=None), ids)


def is_batch_line(answer: Answer) -> bool:
    """Whether this is a line of a batch's results."""
    return answer.details.get("service_tier") == "batch"


class _Open(NamedTuple):
    """A recorded batch, and what of it was not given again as single lines."""

    record_id: UUID
    model: str | None
    calls: int
    input_tokens: int
    output_tokens: int
    response_ids: frozenset[str]

    def contains(self, answer: Answer, given: int, made: int) -> bool:
        """Whether this line is part of the batch: by its id, or where no ids are known by what is left of the sum."""
        if self.response_ids:
            return answer.response_id in self.response_ids
        fits = self.calls > 0 and self.input_tokens >= given and self.output_tokens >= made
        return fits and self.model == answer.model


class Batches:
    """Which lines and which whole batches a process recorded, so that neither adds to the other; bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._lines: dict[str | None, deque[tuple[int, int]]] = {}
        self._whole: deque[_Open] = deque(maxlen=_MAX_BATCHES)

    def has_line(self, answer: Answer) -> bool:
        """Whether this line was recorded by itself."""
        return answer.response_id in self._ids

    def match_line(self, answer: Answer) -> UUID | None:
        """The row of the batch that this line is part of; None, and remembered, if no such batch is recorded."""
        given, made = answer.counts.get("input_tokens", 0), answer.counts.get("output_tokens", 0)
        if not given and not made:
            return None
        with self._lock:
            for number, whole in enumerate(self._whole):
                if whole.contains(answer, given, made):
                    self._whole[number] = whole._replace(
                        calls=whole.calls - 1,
                        input_tokens=whole.input_tokens - given,
                        output_tokens=whole.output_tokens - made,
                    )
                    return whole.record_id
            self._remember(answer, given, made)
        return None

    def _remember(self, answer: Answer, given: int, made: int) -> None:
        if answer.response_id is not None:
            self._ids[answer.response_id] = None
            while len(self._ids) > _MAX_LINES:
                self._ids.popitem(last=False)
        self._lines.setdefault(answer.model, deque(maxlen=_MAX_LINES)).append((given, made))
        while len(self._lines) > _MAX_BATCHES:
            self._lines.pop(next(iter(self._lines)))

    def claim(self, record_id: UUID, total: BatchTotal) -> bool:
        """Whether the batch is to be written: not if consecutive lines recorded before add up to it."""
        model, counts = total.answer.model, total.answer.counts
        wanted = (counts.get("input_tokens", 0), counts.get("output_tokens", 0))
        with self._lock:
            lines = self._lines.get(model, deque())
            if (start := _window(lines, total.calls, wanted)) is not None:
                rest = [line for number, line in enumerate(lines) if not start <= number < start + total.calls]
                self._lines[model] = deque(rest, maxlen=_MAX_LINES)
                return False
            self._whole.append(_Open(record_id, model, total.calls, *wanted, total.response_ids))
        return True


def _window(lines: deque[tuple[int, int]], calls: int, wanted: tuple[int, int]) -> int | None:
    """Where `calls` consecutive lines begin that add up to these counts."""
    sums = [(0, 0)]
    for given, made in lines:
        sums.append((sums[-1][0] + given, sums[-1][1] + made))
    for start in range(len(lines) - calls + 1):
        first, last = sums[start], sums[start + calls]
        if (last[0] - first[0], last[1] - first[1]) == wanted:
            return start
    return None


# --- per Tracker --------------------------------------------------------------------------------------------------

_lock = threading.Lock()
# A Tracker stays alive while responses are pending, so that closing it records them.
_kept: dict[int, Tracker] = {}
_pending: weakref.WeakKeyDictionary[Any, PendingResponses] = weakref.WeakKeyDictionary()
_batches: weakref.WeakKeyDictionary[Any, Batches] = weakref.WeakKeyDictionary()


def pending_of(recorder: Tracker) -> PendingResponses:
    """The pending background responses of this Tracker."""
    with _lock:
        if (pending := _pending.get(recorder)) is None:
            pending = _pending[recorder] = PendingResponses(recorder)
        return pending


def batches_of(recorder: Tracker) -> Batches:
    """The recorded batches of this Tracker."""
    with _lock:
        if (batches := _batches.get(recorder)) is None:
            batches = _batches[recorder] = Batches()
        return batches


def record_never_retrieved(recorder: Tracker) -> None:
    """Write a marked row for each background response of this Tracker that was never retrieved."""
    with _lock:
        pending = _pending.get(recorder)
    if pending is not None:
        pending.record_never_retrieved()


def _after_fork_in_child() -> None:
    """The parent records what it waits for; a lock that another of its threads held stays locked in the child."""
    global _lock
    _lock = threading.Lock()
    for per_tracker in (_kept, _pending, _batches):
        per_tracker.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
