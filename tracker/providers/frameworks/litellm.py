"""LiteLLM's callback: records every model call that LiteLLM makes.

    import litellm
    from tracker.sources.litellm import TokenTracker

    litellm.callbacks = [TokenTracker()]

Cache hits, and operations that call no model (files, moderation, polling), are not recorded.
Sources: docs.litellm.ai, custom callbacks; litellm/types/utils.py, CallTypes.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from litellm.integrations.custom_logger import CustomLogger

from tracker.providers.frameworks.litellm_call_types import BACKGROUND, BATCH, is_model_call, operation_of
from tracker.providers.responses import read
from tracker.providers.schemas.schema_table import provider_named
from tracker.recording.capture import deferred_finish
from tracker.recording.capture.background_responses import BackgroundResponse, LaterUsage
from tracker.recording.capture.batches import BatchUsage
from tracker.recording.capture.call_start import begin_call
from tracker.recording.capture.call_state import CallState
from tracker.recording.capture.streams import current

if TYPE_CHECKING:
    import tracker

_MAX_CALLS = 10_000
_MAX_CALLS_OF_ONE_ID = 100
# LiteLLM reports no end of a stream that its reader abandoned, nor of a cancelled call.
_GIVE_UP_AFTER_S = 3600.0


class _OpenCall(NamedTuple):
    """A call that LiteLLM began; the retries of a call share its start."""

    state: CallState
    start: str


class _Success(NamedTuple):
    """A call that LiteLLM reported as successful."""

    call_type: str
    response_id: str | None
    counts: Mapping[str, int]
    start: Any
    end: Any

    def is_bridge_of(self, other: _Success) -> bool:
        """Whether both are one call that LiteLLM sent through the API of another call type."""
        if self.call_type == other.call_type or not self._overlaps(other):
            return False
        if self.response_id is not None and self.response_id == other.response_id:
            return True
        return not self.counts or not other.counts or self.counts == other.counts

    def _overlaps(self, other: _Success) -> bool:
        if not all(isinstance(value, datetime) for value in (self.start, self.end, other.start, other.end)):
            return True
        return bool(self.start <= other.end and other.start <= self.end)


# The base is read without its types, which take mypy minutes.
class TokenTracker(CustomLogger):  # type: ignore[misc]
    """Records each call with `recorder`, the process's shared one unless given. Never raises into LiteLLM.

    `metadata` of a call may contain `operation`, `user_id` and `session_id`; its `user` is the user too. If LiteLLM
    uses a wrapped client, the client writes the row, with these fields.
    """

    def __init__(self, recorder: tracker.Tracker | None = None) -> None:
        super().__init__()
        self._recorder = recorder
        self._lock = threading.Lock()
        self._open: OrderedDict[str, list[_OpenCall]] = OrderedDict()
        self._succeeded: OrderedDict[str, deque[_Success]] = OrderedDict()

    def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:  # noqa: ARG002  passed by name
        """Begin the call, in the context of the request to the provider."""
        call_id = kwargs.get("litellm_call_id")
        if not isinstance(call_id, str) or not is_model_call(_call_type(kwargs), None):
            return
        state = begin_call(self._tracker(), _fields(kwargs), _detected(kwargs), source="litellm")
        current.set(state)
        start = str(kwargs.get("start_time"))
        with self._lock:
            calls = self._open.setdefault(call_id, [])
            retried = [call for call in calls if call.start == start]
            self._open[call_id] = [*(call for call in calls if call.start != start), _OpenCall(state, start)]
            evicted = self._open.popitem(last=False)[1] if len(self._open) > _MAX_CALLS else []
        for call in retried:
            call.state.discard()
        for call in evicted:
            call.state.give_up()
        state.give_up_at_close = True
        deferred_finish.open_call(state, give_up_after_s=_GIVE_UP_AFTER_S)

    def log_post_api_call(
        self,
        kwargs: Any,
        response_obj: Any,  # noqa: ARG002  passed by name, as the times
        start_time: Any,  # noqa: ARG002
        end_time: Any,  # noqa: ARG002
    ) -> None:
        """The request was sent: further requests in this context are other calls."""
        with self._lock:
            calls = self._open.get(str(kwargs.get("litellm_call_id")), [])
            sent = [call for call in calls if call.start == str(kwargs.get("start_time"))] or calls
        for call in sent:
            call.state.accepts_inner = False

    def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Record a call that succeeded."""
        if (state := self._finished(kwargs, response_obj, start_time, end_time)) is not None:
            state.finish()

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Record a call that succeeded, without blocking the event loop."""
        if (state := self._finished(kwargs, response_obj, start_time, end_time)) is not None:
            await state.afinish()

    def log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Record a call that failed."""
        if is_model_call(_call_type(kwargs), None):
            self._state(kwargs, start_time, end_time).finish(_error(kwargs, response_obj))

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Record a call that failed, without blocking the event loop."""
        if is_model_call(_call_type(kwargs), None):
            await self._state(kwargs, start_time, end_time).afinish(_error(kwargs, response_obj))

    def _tracker(self) -> tracker.Tracker:
        import tracker

        return self._recorder or tracker.shared()

    def _state(self, kwargs: Mapping[str, Any], start: Any, end: Any) -> CallState:
        state = self._take(str(kwargs.get("litellm_call_id")), start)
        if state is None or state.done:
            state = begin_call(self._tracker(), _fields(kwargs), _detected(kwargs), source="litellm")
        state.fields = {**state.fields, **_fields(kwargs), "id": state.record_id}
        state.detected = {**state.detected, **_detected(kwargs)}
        if isinstance(start, datetime) and isinstance(end, datetime):
            state.set_interval(start, end)
        return state

    def _take(self, call_id: str, start: Any) -> CallState | None:
        """The open call with this id; if there are several, the one that began closest to this time."""
        with self._lock:
            calls = [call for call in self._open.pop(call_id, []) if not call.state.done]
            if not calls:
                return None
            elapsed_s = (datetime.now(start.tzinfo) - start).total_seconds() if isinstance(start, datetime) else 0.0
            started_s = time.monotonic() - elapsed_s
            closest = min(calls, key=lambda call: abs(call.state.started_s - started_s))
            if rest := [call for call in calls if call is not closest]:
                self._open[call_id] = rest
        return closest.state

    def _finished(self, kwargs: Mapping[str, Any], response: Any, start: Any, end: Any) -> CallState | None:
        """The call that ended; None for a cache hit, an operation that calls no model, and a repeated event."""
        call_type = _call_type(kwargs)
        later = _later(call_type, response)
        if kwargs.get("cache_hit") or (later is None and not is_model_call(call_type, response)):
            return None
        if later is None and self._is_repeated(kwargs, response, start, end):
            return None
        state = self._state(kwargs, start, end)
        state.later = later
        if call_type in BACKGROUND or call_type in BATCH:  # LiteLLM passes the id as the model
            state.fields.pop("model", None)
        if (first_ms := _time_to_first_token_ms(kwargs, start, end)) is not None:
            state.fields["time_to_first_token_ms"] = first_ms
        state.set_response(response)
        return state

    def _is_repeated(self, kwargs: Mapping[str, Any], response: Any, start: Any, end: Any) -> bool:
        """Whether LiteLLM reports this call again: a bridged call ends as both kinds of call, with one call id.

        A host may give several calls the same call id.
        """
        call_id = kwargs.get("litellm_call_id")
        if not isinstance(call_id, str):
            return False
        parsed = read(response)
        counts = {name: count for name, count in parsed.counts.items() if count and name in _COMPARED}
        success = _Success(_call_type(kwargs), parsed.response_id, counts, start, end)
        with self._lock:
            earlier = self._succeeded.setdefault(call_id, deque(maxlen=_MAX_CALLS_OF_ONE_ID))
            if any(success == other or success.is_bridge_of(other) for other in earlier):
                return True
            earlier.append(success)
            while len(self._succeeded) > _MAX_CALLS:
                self._succeeded.popitem(last=False)
        return False


_COMPARED = ("input_tokens", "output_tokens")


def _call_type(kwargs: Mapping[str, Any]) -> str:
    kind = kwargs.get("call_type")
    return str(getattr(kind, "value", kind) or "")


def _time_to_first_token_ms(kwargs: Mapping[str, Any], start: Any, end: Any) -> int | None:
    """The time to the first chunk of a stream. Without a stream, LiteLLM states the end as the time of the first."""
    first = kwargs.get("completion_start_time")
    if not kwargs.get("stream") or not isinstance(first, datetime) or not isinstance(start, datetime) or first == end:
        return None
    try:
        return max(0, round((first - start).total_seconds() * 1000))
    except TypeError:  # only one of the two has a time zone
        return None


def _error(kwargs: Mapping[str, Any], response: Any) -> BaseException:
    error = kwargs.get("exception") or response
    return error if isinstance(error, BaseException) else RuntimeError(str(error)[:300])


def _later(call_type: str, response: Any) -> LaterUsage | None:
    """How the usage arrives later, if the call's response does not contain it; else None."""
    if call_type in BACKGROUND:
        return BackgroundResponse(creates=False)
    if call_type in BATCH:
        return BatchUsage()
    background = getattr(response, "background", None)
    return BackgroundResponse(creates=True) if background is True else None


def _fields(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    params = kwargs.get("litellm_params") or {}
    metadata = {**(params.get("litellm_metadata") or {}), **(params.get("metadata") or {})}
    given = {
        "model": kwargs.get("model"),
        "operation": metadata.get("operation"),
        "user_id": kwargs.get("user") or metadata.get("user_id") or metadata.get("user_api_key_user_id"),
        "session_id": metadata.get("session_id"),
    }
    return {name: str(value) for name, value in given.items() if value}


def _detected(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    provider = kwargs.get("custom_llm_provider")
    given = {
        "provider": provider_named(provider) if isinstance(provider, str) and provider else None,
        "operation": operation_of(_call_type(kwargs)),
    }
    return {name: value for name, value in given.items() if value}
