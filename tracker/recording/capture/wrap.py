"""`recorder.wrap(client)`: records every call of an official client and changes nothing else.

The clients of OpenAI and Anthropic send each request through their public `request` method. Gemini's client sends
requests through `models._generate_content` and its streaming variant (once for each request of automatic function
calling), `interactions.create` and `get`, and `batches.get`. These methods are replaced on the client object, so that
its class and types stay the same.
"""

from __future__ import annotations

import functools
import inspect
import logging
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from tracker.errors import UsageTypeError
from tracker.providers.model_names import provider_of_host
from tracker.providers.responses import follow, get
from tracker.recording.capture import dedupe
from tracker.recording.capture.background_responses import BackgroundResponse, LaterUsage
from tracker.recording.capture.batches import BatchUsage
from tracker.recording.capture.call import check_fields
from tracker.recording.capture.call_start import begin_call
from tracker.recording.capture.call_state import CallState
from tracker.recording.capture.http_body import observe_body

if TYPE_CHECKING:
    from tracker.recording.tracker import Tracker

log = logging.getLogger("tracker")
# The requests that use a model: the end of their path, and OpenTelemetry's operation name. Speech, videos and
# variations of images are billed without tokens: their rows are marked with `usage_missing` and have no price.
_ENDPOINTS = {
    "/chat/completions": "chat",
    "/responses": "chat",
    "/responses/compact": "chat",
    "/messages": "chat",
    "/completions": "text_completion",
    "/embeddings": "embeddings",
    "/images/generations": "generate_content",
    "/images/edits": "generate_content",
    "/images/variations": "generate_content",
    "/videos": "generate_content",
    "/audio/speech": "generate_content",
    "/audio/transcriptions": "transcription",
    "/audio/translations": "transcription",
}
_RETRIEVED_RESPONSE = re.compile(r"/responses/[^/]+(/cancel)?$")
_RETRIEVED_BATCH = re.compile(r"/batches/([^/]+)(/results)?$")
_GEMINI = {
    "_generate_content": "chat",
    "_generate_content_stream": "chat",
    "_embed_content": "embeddings",
    "_generate_images": "generate_content",
    "_edit_image": "generate_content",
    "_upscale_image": "generate_content",
    "_generate_videos": "generate_content",
}
_GEMINI_CHAT = {"operation": "chat", "provider": "google"}
_GEMINI_PUBLIC = ("generate_content", "embed_content")
_last_record_id: ContextVar[UUID | None] = ContextVar("tracker_last", default=None)


class Request(NamedTuple):
    """A request to record: the caller's fields and the model, what follows from the request itself, and the source of
    its usage if its response doesn't contain it."""

    fields: Mapping[str, Any]
    detected: Mapping[str, Any]
    later: LaterUsage | None = None


Describe = Callable[..., Request | None]


def wrap(recorder: Tracker, client: Any, fields: Mapping[str, Any]) -> Any:
    """Record every call of this client; see `Tracker.wrap`."""
    given = check_fields(fields)
    if per_call_fields := {"id", "created_at"} & set(given):
        raise UsageTypeError(f"{min(per_call_fields)} belongs to one call, not to all of a client.")
    if getattr(client, "_tracker_wrapped", False):
        return client
    if hasattr(type(client), "request") and hasattr(type(client), "post"):
        _wrap_requests(recorder, client, given)
    elif hasattr(client, "models") and hasattr(client, "aio"):
        for gemini_client in (client, client.aio):
            _wrap_gemini(recorder, gemini_client, given)
    else:
        raise UsageTypeError(
            f"wrap takes a client of openai, anthropic or google-genai, not {type(client).__name__};"
            " use recorder.track or recorder.record_response for others."
        )
    client._tracker_wrapped = True  # noqa: SLF001  marks the client, so that a second wrap has no effect
    return client


def _wrap_requests(recorder: Tracker, client: Any, fields: Mapping[str, Any]) -> None:
    provider = _provider_of_client(client)
    request = client.request

    def describe(_: Any, options: Any, **__: Any) -> Request | None:
        url, method = str(options.url), str(options.method).lower()
        if method == "post" and (operation := _operation_of_url(url)) is not None:
            model = _text_or_none(follow(options, ("json_data", "model")))
            created = BackgroundResponse(creates=True) if _is_background(options, url) else None
            return Request({"model": model, **fields}, {"operation": operation, "provider": provider}, created)
        polled = _poll_of(method, _path(url))
        return None if polled is None else Request(fields, {"operation": "chat", "provider": provider}, polled)

    client.request = _record_calls(recorder, request, describe, asynchronous=inspect.iscoroutinefunction(request))
    for name in ("copy", "with_options"):
        original = getattr(client, name, None)
        if original is not None:
            setattr(client, name, _wrap_copy(recorder, original, fields))


