"""Records a finished batch as one row, unless its lines are recorded one by one.

The id of the row is derived from the provider and the batch's id, so that every process that polls the batch writes the
same row.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict, deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from tracker.providers.response_sums import sum_responses
from tracker.providers.responses import ParsedResponse, follow, get, read
from tracker.providers.to_usage import to_token_usage
from tracker.recording.capture.background_responses import LaterUsage, derived_id, pending_of
from tracker.usage import TokenUsage

if TYPE_CHECKING:
    from tracker.recording.capture.call_state import CallState
    from tracker.recording.tracker import Tracker

_MAX_LINES = 20_000
_MAX_BATCHES = 100
_FINAL_BATCH_STATUSES = frozenset({"completed", "expired", "cancelled", "failed"})


class BatchUsage(LaterUsage):
    """A request that retrieves a batch; a finished batch is one row with the sum of its requests."""

    def __init__(self, batch_id: str | None = None) -> None:
        self._batch_id = batch_id
        self._object: object = None
        self._lines = _BatchLines() if batch_id is not None else None

    def add(self, chunk: object) -> None:
        if self._lines is not None:
            self._lines.add(chunk)
        else:
            self._object = chunk

    def row(self, state: CallState, usage: TokenUsage, *, broken_off: bool) -> tuple[TokenUsage, bool]:
        if self._lines is not None:
            total = None if broken_off else self._lines.total(batches_of(state.recorder))
            return batch_row(state, self._batch_id, total, usage)
        total = total_of_batch(self._object)
        return batch_row(state, batch_id_of(self._object), total, usage)


class BatchTotal(NamedTuple):
    """The usage of a batch's completed requests, with their response ids if the batch contains them."""

    calls: int
    parsed: ParsedResponse
    response_ids: frozenset[str] = frozenset()


def batch_id_of(batch: object) -> str | None:
    """The id of OpenAI's, Anthropic's, or Gemini's batch object."""
    return next((value for name in ("id", "name") if isinstance(value := get(batch, name), str)), None)


def total_of_batch(batch: object) -> BatchTotal | None:
    """The usage in a finished batch: OpenAI's `usage` or Gemini's inlined responses; None without one."""
    inlined = follow(batch, ("dest", "inlined_responses"))
    if isinstance(inlined, list):
        lines = _BatchLines()
        for line in inlined:
            lines.add(line)
        return lines.total(None)
    if get(batch, "status") not in _FINAL_BATCH_STATUSES:
        return None
    parsed = read(batch)
    calls = follow(batch, ("request_counts", "completed"))
    if not any(parsed.counts.values()) or not isinstance(calls, int) or calls < 1:
        return None
    return BatchTotal(calls, parsed)


def batch_row(
    state: CallState, batch_id: str | None, total: BatchTotal | None, usage: TokenUsage
) -> tuple[TokenUsage, bool]:
    """The row of a finished batch, and whether to write it: not if its lines or an earlier poll are recorded."""
    if batch_id is None or total is None:
        return usage, False
    recorder = state.recorder
    provider = usage.provider or total.parsed.provider
    record_id = derived_id(provider, batch_id)
    pending = pending_of(recorder)
    if pending.is_recorded(record_id):
        return replace(usage, id=record_id), False
    pending.mark_recorded(record_id)
    if not batches_of(recorder).claim(record_id, total):
        return replace(usage, id=record_id), False
    parsed = total.parsed._replace(
        response_id=batch_id, details={**total.parsed.details, "service_tier": "batch"}, provider=provider
    )
    given = {name: value for name, value in state.fields.items() if name not in {"id", "processing_time"}}
    given["metadata"] = {**given.get("metadata", {}), "calls": total.calls}
    return to_token_usage(parsed, {**given, "id": record_id}, state.detected), True


class _BatchLines:
    """Sums the lines of a batch's results; a line whose usage has a problem marks the sum."""

    def __init__(self) -> None:
        self._parsed_lines: list[ParsedResponse] = []

    def add(self, line: object) -> None:
        parsed = read(line)
        if any(parsed.counts.values()) or parsed.usage_source is not None:
            self._parsed_lines.append(parsed)

    def total(self, batches: Batches | None) -> BatchTotal | None:
        """The sum of the lines that were not recorded one by one."""
        parsed_lines = [parsed for parsed in self._parsed_lines if batches is None or not batches.has_line(parsed)]
        if not parsed_lines:
            return None
        ids = frozenset(parsed.response_id for parsed in parsed_lines if parsed.response_id is not None)
        return BatchTotal(len(parsed_lines), sum_responses(parsed_lines)._replace(failure=None, calls=1), ids)


