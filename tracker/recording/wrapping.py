"""`recorder.wrap(client)`: every call of an official client is recorded, and nothing else about it changes.

OpenAI's and Anthropic's clients send each request through their public `request` method; Gemini's through
`models._generate_content` and its streaming twin, one each request, also where automatic function calling makes
several of one call. These are replaced on the client object itself, so its class and its types stay.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tracker.errors import UsageTypeError
from tracker.recording import seen
from tracker.recording.calls import Call, checked
from tracker.recording.streams import current
from tracker.sources.answers import follow

if TYPE_CHECKING:
    from tracker.recording.tracker import Tracker

log = logging.getLogger("tracker")
# The requests that use tokens, by the end of their path, and their operation by OpenTelemetry's name.
_ENDPOINTS = {
    "/chat/completions": "chat",
    "/responses": "chat",
    "/responses/compact": "chat",
    "/messages": "chat",
    "/completions": "text_completion",
    "/embeddings": "embeddings",
    "/images/generations": "generate_content",
    "/images/edits": "generate_content",
    "/audio/transcriptions": "transcription",
    "/audio/translations": "transcription",
}
_GEMINI = {
    "_generate_content": "chat",
    "_generate_content_stream": "chat",
    "_embed_content": "embeddings",
}
_GEMINI_PUBLIC = ("generate_content", "embed_content")
Describe = Callable[..., dict[str, Any] | None]
_last: ContextVar[UUID | None] = ContextVar("tracker_last", default=None)
# Whose API a client of OpenAI's library speaks to, by its host.
_HOSTS = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "google",
    "aiplatform.googleapis.com": "google",
    "openai.azure.com": "azure",
    "api.deepseek.com": "deepseek",
    "api.x.ai": "x-ai",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral",
    "openrouter.ai": "openrouter",
    "api.perplexity.ai": "perplexity",
    "api.moonshot.ai": "moonshotai",
    "api.together.xyz": "together",
    "api.fireworks.ai": "fireworks",
}


def wrap(recorder: Tracker, client: Any, fields: Mapping[str, Any]) -> Any:
    """Record every call of this client; see `Tracker.wrap`."""
    given = checked(fields)
    if once := {"id", "created_at"} & set(given):
        raise UsageTypeError(f"{min(once)} belongs to one call, not to all of a client.")
    if getattr(client, "_tracker_wrapped", False):
        return client
    if hasattr(type(client), "request") and hasattr(type(client), "post"):
        _wrap_requests(recorder, client, given)
    elif hasattr(client, "models") and hasattr(client, "aio"):
        for models in (client.models, client.aio.models):
            _wrap_models(recorder, models, given)
    else:
        raise UsageTypeError(
            f"wrap takes a client of openai, anthropic or google-genai, not {type(client).__name__};"
            " use recorder.track or recorder.record_response for others."
        )
    client._tracker_wrapped = True  # noqa: SLF001  our mark, so that a second wrap records nothing twice
    return client


def _wrap_requests(recorder: Tracker, client: Any, fields: Mapping[str, Any]) -> None:
    known = {"provider": _provider(client), **fields}
    request = client.request

    def describe(_: Any, options: Any, **__: Any) -> dict[str, Any] | None:
        operation = _operation(str(options.url))
        if operation is None or str(options.method).lower() != "post":
            return None
        return {"operation": operation, "model": _text(follow(options, ("json_data", "model"))), **known}

    client.request = _recorded(recorder, request, describe, asynchronous=inspect.iscoroutinefunction(request))
    for name in ("copy", "with_options"):
        original = getattr(client, name, None)
        if original is not None:
            setattr(client, name, _copied(recorder, original, fields))


@functools.lru_cache(256)
def _operation(url: str) -> str | None:
    path = "/" + url.partition("?")[0].strip("/")
    return next((name for end, name in _ENDPOINTS.items() if path.endswith(end)), None)


def _wrap_models(recorder: Tracker, models: Any, fields: Mapping[str, Any]) -> None:
    asynchronous = type(models).__name__.startswith("Async")
    for name, operation in _GEMINI.items():
        original = getattr(models, name, None)
        if original is None:
            log.warning("This google-genai has no models.%s; such calls are not recorded.", name)
            continue
        known = {"operation": operation, "provider": "google", **fields}

        def describe(*_: Any, known: Mapping[str, Any] = known, **request: Any) -> dict[str, Any]:
            return {"model": _text(str(request.get("model") or "").rpartition("/")[2]), **known}

        setattr(models, name, _recorded(recorder, original, describe, asynchronous=asynchronous))
    for name in _GEMINI_PUBLIC:
        if (original := getattr(models, name, None)) is not None:
            setattr(models, name, _remembered(original, asynchronous=asynchronous))


def _recorded(
    recorder: Tracker, original: Callable[..., Any], describe: Describe, *, asynchronous: bool
) -> Callable[..., Any]:
    """The method, with a row for each call of it; its results and exceptions go through as they are."""

    @functools.wraps(original)
    def call_sync(*args: Any, **kwargs: Any) -> Any:
        if (call := _begin(recorder, describe, args, kwargs)) is None:
            return original(*args, **kwargs)
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            call.finish(error)
            raise
        result = _taken(call, result)
        if not call.streaming:
            call.finish()
        return result

    @functools.wraps(original)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        if (call := _begin(recorder, describe, args, kwargs)) is None:
            return await original(*args, **kwargs)
        try:
            result = await original(*args, **kwargs)
        except BaseException as error:
            await call.afinish(error)
            raise
        result = _taken(call, result)
        if not call.streaming:
            await call.afinish()
        return result

    return call_async if asynchronous else call_sync


def _begin(recorder: Tracker, describe: Describe, args: Any, kwargs: Any) -> Call | None:
    """The call that begins, or None where nothing is to be recorded."""
    try:
        if (fields := describe(*args, **kwargs)) is None:
            return None
        outer = current.get()
        return Call(recorder, _joined({k: v for k, v in fields.items() if v is not None}, outer), outer, of_client=True)
    except Exception as error:  # noqa: BLE001  nothing of ours may reach the host's AI call
        log.warning("An AI call can't be recorded (%s).", type(error).__name__)
        return None


def _taken(call: Call, result: Any) -> Any:
    """What the host gets: the result itself, or of a generator one that yields the same."""
    try:
        call.response = _unpacked(result)
        given = call.response if call.streaming else result
        seen.remember(given, call.fields["id"])
        _last.set(call.fields["id"])
    except Exception as error:  # noqa: BLE001  nothing of ours may reach the host's AI call
        log.warning("An AI call can't be recorded (%s).", type(error).__name__)
        return result
    return given


def _unpacked(result: Any) -> Any:
    """Of `with_raw_response`: the body that was read; of `with_streaming_response` nothing, since it isn't read yet."""
    if not _is_raw(result.__class__) or (response := getattr(result, "http_response", None)) is None:
        return result
    try:
        return response.json() if response.is_closed else None
    except Exception:  # noqa: BLE001  no JSON, so nothing is known
        return None


