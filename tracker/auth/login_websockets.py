"""Open WebSockets of logins. A WebSocket is closed when its login expires or ends."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from tracker.auth.http_responses import AsgiMessage, Receive, Send

_POLICY_VIOLATION = 1008


class LoginWebSockets:
    """The open WebSockets by login id."""

    def __init__(self) -> None:
        self._close_events: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def close(self, login_id: str) -> None:
        """Close every WebSocket of a login."""
        for close_event in self._close_events.get(login_id, ()):
            close_event.set()

    @contextmanager
    def track(self, login_id: str, max_s: float, receive: Receive, send: Send) -> Iterator[tuple[Receive, Send]]:
        """`receive` and `send` of a WebSocket that is closed with its login, or after `max_s` seconds."""
        close_event = asyncio.Event()
        self._close_events[login_id].add(close_event)
        timer = asyncio.get_running_loop().call_later(max_s, close_event.set)
        closed = asyncio.ensure_future(close_event.wait())

        async def receive_or_close() -> AsgiMessage:
            received = asyncio.ensure_future(receive())
            try:
                await asyncio.wait({received, closed}, return_when=asyncio.FIRST_COMPLETED)
                if not close_event.is_set():
                    return received.result()
            finally:
                received.cancel()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return {"type": "websocket.disconnect", "code": _POLICY_VIOLATION}

        async def send_if_open(message: AsgiMessage) -> None:
            if not close_event.is_set():
                await send(message)

        try:
            yield receive_or_close, send_if_open
        finally:
            timer.cancel()
            closed.cancel()
            self._close_events[login_id].discard(close_event)
            if not self._close_events[login_id]:
                del self._close_events[login_id]
