"""Records calls that the host reports: `recorder.record_response(…)`, or `with recorder.track(…) as call:`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from tracker.errors import UsageTypeError
from tracker.outcome import Outcome
from tracker.providers.given_fields import with_fields
from tracker.providers.responses import ParsedResponse, read
from tracker.providers.to_usage import CALL_FIELDS, failure_text, to_token_usage
from tracker.recording.capture import batches, dedupe, streams
from tracker.recording.capture.call_start import find_outer_call
from tracker.recording.capture.call_state import CallState, add_problem
from tracker.recording.capture.dedupe import observation_of
from tracker.recording.capture.response_ids import with_provider_id
from tracker.recording.capture.streams import current
from tracker.usage import TokenUsage

if TYPE_CHECKING:
    from types import TracebackType

    from tracker.recording.tracker import Tracker

_NOTHING = object()
_MAX_RESPONSE_AGE_S = 60.0


def check_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The given fields of a record without None values. Raises as `TokenUsage` does."""
    if unknown := sorted(set(fields) - CALL_FIELDS):
        raise UsageTypeError(f"There is no field {unknown[0]!r}; there are: {', '.join(sorted(CALL_FIELDS))}.")
    given = {name: value for name, value in fields.items() if value is not None}
    TokenUsage(**{"model": "unknown", **given})
    return given


def record_response(
    recorder: Tracker, response: object, deadline_s: float | None, fields: Mapping[str, Any]
) -> Outcome:
    """Record one response; see `Tracker.record_response`."""
    given = check_fields(fields)
    if (record_id := dedupe.recorded_id(response)) is not None:
        return Outcome("duplicate", record_id)
    usage, parsed = _usage(response, given)
    if (record_id := _find_recorded(recorder, response, usage, parsed)) is not None:
        return Outcome("duplicate", record_id)
    if dedupe.is_library_object(response):
        dedupe.mark_recorded(response, usage.id)
    return add_problem(recorder.record(usage, deadline_s), parsed.problem)


def _find_recorded(recorder: Tracker, response: object, usage: TokenUsage, parsed: ParsedResponse) -> UUID | None:
    """The id of the row that a wrapped client, a callback, or a batch recorded for this response."""
    if batches.is_batch_line(parsed):
        return batches.batches_of(recorder).match_line(parsed)
    if not dedupe.is_framework_object(response):
        return None
    now_s = time.monotonic()
    started_s = now_s - (usage.processing_time or 0) / 1000 - _MAX_RESPONSE_AGE_S
    observation = observation_of(
        "response", parsed, usage.model, failed=not usage.success, started_s=started_s, ended_s=now_s
    )
    # The call's interval is unknown, so equal counts alone are not enough to identify a duplicate.
    if observation.response_id is None:
        return None
    return dedupe.recent_calls.match_or_register(recorder, observation._replace(counts={}), usage.id)


def _usage(response: object, fields: Mapping[str, Any]) -> tuple[TokenUsage, ParsedResponse]:
    if isinstance(response, TokenUsage):
        return with_fields(response, fields), ParsedResponse()
    if isinstance(response, BaseException):
        return to_token_usage(ParsedResponse(), fields, failure=failure_text(response)), ParsedResponse()
    is_unread = streams.is_stream(response)
    parsed = ParsedResponse(problem="stream_not_read") if is_unread else with_provider_id(read(response), response)
    return to_token_usage(parsed, fields), parsed


class TrackedCall:
    """An AI call in progress, which `with recorder.track(…) as call:` returns.

    Set `response` to the response; read a stream from `response`, which yields the same chunks. The row is written
    when the block or the stream ends, whichever is later. `outcome` is the result of writing it.
    """

    def __init__(self, recorder: Tracker, fields: Mapping[str, Any]) -> None:
        self._recorder, self._fields = recorder, fields
        self._state = CallState(recorder, fields, source="block")
        self._response: Any = _NOTHING
        self._token: Any = None

    @property
    def outcome(self) -> Outcome | None:
        """The result of writing the row; None while the call is in progress."""
        return self._state.outcome

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the row, with its id."""
        return self._state.fields

    @property
    def response(self) -> Any:
        """The response that was set; for a stream, the observed stream to read instead."""
        return None if self._response is _NOTHING else self._response

    @response.setter
    def response(self, response: Any) -> None:
        self._response = self._state.set_response(response)

    def __enter__(self) -> Self:
        self._state = CallState(self._recorder, self._fields, find_outer_call(self._recorder, "block"), source="block")
        self._token = current.set(self._state)
        return self

    def __exit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> None:
        self._leave()
        if error is not None or not self._state.streaming:
            self._state.finish(error, broken_off=self._state.streaming)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> None:
        self._leave()
        if error is not None or not self._state.streaming:
            await self._state.afinish(error, broken_off=self._state.streaming)

    def _leave(self) -> None:
        try:
            current.reset(self._token)
        except ValueError:  # the block ends in another context than it started in, as in some frameworks' generators
            current.set(None)