def _is_background(options: Any, url: str) -> bool:
    if not url.rstrip("/").endswith("/responses"):
        return False
    return any(follow(options, (name, "background")) is True for name in ("json_data", "extra_json"))


def _poll_of(method: str, path: str) -> LaterUsage | None:
    """A poll of a background response or of a batch; None for every other request."""
    if match := _RETRIEVED_RESPONSE.search(path):
        return BackgroundResponse(creates=False) if method == ("post" if match[1] else "get") else None
    if method == "get" and (match := _RETRIEVED_BATCH.search(path)):
        return BatchUsage(match[1] if match[2] else None)
    return None


def _path(url: str) -> str:
    return "/" + url.partition("?")[0].strip("/")


@functools.lru_cache(256)
def _operation_of_url(url: str) -> str | None:
    path = _path(url)
    return next((name for end, name in _ENDPOINTS.items() if path.endswith(end)), None)


def _wrap_gemini(recorder: Tracker, client: Any, fields: Mapping[str, Any]) -> None:
    models = client.models
    asynchronous = type(models).__name__.startswith("Async")
    for name, operation in _GEMINI.items():

        def describe(*_: Any, _operation: str = operation, **request: Any) -> Request:
            model = _model_name(request.get("model"))
            return Request({"model": model, **fields}, {"operation": _operation, "provider": "google"})

        _replace(recorder, models, name, describe, asynchronous=asynchronous)
    for name in _GEMINI_PUBLIC:
        if (original := getattr(models, name, None)) is not None:
            setattr(models, name, _remember_result(original, asynchronous=asynchronous))
    describe_batch = functools.partial(_describe_batch_poll, fields)
    _replace(recorder, client.batches, "get", describe_batch, asynchronous=asynchronous)
    if "_interactions" in vars(client):  # older versions have none
        client._interactions = _LazyInteractions(  # noqa: SLF001  imported at its first use, which takes a second
            client, functools.partial(_wrap_interactions, recorder, fields, asynchronous=asynchronous)
        )


def _wrap_interactions(recorder: Tracker, fields: Mapping[str, Any], owner: Any, *, asynchronous: bool) -> None:
    for name, describe in (
        ("create", _describe_interaction),
        ("get", _describe_interaction_poll),
        ("cancel", _describe_interaction_poll),
    ):
        _replace(recorder, owner, name, functools.partial(describe, fields), asynchronous=asynchronous)


class _LazyInteractions:
    """Replaces `client.interactions` until its first use, then wraps the client's own object."""

    def __init__(self, client: Any, wrap_owner: Callable[[Any], None]) -> None:
        self._client = client
        self._wrap_owner: Callable[[Any], None] | None = wrap_owner
        self._owner = client._interactions  # noqa: SLF001  None, or created before the client was wrapped

    def __getattr__(self, name: str) -> Any:
        if self._wrap_owner is not None:
            client, self._client = self._client, None
            wrap_owner, self._wrap_owner = self._wrap_owner, None
            client._interactions = self._owner  # noqa: SLF001
            self._owner = client.interactions
            wrap_owner(self._owner)
        return getattr(self._owner, name)


def _describe_interaction(fields: Mapping[str, Any], *_: Any, request: Any = None, **body: Any) -> Request:
    names = ("model", "agent")
    model = next((value for name in names if (value := body.get(name) or get(request, name))), None)
    background = body.get("background") or get(request, "background")
    created = BackgroundResponse(creates=True) if background is True else None
    return Request({"model": _model_name(model), **fields}, _GEMINI_CHAT, created)


def _describe_interaction_poll(fields: Mapping[str, Any], *_: Any, **__: Any) -> Request:
    return Request(fields, _GEMINI_CHAT, BackgroundResponse(creates=False))


def _describe_batch_poll(fields: Mapping[str, Any], *_: Any, **__: Any) -> Request:
    return Request(fields, _GEMINI_CHAT, BatchUsage())


def _model_name(model: object) -> str | None:
    return _text_or_none(str(model or "").rpartition("/")[2])


