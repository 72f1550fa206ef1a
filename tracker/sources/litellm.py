"""LiteLLM's callback: every call that goes through LiteLLM is a row.

    import litellm
    from tracker.sources.litellm import TokenTracker

    litellm.callbacks = [TokenTracker()]

No row: what LiteLLM's own cache answered, and operations that call no model, such as files, moderation, and polling.
Sources: docs.litellm.ai, custom callbacks; litellm/types/utils.py, CallTypes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from litellm.integrations.custom_logger import CustomLogger

from tracker.recording.capture.batches import BatchUsage
from tracker.recording.capture.later import BackgroundResponse, LaterUsage
from tracker.recording.capture.state import CallState, begin
from tracker.recording.capture.streams import current
from tracker.sources.litellm_call_types import BACKGROUND, BATCH, is_model_call, operation_of
from tracker.sources.shapes import provider_named

if TYPE_CHECKING:
    import tracker

_MAX_CALLS = 10_000


# The base is read without its types, which take mypy minutes.
class TokenTracker(CustomLogger):  # type: ignore[misc]
    """Records each call with `recorder`, the process's shared one unless given. Never raises into LiteLLM.

    `metadata` of a call may contain `operation`, `user_id` and `session_id`; its `user` is the user too. A wrapped
    client beneath LiteLLM writes the row, with these fields.
    """

    def __init__(self, recorder: tracker.Tracker | None = None) -> None:
        super().__init__()
        self._recorder = recorder
        self._lock = threading.Lock()
        self._open: OrderedDict[str, CallState] = OrderedDict()
        self._succeeded: OrderedDict[str, None] = OrderedDict()

    def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:  # noqa: ARG002  passed by name
        """Begin the call, in the context of the request to the provider."""
        call_id = kwargs.get("litellm_call_id")
        if not isinstance(call_id, str) or not is_model_call(_call_type(kwargs), None):
            return
        state = begin(self._own(), _fields(kwargs), source="litellm")
        current.set(state)
        with self._lock:
            self._open[call_id] = state
            while len(self._open) > _MAX_CALLS:  # calls that never ended
                self._open.popitem(last=False)

    def log_post_api_call(
        self,
        kwargs: Any,
        response_obj: Any,  # noqa: ARG002  passed by name, as the times
        start_time: Any,  # noqa: ARG002
        end_time: Any,  # noqa: ARG002
    ) -> None:
        """The request was sent: what this context does next is another call."""
        with self._lock:
            state = self._open.get(str(kwargs.get("litellm_call_id")))
        if state is not None:
            state.accepts_inner = False

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

    def _own(self) -> tracker.Tracker:
        import tracker

        return self._recorder or tracker.shared()

    def _state(self, kwargs: Mapping[str, Any], start: Any, end: Any) -> CallState:
        with self._lock:
            state = self._open.pop(str(kwargs.get("litellm_call_id")), None)
        if state is None or state.done:
            state = begin(self._own(), _fields(kwargs), source="litellm")
        state.fields = {**state.fields, **_fields(kwargs), "id": state.record_id}
        if isinstance(start, datetime) and isinstance(end, datetime):
            state.set_interval(start, end)
        return state

    def _finished(self, kwargs: Mapping[str, Any], response: Any, start: Any, end: Any) -> CallState | None:
        """The call that ended; None for a cache hit, an operation that calls no model, and a repeated event."""
        call_type = _call_type(kwargs)
        later = _later(call_type, response)
        if kwargs.get("cache_hit") or (later is None and not is_model_call(call_type, response)):
            return None
        if later is None and self._is_repeated(kwargs):
            return None
        state = self._state(kwargs, start, end)
        state.later = later
        if call_type in BACKGROUND or call_type in BATCH:  # LiteLLM names the id there
            state.fields.pop("model", None)
        state.set_response(response)
        return state

    def _is_repeated(self, kwargs: Mapping[str, Any]) -> bool:
        """Whether LiteLLM reports this call again: a bridged call ends as both kinds of call, with one call id."""
        call_id = kwargs.get("litellm_call_id")
        if not isinstance(call_id, str):
            return False
        with self._lock:
            if call_id in self._succeeded:
                return True
            self._succeeded[call_id] = None
            while len(self._succeeded) > _MAX_CALLS:
                self._succeeded.popitem(last=False)
        return False


def _call_type(kwargs: Mapping[str, Any]) -> str:
    kind = kwargs.get("call_type")
    return str(getattr(kind, "value", kind) or "")


def _error(kwargs: Mapping[str, Any], response: Any) -> BaseException:
    error = kwargs.get("exception") or response
    return error if isinstance(error, BaseException) else RuntimeError(str(error)[:300])


def _later(call_type: str, response: Any) -> LaterUsage | None:
    """How the usage arrives, where it does not come with the call's own response."""
    if call_type in BACKGROUND:
        return BackgroundResponse(creates=False)
    if call_type in BATCH:
        return BatchUsage()
    background = getattr(response, "background", None)
    return BackgroundResponse(creates=True) if background is True else None


def _fields(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    params = kwargs.get("litellm_params") or {}
    metadata = {**(params.get("litellm_metadata") or {}), **(params.get("metadata") or {})}
    provider = kwargs.get("custom_llm_provider")
    given = {
        "model": kwargs.get("model"),
        "provider": provider_named(provider) if isinstance(provider, str) and provider else None,
        "operation": metadata.get("operation") or operation_of(_call_type(kwargs)),
        "user_id": kwargs.get("user") or metadata.get("user_id") or metadata.get("user_api_key_user_id"),
        "session_id": metadata.get("session_id"),
    }
    return {name: str(value) for name, value in given.items() if value}
