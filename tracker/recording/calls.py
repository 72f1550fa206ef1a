"""One AI call as it is being made: what it was for, what answered, how long it took, and its one row."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from tracker.errors import UsageTypeError
from tracker.recording import seen, streams
from tracker.recording.outcome import Outcome
from tracker.recording.streams import current
from tracker.sources.answers import Answer, AnswerReader, read
from tracker.sources.usage import CALL_FIELDS, failure_text, usage_of
from tracker.usage import TokenUsage, new_id

if TYPE_CHECKING:
    from types import TracebackType

    from tracker.recording.tracker import Tracker

log = logging.getLogger("tracker")
_NOTHING = object()
_NO_RESPONSE = "No answer was handed over (call.response = …); the call is recorded with 0 tokens."
_UNREAD = (
    "This is a stream, which has no usage before it is read: record its pieces as a list,"
    " or use recorder.track and read call.response. It is recorded with 0 tokens."
)


def checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record that a caller gave, None meaning not given. Raises as `TokenUsage` does."""
    if unknown := sorted(set(fields) - CALL_FIELDS):
        raise UsageTypeError(f"There is no field {unknown[0]!r}; there are: {', '.join(sorted(CALL_FIELDS))}.")
    given = {name: value for name, value in fields.items() if value is not None}
    TokenUsage(**{"model": "unknown", **given})
    return given


def record_response(
    recorder: Tracker, response: object, deadline_s: float | None, fields: Mapping[str, Any]
) -> Outcome:
    """Record one answer; see `Tracker.record_response`."""
    given = checked(fields)
    if (known := seen.id_of(response)) is not None:
        return Outcome("duplicate", known)
    usage, problem = _usage(response, given)
    if seen.of_framework(response):
        if (known := seen.meet(recorder, usage, "callback")) is not None:
            return Outcome("duplicate", known)
        seen.remember(response, usage.id)
    return with_problem(recorder.record(usage, deadline_s), problem)


def _usage(response: object, fields: Mapping[str, Any]) -> tuple[TokenUsage, str | None]:
    if isinstance(response, TokenUsage):
        return replace(response, **fields), None
    if isinstance(response, BaseException):
        return usage_of(Answer(), fields, failure=failure_text(response)), None
    answer = Answer(problem=_UNREAD) if streams.is_stream(response) else read(response)
    return usage_of(answer, fields), answer.problem


def with_problem(outcome: Outcome, problem: str | None) -> Outcome:
    """The outcome, saying also what couldn't be read from the answer."""
    return replace(outcome, error=" ".join(filter(None, (problem, outcome.error)))) if problem else outcome


