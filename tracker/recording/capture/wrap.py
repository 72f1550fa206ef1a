"""`recorder.wrap(client)`: every call of an official client is recorded, and nothing else about it changes.

The clients of OpenAI and Anthropic send each request through their public `request` method. Gemini's client sends
them through `models._generate_content` and its streaming twin (once for each request of automatic function calling),
`interactions.create` and `get`, and `batches.get`. These methods are replaced on the client object itself, so that
its class and its types stay.
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
from tracker.recording.capture.call_state import CallState, begin_call
from tracker.recording.capture.http_body import observe_body

if TYPE_CHECKING:
    from tracker.recording.tracker import Tracker

log = logging.getLogger("tracker")
# The requests that use a model, by the end of their path, and their operation by OpenTelemetry's name. Speech, videos
# and variations of images are billed without tokens: their rows are marked with `usage_missing` and have no price.
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
_GEMINI_PUBLIC = ("generate_content", "embed_content")
_last: ContextVar[UUID | None] = ContextVar("tracker_last", default=None)


class Request(NamedTuple):
    """A request to record: its fields, and how its usage arrives if not with its response."""

    fields: Mapping[str, Any]
    later: LaterUsage | None = None


Describe = Callable[..., Request | None]


def wrap(recorder: Tracker, client: Any, fields: Mapping[str, Any]) -> Any:
    """Record every call of this client; see `Tracker.wrap`."""
    given = check_fields(fields)
    if once := {"id", "created_at"} & set(given):
        raise UsageTypeError(f"{min(once)} belongs to one call, not to all of a client.")
    if getattr(client, "_tracker_wrapped", False):
        return client
    if hasattr(type(client), "request") and hasattr(type(client), "post"):
        _wrap_requests(recorder, client, given)
    elif hasattr(client, "models") and hasattr(client, "aio"):
        for part in (client, client.aio):
            _wrap_gemini(recorder, part, given)
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

    def describe(_: Any, options: Any, **__: Any) -> Request | None:
        url, method = str(options.url), str(options.method).lower()
        if method == "post" and (operation := _operation(url)) is not None:
            model = _text(follow(options, ("json_data", "model")))
            created = BackgroundResponse(creates=True) if _is_background(options, url) else None
            return Request({"operation": operation, "model": model, **known}, created)
        polled = _retrieval(method, _path(url))
        return None if polled is None else Request({"operation": "chat", **known}, polled)

    client.request = _record_calls(recorder, request, describe, asynchronous=inspect.iscoroutinefunction(request))
    for name in ("copy", "with_options"):
        original = getattr(client, name, None)
        if original is not None:
            setattr(client, name, _wrap_copy(recorder, original, fields))


def _is_background(options: Any, url: str) -> bool:
    if not url.rstrip("/").endswith("/responses"):
        return False
    return any(follow(options, (name, "background")) is True for name in ("json_data", "extra_json"))


def _retrieval(method: str, path: str) -> LaterUsage | None:
    """A poll of a background response or of a batch; None for every other request."""
    if match := _RETRIEVED_RESPONSE.search(path):
        return BackgroundResponse(creates=False) if method == ("post" if match[1] else "get") else None
    if method == "get" and (match := _RETRIEVED_BATCH.search(path)):
        return BatchUsage(match[1] if match[2] else None)
    return None


def _path(url: str) -> str:
    return "/" + url.partition("?")[0].strip("/")


@functools.lru_cache(256)
def _operation(url: str) -> str | None:
    path = _path(url)
    return next((name for end, name in _ENDPOINTS.items() if path.endswith(end)), None)


def _wrap_gemini(recorder: Tracker, client: Any, fields: Mapping[str, Any]) -> None:
    models = client.models
    asynchronous = type(models).__name__.startswith("Async")
    for name, operation in _GEMINI.items():
        known = {"operation": operation, "provider": "google", **fields}

        def describe(*_: Any, known: Mapping[str, Any] = known, **request: Any) -> Request:
            return Request({"model": _model_name(request.get("model")), **known})

        _replace(recorder, models, name, describe, asynchronous=asynchronous)
    for name in _GEMINI_PUBLIC:
        if (original := getattr(models, name, None)) is not None:
            setattr(models, name, _remember_result(original, asynchronous=asynchronous))
    known = {"operation": "chat", "provider": "google", **fields}
    describe_batch = functools.partial(_describe_batch_poll, known)
    _replace(recorder, client.batches, "get", describe_batch, asynchronous=asynchronous)
    if "_interactions" in vars(client):  # older versions have none
        client._interactions = _LazyInteractions(  # noqa: SLF001  imported at its first use, which takes a second
            client, functools.partial(_wrap_interactions, recorder, known, asynchronous=asynchronous)
        )


def _wrap_interactions(recorder: Tracker, known: Mapping[str, Any], owner: Any, *, asynchronous: bool) -> None:
    for name, describe in (
        ("create", _describe_interaction),
        ("get", _describe_interaction_poll),
        ("cancel", _describe_interaction_poll),
    ):
        _replace(recorder, owner, name, functools.partial(describe, known), asynchronous=asynchronous)


class _LazyInteractions:
    """Stands for `client.interactions` until its first use, then the client has its own object there, wrapped."""

    def __init__(self, client: Any, wrap_owner: Callable[[Any], None]) -> None:
        self._client = client
        self._wrap_owner: Callable[[Any], None] | None = wrap_owner
        self._owner = client._interactions  # noqa: SLF001  None, or made before the client was wrapped

    def __getattr__(self, name: str) -> Any:
        if self._wrap_owner is not None:
            client, self._client = self._client, None
            wrap_owner, self._wrap_owner = self._wrap_owner, None
            client._interactions = self._owner  # noqa: SLF001
            self._owner = client.interactions
            wrap_owner(self._owner)
        return getattr(self._owner, name)


def _describe_interaction(known: Mapping[str, Any], *_: Any, request: Any = None, **body: Any) -> Request:
    names = ("model", "agent")
    model = next((value for name in names if (value := body.get(name) or get(request, name))), None)
    background = body.get("background") or get(request, "background")
    return Request(
        {"model": _model_name(model), **known}, BackgroundResponse(creates=True) if background is True else None
    )


def _describe_interaction_poll(known: Mapping[str, Any], *_: Any, **__: Any) -> Request:
    return Request(known, BackgroundResponse(creates=False))


def _describe_batch_poll(known: Mapping[str, Any], *_: Any, **__: Any) -> Request:
    return Request(known, BatchUsage())


def _model_name(model: object) -> str | None:
    return _text(str(model or "").rpartition("/")[2])


def _replace(recorder: Tracker, owner: Any, name: str, describe: Describe, *, asynchronous: bool) -> None:
    original = getattr(owner, name, None)
    if original is None:
        log.warning("This google-genai has no %s.%s; such calls are not recorded.", type(owner).__name__, name)
        return
    setattr(owner, name, _record_calls(recorder, original, describe, asynchronous=asynchronous))


def _record_calls(
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
    """The call that begins, or None where nothing is to be recorded."""
    try:
        if (request := describe(*args, **kwargs)) is None:
            return None
        call = begin_call(recorder, request.fields, source="client")
        call.later = request.later
    except Exception as error:  # noqa: BLE001  nothing of ours may reach the host's AI call
        log.warning("An AI call can't be recorded (%s).", type(error).__name__)
        return None
    return call


def _observe_result(call: CallState, result: Any, *, asynchronous: bool) -> Any:
    """What the host gets: the result itself, or instead of a generator one that yields the same."""
    try:
        if _is_raw(result.__class__) and (response := getattr(result, "http_response", None)) is not None:
            _observe_raw_response(call, response, asynchronous=asynchronous)
            return result
        given = call.set_response(result)
        if call.later is None:
            dedupe.mark_recorded(given, call.record_id)
            _last.set(call.record_id)
    except Exception as error:  # noqa: BLE001  nothing of ours may reach the host's AI call
        log.warning("An AI call can't be recorded (%s).", type(error).__name__)
        return result
    return given


def _observe_raw_response(call: CallState, response: Any, *, asynchronous: bool) -> None:
    """The body of `with_raw_response`, which is read; or, if it is not, whatever its caller will read of it."""
    if response.is_closed:
        try:
            call.set_response(response.json())
        except Exception:  # noqa: BLE001  no JSON, so nothing is known
            call.set_response(None)
        return
    call.begin_stream()
    observe_body(response, call, asynchronous=asynchronous)


@functools.lru_cache(256)
def _is_raw(kind: type) -> bool:
    return hasattr(kind, "parse") and not hasattr(kind, "model_fields")


def _remember_result(original: Callable[..., Any], *, asynchronous: bool) -> Callable[..., Any]:
    """Gemini's public method: what it makes of its requests' parsed_lines is known as recorded too."""

    @functools.wraps(original)
    def call_sync(*args: Any, **kwargs: Any) -> Any:
        before = _last.get()
        result = original(*args, **kwargs)
        if (last := _last.get()) is not None and last is not before:
            dedupe.mark_recorded(result, last)
        return result

    @functools.wraps(original)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        before = _last.get()
        result = await original(*args, **kwargs)
        if (last := _last.get()) is not None and last is not before:
            dedupe.mark_recorded(result, last)
        return result

    return call_async if asynchronous else call_sync


def _wrap_copy(recorder: Tracker, original: Callable[..., Any], fields: Mapping[str, Any]) -> Callable[..., Any]:
    """A client made from a wrapped one records as well."""

    @functools.wraps(original)
    def copy(*args: Any, **kwargs: Any) -> Any:
        return wrap(recorder, original(*args, **kwargs), fields)

    return copy


def _provider(client: Any) -> str | None:
    """Whose API the client speaks to, by its address; None where that doesn't say."""
    host = str(getattr(getattr(client, "base_url", None), "host", "") or "")
    return provider_of_host(host)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
