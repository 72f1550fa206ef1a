"""LiteLLM's callback: every call that goes through LiteLLM is a row.

    import litellm
    from tracker.sources.litellm import TokenTracker

    litellm.callbacks = [TokenTracker()]

What LiteLLM answers from its own cache used no tokens and is no row. Source: docs.litellm.ai, custom callbacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from litellm.integrations.custom_logger import CustomLogger

from tracker.sources.shapes import provider_named

if TYPE_CHECKING:
    import tracker

_OPERATIONS = {"embedding": "embeddings", "transcription": "transcription", "image_generation": "generate_content"}


# The base is read without its types, which take mypy minutes.
class TokenTracker(CustomLogger):  # type: ignore[misc]
    """Records each call with `recorder`, the process's shared one unless given. Never raises into LiteLLM.

    `metadata` of a call may say `operation`, `user_id` and `session_id`; its `user` is the user too.
    """

    def __init__(self, recorder: tracker.Tracker | None = None) -> None:
        super().__init__()
        self._recorder = recorder

    def _fields(self, kwargs: Mapping[str, Any], start: Any, end: Any) -> dict[str, Any]:
        metadata = (kwargs.get("litellm_params") or {}).get("metadata") or {}
        provider = kwargs.get("custom_llm_provider")
        kind = str(kwargs.get("call_type") or "").removeprefix("a")
        timed = isinstance(start, datetime) and isinstance(end, datetime)
        given = {
            "model": kwargs.get("model"),
            "provider": provider_named(provider) if isinstance(provider, str) and provider else None,
            "operation": metadata.get("operation") or _OPERATIONS.get(kind),
            "user_id": kwargs.get("user") or metadata.get("user_id") or metadata.get("user_api_key_user_id"),
            "session_id": metadata.get("session_id"),
        }
        texts = {name: str(value) for name, value in given.items() if value}
        return {**texts, "processing_time": round((end - start).total_seconds() * 1000) if timed else None}

    def _own(self) -> tracker.Tracker:
        import tracker

        return self._recorder or tracker.shared()

    def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        if not kwargs.get("cache_hit"):
            self._own().record_response(response_obj, **self._fields(kwargs, start_time, end_time))

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        if not kwargs.get("cache_hit"):
            await self._own().arecord_response(response_obj, **self._fields(kwargs, start_time, end_time))

    def log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        error = kwargs.get("exception") or response_obj
        self._own().record_response(error, **self._fields(kwargs, start_time, end_time))

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        error = kwargs.get("exception") or response_obj
        await self._own().arecord_response(error, **self._fields(kwargs, start_time, end_time))
