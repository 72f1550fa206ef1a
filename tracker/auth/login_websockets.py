"""Open websockets of sessions: each is cut when its session expires or is ended."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from tracker.auth.http_responses import Message, Receive, Send

_POLICY_VIOLATION = 1008


class Watch:
    """The websockets that are open, by their session's id."""

    def __init__(self) -> None:
        self._open: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def end(self, session: str) -> None:
        """Cut every websocket of a session."""
        for over in self._open.get(session, ()):
            over.set()

    @contextmanager
    def open(self, session: str, seconds: float, receive: Receive, send: Send) -> Iterator[tuple[Receive, Send]]:
        """A websocket's `receive` and `send` that end with its session, at the latest after `seconds`."""
        over = asyncio.Event()
        self._open[session].add(over)
        timer = asyncio.get_running_loop().call_later(seconds, over.set)
        ended = asyncio.ensure_future(over.wait())

        async def receive_on() -> Message:
            getting = asyncio.ensure_future(receive())
            try:
                await asyncio.wait({getting, ended}, return_when=asyncio.FIRST_COMPLETED)
                if not over.is_set():
                    return getting.result()
            finally:
                getting.cancel()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return {"type": "websocket.disconnect", "code": _POLICY_VIOLATION}

        async def send_on(message: Message) -> None:
            if not over.is_set():
                await send(message)

        try:
            yield receive_on, send_on
        finally:
            timer.cancel()
            ended.cancel()
            self._open[session].discard(over)
            if not self._open[session]:
                del self._open[session]