def is_batch_line(parsed: ParsedResponse) -> bool:
    """Whether this is a line of a batch's results."""
    return parsed.details.get("service_tier") == "batch"


class _RecordedBatch(NamedTuple):
    """A recorded batch, and the part of its sum that was not recorded again as single lines."""

    record_id: UUID
    model: str | None
    calls: int
    input_tokens: int
    output_tokens: int
    response_ids: frozenset[str]

    def contains(self, parsed: ParsedResponse, input_tokens: int, output_tokens: int) -> bool:
        """Whether this line is part of the batch: by its id or, if no ids are known, by the rest of the sum."""
        if self.response_ids:
            return parsed.response_id in self.response_ids
        fits = self.calls > 0 and self.input_tokens >= input_tokens and self.output_tokens >= output_tokens
        return fits and self.model == parsed.model


class Batches:
    """The lines and the whole batches that this process recorded, so that no usage counts twice; bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._lines: dict[str | None, deque[tuple[int, int]]] = {}
        self._recorded: deque[_RecordedBatch] = deque(maxlen=_MAX_BATCHES)

    def has_line(self, parsed: ParsedResponse) -> bool:
        """Whether this line was recorded as a single line."""
        return parsed.response_id in self._ids

    def match_line(self, parsed: ParsedResponse) -> UUID | None:
        """The id of the batch's row that contains this line; otherwise None, and the line is registered."""
        counts = parsed.counts
        input_tokens, output_tokens = counts.get("input_tokens", 0), counts.get("output_tokens", 0)
        if not input_tokens and not output_tokens:
            return None
        with self._lock:
            for index, batch in enumerate(self._recorded):
                if batch.contains(parsed, input_tokens, output_tokens):
                    self._recorded[index] = batch._replace(
                        calls=batch.calls - 1,
                        input_tokens=batch.input_tokens - input_tokens,
                        output_tokens=batch.output_tokens - output_tokens,
                    )
                    return batch.record_id
            self._register_line(parsed, input_tokens, output_tokens)
        return None

    def _register_line(self, parsed: ParsedResponse, input_tokens: int, output_tokens: int) -> None:
        if parsed.response_id is not None:
            self._ids[parsed.response_id] = None
            while len(self._ids) > _MAX_LINES:
                self._ids.popitem(last=False)
        self._lines.setdefault(parsed.model, deque(maxlen=_MAX_LINES)).append((input_tokens, output_tokens))
        while len(self._lines) > _MAX_BATCHES:
            self._lines.pop(next(iter(self._lines)))

    def claim(self, record_id: UUID, total: BatchTotal) -> bool:
        """Whether to write the batch: not if consecutive lines that were recorded before add up to it."""
        model, counts = total.parsed.model, total.parsed.counts
        sums = (counts.get("input_tokens", 0), counts.get("output_tokens", 0))
        with self._lock:
            lines = self._lines.get(model, deque())
            if (start := _find_window(lines, total.calls, sums)) is not None:
                rest = [line for number, line in enumerate(lines) if not start <= number < start + total.calls]
                self._lines[model] = deque(rest, maxlen=_MAX_LINES)
                return False
            self._recorded.append(_RecordedBatch(record_id, model, total.calls, *sums, total.response_ids))
        return True


def _find_window(lines: deque[tuple[int, int]], calls: int, expected: tuple[int, int]) -> int | None:
    """The index of the first of `calls` consecutive lines that add up to these counts."""
    sums = [(0, 0)]
    for input_tokens, output_tokens in lines:
        sums.append((sums[-1][0] + input_tokens, sums[-1][1] + output_tokens))
    for start in range(len(lines) - calls + 1):
        first, last = sums[start], sums[start + calls]
        if (last[0] - first[0], last[1] - first[1]) == expected:
            return start
    return None


_lock = threading.Lock()
_batches: weakref.WeakKeyDictionary[Any, Batches] = weakref.WeakKeyDictionary()


def batches_of(recorder: Tracker) -> Batches:
    """The recorded batches of this Tracker."""
    with _lock:
        if (batches := _batches.get(recorder)) is None:
            batches = _batches[recorder] = Batches()
        return batches


def _after_fork_in_child() -> None:
    """Replace the lock, which another thread of the parent may have locked."""
    global _lock
    _lock = threading.Lock()
    _batches.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
