"""LangChain's callback handler: records every model call of a chain, an agent or a graph.

    from tracker.sources.langchain import TokenTracker

    chain.invoke(question, config={"callbacks": [TokenTracker()], "metadata": {"user_id": "u_42"}})

Source: docs.langchain.com, callbacks; langchain-core's UsageMetadata.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from tracker.providers.schemas.schema_table import provider_named
from tracker.recording.capture import deferred_finish
from tracker.recording.capture.call_start import begin_call
from tracker.recording.capture.call_state import CallState
from tracker.recording.capture.streams import current

if TYPE_CHECKING:
    import tracker

_MAX_OPEN = 10_000


# The base is read without its types, as LiteLLM's is.
class TokenTracker(BaseCallbackHandler):  # type: ignore[misc]
    """Records each model call with `recorder`, the process's shared one unless given. Never raises into the chain.

    A run's `metadata` may contain `operation`, `user_id` and `session_id`. If the model uses a wrapped client,
    the client writes the row, with these fields.
    """

    # LangChain then calls the start handlers in the context of the model's call, where a wrapped client finds the call.
    run_inline = True

    def __init__(self, recorder: tracker.Tracker | None = None) -> None:
        super().__init__()
        self._recorder = recorder
        self._open: dict[UUID, tuple[CallState, Any]] = {}

    def on_chat_model_start(self, *_: Any, run_id: UUID, **given: Any) -> None:
        """Begin the call of a chat model."""
        self._begin(run_id, given.get("metadata") or {})

    def on_llm_start(self, *_: Any, run_id: UUID, **given: Any) -> None:
        """Begin the call of a text model."""
        self._begin(run_id, given.get("metadata") or {})

    def on_llm_new_token(self, token: str, *, run_id: UUID, chunk: Any = None, **_: Any) -> None:
        """Measure the time to the first content of a stream."""
        state, _previous = self._open.get(run_id, (None, None))
        if state is not None and state.first_content.elapsed_ms is None:
            state.first_content.observe({"text": token} if token else getattr(chunk, "message", None), state.started_s)

    @property
    def on_llm_end(self) -> Any:
        """Ends the call. LangChain awaits a coroutine function, so the event loop does not wait for the database."""
        return self._end_async if _in_event_loop() else self._end

    def _end(self, response: Any, *, run_id: UUID, **_: Any) -> None:
        if self._is_call(state := self._take(run_id), response):
            state.finish()

    async def _end_async(self, response: Any, *, run_id: UUID, **_: Any) -> None:
        if self._is_call(state := self._take(run_id), response):
            await state.afinish()

    def _is_call(self, state: CallState, response: Any) -> bool:
        if _is_cache_hit(response):
            state.discard()
            return False
        state.set_response(_message_with_usage(response))
        return True

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """End a failed call. LangChain calls this also while the garbage collector closes an abandoned stream."""
        state = self._take(run_id)
        if isinstance(error, GeneratorExit):
            deferred_finish.enqueue(state)
        elif _in_event_loop():
            deferred_finish.enqueue_and_wake(state, error)
        else:
            state.finish(error)

    def _begin(self, run_id: UUID, metadata: Mapping[str, Any]) -> None:
        import tracker

        given = {
            "model": metadata.get("ls_model_name"),
            "operation": metadata.get("operation"),
            "user_id": metadata.get("user_id"),
            "session_id": metadata.get("session_id") or metadata.get("thread_id"),
        }
        fields = {name: str(value) for name, value in given.items() if value}
        detected = {"provider": provider_named(str(metadata.get("ls_provider") or "")) or None}
        state = begin_call(self._recorder or tracker.shared(), fields, detected, source="langchain")
        while len(self._open) >= _MAX_OPEN:  # runs that never ended
            self._open.pop(next(iter(self._open)), None)
        self._open[run_id] = state, current.get()
        current.set(state)

    def _take(self, run_id: UUID) -> CallState:
        state, previous = self._open.pop(run_id, (None, None))
        if state is None:  # the handler was added after the run began
            import tracker

            return begin_call(self._recorder or tracker.shared(), {}, source="langchain")
        if current.get() is state:
            current.set(previous)
        return state


def _in_event_loop() -> bool:
    return asyncio._get_running_loop() is not None  # noqa: SLF001  documented, and without the exception


def _is_cache_hit(response: Any) -> bool:
    """Whether LangChain's cache returned the response: it sets a cost of 0, or returns only the text."""
    from langchain_core.globals import get_llm_cache

    messages = [message for message in _messages(response) if message is not None]
    if any((getattr(message, "usage_metadata", None) or {}).get("total_cost") == 0 for message in messages):
        return True
    if get_llm_cache() is None or response.llm_output or not messages:
        return False
    return all(not message.response_metadata and not getattr(message, "usage_metadata", None) for message in messages)


def _messages(response: Any) -> list[Any]:
    return [getattr(generation, "message", None) for row in response.generations for generation in row]


def _message_with_usage(response: Any) -> object:
    """The message that contains usage; for text models, the usage that the provider states in `llm_output`."""
    messages = [message for message in _messages(response) if message is not None]
    for message in messages:
        if getattr(message, "usage_metadata", None):
            return message
    stated = response.llm_output or {}
    usage = stated.get("token_usage") or stated.get("usage")
    if not usage and messages:
        return messages[0]
    return {"model": stated.get("model_name"), "usage": usage}
