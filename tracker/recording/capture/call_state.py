"""The state of one AI call in progress: what one source observes of it, and the rows to write at its end."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from tracker.messages import join_messages
from tracker.outcome import Outcome
from tracker.providers.consistency import problem_text
from tracker.providers.given_fields import with_fields
from tracker.providers.responses import ParsedResponse, ResponseReader, read
from tracker.providers.schemas.schema_table import COUNTS
from tracker.providers.to_usage import failure_text, to_token_usage
from tracker.recording.capture import dedupe, deferred_finish, streams
from tracker.recording.capture.background_responses import LaterUsage
from tracker.recording.capture.dedupe import UNOBSERVED, CallObservation, is_same_call, observation_of
from tracker.recording.capture.first_content import FirstContentClock
from tracker.recording.capture.response_ids import with_provider_id
from tracker.recording.context import current_context
from tracker.usage import TokenUsage, new_id

if TYPE_CHECKING:
    from tracker.recording.tracker import Tracker

log = logging.getLogger("tracker")
_NOTHING = object()
# A framework reports the end of a call at most this long after the client's stream ended.
_WAIT_FOR_OUTER_S = 60.0
_MAX_INNER = 256


def add_problem(outcome: Outcome, problem: str | None) -> Outcome:
    """The outcome with the text of a problem code, which states what could not be read from the response."""
    if problem is None:
        return outcome
    return replace(outcome, error=join_messages([problem_text(problem), outcome.error or ""]))


class _RowToWrite(NamedTuple):
    """A row to write, and the calls that get its outcome."""

    usage: TokenUsage
    parsed: ParsedResponse
    calls: tuple[CallState, ...]


class CallState:
    """A call as one source observes it: a wrapped client, a framework's callback, or a `track` block.

    `fields` are those that the caller gave. `detected` are values that follow from the request, for columns that
    neither the caller nor the context sets. `context` is the context in which the call started.

    It refers to its response only until the response is read, and never to a stream: a stream refers to its state.
    """

    # Initial values, which are class attributes because most calls keep most of them.
    outcome: Outcome | None = None
    done = streaming = False
    observation: CallObservation = UNOBSERVED
    parsed = ParsedResponse()
    later: LaterUsage | None = None
    accepts_inner = True
    give_up_at_close = _fixed_interval = False
    companion: tuple[CallState, TokenUsage] | None = None
    postponed: TokenUsage | None = None
    _ended_s: float | None = None
    _response: Any = _NOTHING
    _recorded_id: UUID | None = None
    _reader: ResponseReader | None = None

    def __init__(
        self,
        recorder: Tracker,
        fields: Mapping[str, Any],
        outer: CallState | None = None,
        *,
        source: str,
        detected: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.recorder, self.source, self.outer = recorder, source, outer
        self.detected, self.context = detected, current_context()
        self.fields: dict[str, Any] = {"id": new_id(), **fields}
        self.record_id: UUID = self.fields["id"]
        self.inner: deque[CallState] = deque(maxlen=_MAX_INNER)
        self.deferred: list[tuple[CallState, TokenUsage]] = []
        self.started_s = time.monotonic()
        self.first_content = FirstContentClock()
        self._id_is_providers = source != "litellm"
        if source != "client":
            dedupe.enable_registration()
        ancestor = outer
        while ancestor is not None:
            ancestor.inner.append(self)
            ancestor = ancestor.outer

    # --- the response ---------------------------------------------------------------------------------------------

    def set_response(self, response: Any) -> Any:
        """Set the response; returns the object to read instead of it, which is an observed stream for a stream."""
        if not self._fixed_interval:
            self._ended_s = time.monotonic()
        if dedupe.is_framework_object(response):
            self._id_is_providers = not str(type(response).__module__).startswith("litellm")
        self._recorded_id = dedupe.recorded_id(response)
        if self._recorded_id is not None:
            self._response = None
        elif streams.is_stream(response):
            self.begin_stream()
            return streams.observe(response, self)
        else:
            self._response = response
        return response

    def set_interval(self, started_at: datetime, ended_at: datetime) -> None:
        """Set the interval that a framework reports, because its callback comes later than the call's end."""
        now_s, now = time.monotonic(), datetime.now(ended_at.tzinfo)
        self.started_s = now_s - (now - started_at).total_seconds()
        self._ended_s = now_s - (now - ended_at).total_seconds()
        self._fixed_interval = True

    def discard(self) -> None:
        """Write no row, because this was no call of a model, for example a cache hit."""
        self.done = True
        deferred_finish.close_call(self)

    def begin_stream(self) -> None:
        """Start reading a response in chunks, which are passed to `add`."""
        self._reader, self.streaming, self._response = ResponseReader(), True, None

    def add(self, chunk: object) -> None:
        """One chunk of the stream."""
        if self._reader is not None:
            self.first_content.observe(chunk, self.started_s)
            self._reader.add(chunk)
            if self.later is not None:
                self.later.add(chunk)

    # --- the end --------------------------------------------------------------------------------------------------

    def finish(self, error: BaseException | None = None, *, broken_off: bool = False) -> None:
        """End the call: write its row, or enqueue it if a finalizer runs. Never raises."""
        if deferred_finish.in_finalizer(error):
            if not self.done:
                deferred_finish.enqueue(self, None if isinstance(error, GeneratorExit) else error)
            return
        self.finish_now(error, broken_off=broken_off)

    def finish_now(self, error: BaseException | None = None, *, broken_off: bool = False) -> None:
        """`finish`, if no finalizer runs."""
        for write in self._close(error, broken_off):
            self._set_outcome(write, self.recorder.record(write.usage))

    async def afinish(self, error: BaseException | None = None, *, broken_off: bool = False) -> None:
        """`finish`, without blocking the event loop; a cancelled caller does not stop the row."""
        if deferred_finish.in_finalizer(error):  # a coroutine that is closed must not await
            if not self.done:
                deferred_finish.enqueue(self)
        elif writes := self._close(error, broken_off):
            await streams.shielded(self._awrite(writes))

    async def _awrite(self, writes: list[_RowToWrite]) -> None:
        for write in writes:
            self._set_outcome(write, await self.recorder.arecord(write.usage))

    def _set_outcome(self, write: _RowToWrite, outcome: Outcome) -> None:
        for call in write.calls:
            call.outcome = add_problem(outcome, write.parsed.problem)

    def give_up(self) -> None:
        """Write the usage that is known, because the reader or the outer source did not report the end of the call."""
        writes = self.take_postponed() if self.postponed is not None else self._close(None, broken_off=True)
        for write in writes:
            self._set_outcome(write, self.recorder.record(write.usage))

    def _close(self, error: BaseException | None, broken_off: bool) -> list[_RowToWrite]:
        """The rows to write; none if another source writes or has written the row of this call."""
        if self.done:
            return []
        self.done = True
        deferred_finish.close_call(self)
        try:
            return self._rows(error, broken_off)
        except Exception as failure:  # noqa: BLE001  no exception of the library may reach the host's AI call
            log.warning("An AI call can't be recorded (%s: %s).", type(failure).__name__, failure)
            return []
        finally:
            self._response = _NOTHING

    def take_postponed(self) -> list[_RowToWrite]:
        usage, self.postponed = self.postponed, None
        deferred_finish.close_call(self)
        return [_RowToWrite(usage, self.parsed, (self,))] if usage is not None else []

    def _rows(self, error: BaseException | None, broken_off: bool) -> list[_RowToWrite]:
        broken_off = broken_off and not (self._reader is not None and self._reader.is_complete)
        if not self._fixed_interval and (self.streaming or self._ended_s is None or error is not None):
            self._ended_s = time.monotonic()
        self.parsed = self._read()
        usage = self._usage(error, broken_off)
        if self.source == "client" and self.outer is None and self.later is None and not dedupe.has_other_sources():
            return [_RowToWrite(usage, self.parsed, (self,))]
        self.observation = self._observation(usage)
        if self.later is not None:
            return self._later_rows(self.later, usage, broken_off=broken_off or error is not None)
        return self._client_rows(usage) if self.source == "client" else self._outer_rows(usage)

    def _later_rows(self, later_usage: LaterUsage, usage: TokenUsage, *, broken_off: bool) -> list[_RowToWrite]:
        if self._reader is None and self._response is not _NOTHING:
            later_usage.add(self._response)
        usage, write = later_usage.row(self, usage, broken_off=broken_off)
        usage = self.context.fill(usage, keep_provider=True)
        self.record_id = usage.id
        if write:
            return [_RowToWrite(usage, self.parsed, (self,))]
        self.outcome = Outcome("duplicate", usage.id)
        return []

    def _read(self) -> ParsedResponse:
        if self._reader is not None:
            return with_provider_id(self._reader.result(streamed=True), None)
        if self._response is _NOTHING and self._recorded_id is None:
            return ParsedResponse(problem="response_missing" if self.source == "block" else None)
        if isinstance(self._response, TokenUsage):
            row = self._response.as_row()
            return ParsedResponse({name: row[name] for name in COUNTS}, model=self._response.model)
        if isinstance(self._response, BaseException):
            return ParsedResponse()
        return with_provider_id(read(self._response), self._response)

    def _usage(self, error: BaseException | None, broken_off: bool) -> TokenUsage:
        fields = self._fields()
        if isinstance(self._response, TokenUsage) and error is None:
            return self.context.fill(with_fields(self._response, fields))
        failure = failure_text(error) if error is not None else None
        usage = to_token_usage(self.parsed, fields, self.detected, failure=failure, broken_off=broken_off)
        # The id of a later row is derived from the detected provider.
        return usage if self.later is not None else self.context.fill(usage)

    def _fields(self) -> dict[str, Any]:
        """The fields of the row; those that the caller gave override the measured times."""
        elapsed_ms = round(((self._ended_s or time.monotonic()) - self.started_s) * 1000)
        first_ms = self.first_content.elapsed_ms
        return {"processing_time": elapsed_ms, "time_to_first_token_ms": first_ms, **self.fields}

    def _observation(self, usage: TokenUsage) -> CallObservation:
        return observation_of(
            self.source,
            self.parsed,
            self.fields.get("model"),
            failed=not usage.success,
            started_s=self.started_s,
            ended_s=self._ended_s or time.monotonic(),
            id_is_providers=self._id_is_providers,
        )

    # --- a wrapped client's call ----------------------------------------------------------------------------------

    def _client_rows(self, usage: TokenUsage) -> list[_RowToWrite]:
        if self.companion is not None:
            return self._rows_with_companion(usage, *self.companion)
        outer = self.outer
        if outer is not None and not outer.done:
            if not self.observation.counts and not self.observation.failed:
                # The outer source may know the counts, as LangChain and LiteLLM do for streams.
                self.postponed = usage
                outer.deferred.append((self, usage))
                deferred_finish.open_call(self, give_up_after_s=_WAIT_FOR_OUTER_S)
                return []
            dedupe.recent_calls.register(self.recorder, self.observation, usage.id)
            return [_RowToWrite(usage, self.parsed, (self,))]
        return self._row_unless_recorded(usage)

    def _rows_with_companion(self, usage: TokenUsage, outer: CallState, outer_usage: TokenUsage) -> list[_RowToWrite]:
        """One row if this and the outer call, which ended first, are the same call; else both rows."""
        if not is_same_call(self.observation, outer.observation, linked=True):
            dedupe.recent_calls.register(self.recorder, self.observation, usage.id)
            return [_RowToWrite(usage, self.parsed, (self,)), _RowToWrite(outer_usage, outer.parsed, (outer,))]
        if not self.observation.counts and outer.observation.counts:
            usage, self.parsed = self.with_counts_of(outer), outer.parsed
        outer.record_id = self.record_id
        dedupe.recent_calls.register(self.recorder, self.observation, usage.id, (outer.source,))
        return [_RowToWrite(usage, self.parsed, (self, outer))]

    def with_counts_of(self, outer: CallState) -> TokenUsage:
        parsed = outer.parsed._replace(
            response_id=self.parsed.response_id or outer.parsed.response_id,
            provider=self.parsed.provider or outer.parsed.provider,
        )
        return self.context.fill(to_token_usage(parsed, self._fields(), self.detected))

    # --- a block's or a callback's call ---------------------------------------------------------------------------

    def _outer_rows(self, usage: TokenUsage) -> list[_RowToWrite]:
        writes = []
        row: list[_RowToWrite] | None = None
        if self._recorded_id is not None and self._recorded_id != self.record_id:
            self._adopt_outcome(self._recorded_id)
            row = []
        for inner, inner_usage in self.deferred:
            if inner.postponed is None:
                continue
            if row is None and self._is_call_of(inner):
                if self.observation.counts:
                    inner_usage = inner.with_counts_of(self)
                    inner.parsed = self.parsed
                row = [self._merge_with_inner(inner, inner_usage)]
                writes += row
            else:
                writes.append(_RowToWrite(inner_usage, inner.parsed, (inner,)))
            inner.take_postponed()
        if row is not None:
            return writes
        return writes + self._row_unless_inner(usage)

    def _merge_with_inner(self, inner: CallState, usage: TokenUsage) -> _RowToWrite:
        self.record_id = inner.record_id
        dedupe.recent_calls.register(self.recorder, inner.observation, usage.id, (self.source,))
        return _RowToWrite(usage, inner.parsed, (inner, self))

    def _row_unless_inner(self, usage: TokenUsage) -> list[_RowToWrite]:
        """The row, unless an inner call is the same call."""
        for inner in reversed(self.inner):
            if inner.recorder is not self.recorder:
                continue
            if not inner.done and inner.streaming and inner.companion is None and self._is_framework():
                inner.companion = (self, usage)
                return []
            if inner.done and self._is_call_of(inner):
                self._adopt_outcome(inner.record_id)
                return []
        if self.source == "block" and self._has_no_response() and any(self._covers(inner) for inner in self.inner):
            return []
        return self._row_unless_recorded(usage)

    def _covers(self, inner: CallState) -> bool:
        """Whether `inner` is the call of this block without a response: it is still being read, or needs no row."""
        if inner.recorder is not self.recorder:
            return False
        if not inner.done:
            self.record_id, self.outcome = inner.record_id, Outcome("duplicate", inner.record_id)
        return not inner.done or inner.later is not None

    def _is_framework(self) -> bool:
        return self.source != "block"

    def _has_no_response(self) -> bool:
        return self._response is _NOTHING and self._reader is None

    def _is_call_of(self, inner: CallState) -> bool:
        """Whether `inner`, which started inside this call, observed the same call."""
        if inner.observation is UNOBSERVED:
            return False
        if self.source == "block" and self._has_no_response():
            return True
        if self.observation.failed and not self.observation.counts:
            return self._is_framework() and dedupe.same_model(self.observation.models, inner.observation.models)
        return is_same_call(self.observation, inner.observation, linked=True)

    def _adopt_outcome(self, record_id: UUID) -> None:
        self.record_id = record_id
        dedupe.recent_calls.add_source(record_id, self.source)
        outcomes = (call.outcome for call in self.inner if call.record_id == record_id and call.outcome is not None)
        self.outcome = next(outcomes, Outcome("duplicate", record_id))

    def _row_unless_recorded(self, usage: TokenUsage) -> list[_RowToWrite]:
        """The row, unless another source of this process has written it."""
        record_id = dedupe.recent_calls.match_or_register(self.recorder, self.observation, usage.id)
        if record_id is None:
            return [_RowToWrite(usage, self.parsed, (self,))]
        self.record_id, self.outcome = record_id, Outcome("duplicate", record_id)
        return []