@functools.lru_cache(256)
def _is_raw(kind: type) -> bool:
    return hasattr(kind, "parse") and not hasattr(kind, "model_fields")


def _joined(fields: Mapping[str, Any], outer: Call | None) -> dict[str, Any]:
    """What the surrounding `track` block says of the call wins over what the client was wrapped with."""
    if outer is None:
        return dict(fields)
    theirs = {name: value for name, value in outer.fields.items() if name not in {"id", "created_at", "model"}}
    return {**fields, **theirs, "metadata": {**fields.get("metadata", {}), **theirs.get("metadata", {})}}


def _remembered(original: Callable[..., Any], *, asynchronous: bool) -> Callable[..., Any]:
    """Gemini's public method: what it makes of its requests' answers is known as recorded too."""

    @functools.wraps(original)
    def call_sync(*args: Any, **kwargs: Any) -> Any:
        before = _last.get()
        result = original(*args, **kwargs)
        if (last := _last.get()) is not None and last is not before:
            seen.remember(result, last)
        return result

    @functools.wraps(original)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        before = _last.get()
        result = await original(*args, **kwargs)
        if (last := _last.get()) is not None and last is not before:
            seen.remember(result, last)
        return result

    return call_async if asynchronous else call_sync


def _copied(recorder: Tracker, original: Callable[..., Any], fields: Mapping[str, Any]) -> Callable[..., Any]:
    """A client made from a wrapped one records as well."""

    @functools.wraps(original)
    def copy(*args: Any, **kwargs: Any) -> Any:
        return wrap(recorder, original(*args, **kwargs), fields)

    return copy


def _provider(client: Any) -> str | None:
    """Whose API the client speaks to, by its address; None where that doesn't say."""
    host = str(getattr(getattr(client, "base_url", None), "host", "") or "")
    return next((provider for name, provider in _HOSTS.items() if host == name or host.endswith("." + name)), None)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