def _replace(recorder: Tracker, owner: Any, name: str, describe: Describe, *, asynchronous: bool) -> None:
    original = getattr(owner, name, None)
    if original is None:
        log.warning("This google-genai has no %s.%s; such calls are not recorded.", type(owner).__name__, name)
        return
    setattr(owner, name, _record_calls(recorder, original, describe, asynchronous=asynchronous))


def _record_calls(
    recorder: Tracker, original: Callable[..., Any], describe: Describe, *, asynchronous: bool
) -> Callable[..., Any]:
    """The method, which also records each call; its results and exceptions stay unchanged."""

    @functools.wraps(original)
    def call_sync(*args: Any, **kwargs: Any) -> Any:
        if (call := _begin(recorder, describe, args, kwargs)) is None:
            return original(*args, **kwargs)
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            call.finish(error)
            raise
        result = _observe_result(call, result, asynchronous=False)
        if not call.streaming:
            call.finish()
        return result

    @functools.wraps(original)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        if (call := _begin(recorder, describe, args, kwargs)) is None:
            return await original(*args, **kwargs)
        try:
            result = await original(*args, **kwargs)
        except GeneratorExit as error:  # a coroutine that is closed must not await
            call.finish(error)
            raise
        except BaseException as error:
            await call.afinish(error)
            raise
        result = _observe_result(call, result, asynchronous=True)
        if not call.streaming:
            await call.afinish()
        return result

    return call_async if asynchronous else call_sync


def _begin(recorder: Tracker, describe: Describe, args: Any, kwargs: Any) -> CallState | None:
    """The call that starts; None if the request is not recorded."""
    try:
        if (request := describe(*args, **kwargs)) is None:
            return None
        call = begin_call(recorder, request.fields, request.detected, source="client")
        call.later = request.later
    except Exception as error:  # noqa: BLE001  no exception of the library may reach the host's AI call
        log.warning("An AI call can't be recorded (%s).", type(error).__name__)
        return None
    return call


def _observe_result(call: CallState, result: Any, *, asynchronous: bool) -> Any:
    """The result for the host: the result itself or, for a generator, an observed one that yields the same chunks."""
    try:
        if _is_raw_response(result.__class__) and (response := getattr(result, "http_response", None)) is not None:
            _observe_raw_response(call, response, asynchronous=asynchronous)
            return result
        observed = call.set_response(result)
        if call.later is None:
            dedupe.mark_recorded(observed, call.record_id)
            _last_record_id.set(call.record_id)
    except Exception as error:  # noqa: BLE001  no exception of the library may reach the host's AI call
        log.warning("An AI call can't be recorded (%s).", type(error).__name__)
        return result
    return observed


def _observe_raw_response(call: CallState, response: Any, *, asynchronous: bool) -> None:
    """Read the body of `with_raw_response` or, if it is unread, observe it while its caller reads it."""
    if response.is_closed:
        try:
            call.set_response(response.json())
        except Exception:  # noqa: BLE001  the body is not JSON
            call.set_response(None)
        return
    call.begin_stream()
    observe_body(response, call, asynchronous=asynchronous)


@functools.lru_cache(256)
def _is_raw_response(kind: type) -> bool:
    return hasattr(kind, "parse") and not hasattr(kind, "model_fields")


def _remember_result(original: Callable[..., Any], *, asynchronous: bool) -> Callable[..., Any]:
    """Gemini's public method, whose result is marked as recorded because its requests are recorded."""

    @functools.wraps(original)
    def call_sync(*args: Any, **kwargs: Any) -> Any:
        previous = _last_record_id.get()
        result = original(*args, **kwargs)
        if (last := _last_record_id.get()) is not None and last is not previous:
            dedupe.mark_recorded(result, last)
        return result

    @functools.wraps(original)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        previous = _last_record_id.get()
        result = await original(*args, **kwargs)
        if (last := _last_record_id.get()) is not None and last is not previous:
            dedupe.mark_recorded(result, last)
        return result

    return call_async if asynchronous else call_sync


def _wrap_copy(recorder: Tracker, original: Callable[..., Any], fields: Mapping[str, Any]) -> Callable[..., Any]:
    """The copying method of a client, which also wraps the new client."""

    @functools.wraps(original)
    def copy(*args: Any, **kwargs: Any) -> Any:
        return wrap(recorder, original(*args, **kwargs), fields)

    return copy


def _provider_of_client(client: Any) -> str | None:
    """The provider of the client's host; None if the host is unknown."""
    host = str(getattr(getattr(client, "base_url", None), "host", "") or "")
    return provider_of_host(host)


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
