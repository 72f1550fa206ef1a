"""LangChain's callback handler: every model call of a chain, an agent or a graph is a row.

    from tracker.sources.langchain import TokenTracker

    chain.invoke(question, config={"callbacks": [TokenTracker()], "metadata": {"user_id": "u_42"}})

Source: docs.langchain.com, callbacks; langchain-core's UsageMetadata.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from tracker.sources.shapes import provider_named

if TYPE_CHECKING:
    import tracker

_MOST_OPEN = 10_000


# The base is read without its types, as LiteLLM's is.
class TokenTracker(BaseCallbackHandler):  # type: ignore[misc]
    """Records each model call with `recorder`, the process's shared one unless given. Never raises into the chain.

    A run's `metadata` may say `operation`, `user_id` and `session_id`.
    """

    def __init__(self, recorder: tracker.Tracker | None = None) -> None:
        super().__init__()
        self._recorder = recorder
        self._open: dict[UUID, tuple[float, dict[str, Any]]] = {}

    def on_chat_model_start(self, *_: Any, run_id: UUID, **given: Any) -> None:
        self._begin(run_id, given.get("metadata") or {})

    def on_llm_start(self, *_: Any, run_id: UUID, **given: Any) -> None:
        self._begin(run_id, given.get("metadata") or {})

    def on_llm_end(self, response: Any, *, run_id: UUID, **_: Any) -> None:
        self._end(run_id, _answer(response))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        self._end(run_id, error)

    def _begin(self, run_id: UUID, metadata: Mapping[str, Any]) -> None:
        given = {
            "model": metadata.get("ls_model_name"),
            "provider": provider_named(str(metadata.get("ls_provider") or "")),
            "operation": metadata.get("operation"),
            "user_id": metadata.get("user_id"),
            "session_id": metadata.get("session_id") or metadata.get("thread_id"),
        }
        if len(self._open) >= _MOST_OPEN:  # runs that never ended
            self._open.pop(next(iter(self._open)), None)
        self._open[run_id] = (time.perf_counter(), {name: str(value) for name, value in given.items() if value})

    def _end(self, run_id: UUID, answer: object) -> None:
        import tracker

        started, fields = self._open.pop(run_id, (None, {}))
        if started is not None:
            fields["processing_time"] = round((time.perf_counter() - started) * 1000)
        (self._recorder or tracker.shared()).record_response(answer, **fields)


def _answer(response: Any) -> object:
    """The message that holds usage; of older models what they say beside their text."""
    for generations in response.generations:
        for generation in generations:
            message = getattr(generation, "message", None)
            if message is not None and getattr(message, "usage_metadata", None):
                return message
    said = response.llm_output or {}
    return {"model": said.get("model_name"), "usage": said.get("token_usage") or said.get("usage")}
