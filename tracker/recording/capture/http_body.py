"""Reads usage from the body of an HTTP response while its caller reads it, independent of the method it uses.

`with_raw_response` of a stream and `with_streaming_response` return before the body is read. Their `parse`, `json`,
`text`, `read`, and `iter_lines` all read `iter_bytes` (`aiter_bytes`) of the HTTP response, which is observed here.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from tracker.recording.capture import deferred_finish
from tracker.recording.capture.deferred_finish import Finalizer
from tracker.recording.capture.streams import ObservedAsyncIterator, ObservedIterator, Observer, observe_close

# A longer body or event, such as one with images, is not read: the call is recorded without tokens.
MAX_BODY_BYTES = 32 * 2**20
_EVENT_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_NO_USAGE_MARKERS = (b'"usage":null', b'"usage": null')
_USAGE_MARKERS = (b"sage", b'"error"', b"status", b'"model"')


class BodyObserver:
    """Passes the decoded events, or the decoded JSON body, to an observer of chunks."""

    def __init__(self, observer: Observer, *, events: bool) -> None:
        self._observer, self._events = observer, events
        self._buffer = b""
        self._first = True
        self._too_long = False
        self._complete = False  # OpenAI's clients stop reading at [DONE], before the body ends

    @property
    def done(self) -> bool:
        """Whether the call is over."""
        return self._observer.done

    def __getattr__(self, name: str) -> Any:
        """Attributes of the observed call, which a call that starts while the body is read uses."""
        return getattr(self.__dict__["_observer"], name)

    def add(self, chunk: bytes) -> None:
        """The next bytes of the body."""
        if self._too_long:
            return
        self._buffer += chunk
        if self._events:
            self._take_events()
        if len(self._buffer) > MAX_BODY_BYTES:
            self._buffer = b""
            self._too_long = True

    def _take_events(self) -> None:
        while True:
            ends = [(at, len(end)) for end in _EVENT_ENDS if (at := self._buffer.find(end)) >= 0]
            if not ends:
                return
            at, length = min(ends)
            event, self._buffer = self._buffer[:at], self._buffer[at + length :]
            self._take_event(event)

    def _take_event(self, event: bytes) -> None:
        data = b"\n".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))
        if data == b"[DONE]":
            self._complete = True
            return
        may_contain_usage = self._first or any(word in data for word in _USAGE_MARKERS)
        if not may_contain_usage or (
            not self._first and any(word in data for word in _NO_USAGE_MARKERS) and b'"error"' not in data
        ):
            return
        self._add_json(data)

    def _add_json(self, data: bytes) -> None:
        with suppress(ValueError, RecursionError):
            self._observer.add(json.loads(data))
            self._first = False

    def _end(self) -> None:
        if self._events:
            self._take_event(self._buffer)
        else:
            lines = self._buffer.splitlines()
            is_unread = self._first
            self._add_json(self._buffer)
            if is_unread and self._first and len(lines) > 1:  # JSON lines
                for line in lines:
                    self._add_json(line)
        self._buffer = b""

    def finish(self, error: BaseException | None = None, *, broken_off: bool = False) -> None:
        """The body ended, or its caller stopped reading."""
        self._end()
        self._observer.finish(error, broken_off=broken_off and not self._complete)

    def finish_now(self, error: BaseException | None = None, *, broken_off: bool = False) -> None:
        """`finish`, if no finalizer runs."""
        self._end()
        self._observer.finish_now(error, broken_off=broken_off and not self._complete)

    def give_up(self) -> None:
        """Write the usage that was read so far."""
        self._end()
        self._observer.give_up()

    async def afinish(self, error: BaseException | None = None, *, broken_off: bool = False) -> None:
        """`finish`, without blocking the event loop."""
        self._end()
        await self._observer.afinish(error, broken_off=broken_off and not self._complete)


def observe_body(http_response: Any, observer: Observer, *, asynchronous: bool) -> None:
    """Observe the body of an unread HTTP response. A body that is never read ends when the response is closed."""
    events = "event-stream" in str(http_response.headers.get("content-type", ""))
    body = BodyObserver(observer, events=events)
    name = "aiter_bytes" if asynchronous else "iter_bytes"
    original = getattr(type(http_response), name)
    observe_close(http_response, "aclose" if asynchronous else "close", body, asynchronous=asynchronous)
    kind = ObservedAsyncIterator if asynchronous else ObservedIterator
    reference = _Weak(http_response)

    def iter_bytes(*args: Any, **kwargs: Any) -> Any:
        response = reference.get()
        if response.is_stream_consumed or hasattr(response, "_content"):  # already read: there are no new bytes
            return original(response, *args, **kwargs)
        return kind(original(response, *args, **kwargs), body)

    setattr(http_response, name, iter_bytes)
    http_response.tracker_finalizer = Finalizer(observer)
    deferred_finish.open_call(observer)


class _Weak:
    """Refers to the response weakly: the response refers to the function that uses this."""

    def __init__(self, response: Any) -> None:
        import weakref

        self._reference = weakref.ref(response)

    def get(self) -> Any:
        """The response, which exists as long as the caller of its method refers to it."""
        return self._reference()