class Call:
    """An AI call in the making, what `with recorder.track(…) as call:` gives.

    Set `response` to the answer; a stream is then to be read from `response`, which yields the same pieces. The row
    is written when the block ends, or when the stream does if that is later. `outcome` says what became of it.
    """

    def __init__(
        self, recorder: Tracker, fields: Mapping[str, Any], outer: Call | None = None, *, of_client: bool = False
    ) -> None:
        self._of_client = of_client
        self._of_framework = False
        self.outcome: Outcome | None = None
        self.fields: dict[str, Any] = {"id": new_id(), **fields}
        self.streaming = False
        self._recorder = recorder
        self._outer = outer
        self._started = time.perf_counter()
        self._ended: float | None = None
        self._response: Any = _NOTHING
        self._reader: AnswerReader | None = None
        self._done = False
        self._token: Any = None
        self._recorded: list[tuple[Answer, Outcome]] = []

    @property
    def response(self) -> Any:
        """The answer as it was set; of a stream, what to read in its place."""
        return None if self._response is _NOTHING else self._response

    @response.setter
    def response(self, response: Any) -> None:
        self._ended = time.perf_counter()
        self._response = response
        self._of_framework = seen.of_framework(response)
        if streams.is_stream(response) and seen.id_of(response) is None:
            self._reader = AnswerReader()
            self.streaming = True
            self._response = streams.observe(response, self)

    def add(self, piece: object) -> None:
        """One piece of the stream has come."""
        if self._reader is not None:
            self._reader.add(piece)

    def finish(self, error: BaseException | None = None, *, broken_off: bool = False) -> None:
        """The call is over: write its row. Never raises."""
        if (usage := self._close(error, broken_off)) is not None:
            self._settle(self._recorder.record(usage))

    async def afinish(self, error: BaseException | None = None, *, broken_off: bool = False) -> None:
        """`finish`, without blocking the event loop; a cancelled caller doesn't stop the row."""
        if (usage := self._close(error, broken_off)) is not None:
            await streams.shielded(self._awrite(usage))

    async def _awrite(self, usage: TokenUsage) -> None:
        self._settle(await self._recorder.arecord(usage))

    def _close(self, error: BaseException | None, broken_off: bool) -> TokenUsage | None:
        """The row to write, or None when it is written already."""
        if self._done:
            return None
        self._done = True
        try:
            return self._row(error, broken_off)
        except Exception as problem:  # noqa: BLE001  nothing of ours may reach the host's AI call
            log.warning("An AI call can't be recorded (%s: %s).", type(problem).__name__, problem)
            return None

    def _row(self, error: BaseException | None, broken_off: bool) -> TokenUsage | None:
        broken_off = broken_off and not (self._reader is not None and self._reader.complete)
        if self.streaming or self._ended is None or error is not None:
            self._ended = time.perf_counter()
        self._answer = self._read()
        if (outcome := self._recorded_outcome()) is not None:
            self.outcome = outcome
            return None
        fields = {"processing_time": self._elapsed_ms(), **self.fields}
        if isinstance(self._response, TokenUsage) and error is None:
            return replace(self._response, **fields)
        failure = failure_text(error) if error is not None else None
        usage = usage_of(self._answer, fields, failure=failure, broken_off=broken_off)
        if self._of_framework and (known := seen.meet(self._recorder, usage, "block")) is not None:
            self.outcome = Outcome("duplicate", known)
            return None
        if self._of_client:
            seen.note(self._recorder, usage, "client")
        return usage

    def _read(self) -> Answer:
        if self._reader is not None:
            return self._reader.answer(streamed=True)
        return Answer(problem=_NO_RESPONSE) if self._response is _NOTHING else read(self._response)

    def _recorded_outcome(self) -> Outcome | None:
        """What became of this very answer where a wrapped client records it; None where nobody does."""
        known = seen.id_of(self._response)
        if known is not None and known != self.fields["id"]:
            return next((outcome for _, outcome in self._recorded if outcome.id == known), Outcome("duplicate", known))
        if not self._recorded:
            return None
        if self._response is _NOTHING or self._reader is not None:
            return self._recorded[-1][1]
        mine = (self._answer.response_id, self._answer.counts)
        return next(
            (outcome for answer, outcome in self._recorded if (answer.response_id, answer.counts) == mine), None
        )

    def _elapsed_ms(self) -> int:
        return round(((self._ended or time.perf_counter()) - self._started) * 1000)

    def _settle(self, outcome: Outcome) -> None:
        self.outcome = with_problem(outcome, self._answer.problem)
        if self._outer is not None:
            self._outer._recorded.append((self._answer, outcome))  # noqa: SLF001  the class's own

    def __enter__(self) -> Self:
        self._token = current.set(self)
        self._started = time.perf_counter()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> None:
        self._leave()
        if error is not None or not self.streaming:
            self.finish(error, broken_off=self.streaming)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> None:
        self._leave()
        if error is not None or not self.streaming:
            await self.afinish(error, broken_off=self.streaming)

    def _leave(self) -> None:
        try:
            current.reset(self._token)
        except ValueError:  # the block ends in another context than it began in, as in some frameworks' generators
            current.set(None)
