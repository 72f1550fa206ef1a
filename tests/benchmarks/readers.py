"""Readers of the dashboard without a browser: each speaks Streamlit's protocol on a websocket of its own.

As the browser does, a reader asks for a page, draws nothing, and asks again for every part that refreshes by itself.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Self

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

_MOST_BYTES = 50_000_000


class Reader:
    """One tab with a page open."""

    def __init__(self, url: str, page: str, query: str = "") -> None:
        self._url = url
        self._page = page
        self._query = query
        self._socket: ClientConnection
        self._due: dict[str, tuple[float, float]] = {}
        """When each part that refreshes by itself is due, and how often it is."""
        self.refreshes_ms: list[float] = []
        self.charts = 0
        """How many were sent so far; one that didn't change isn't sent again."""

    async def __aenter__(self) -> Self:
        address = self._url.replace("http://", "ws://") + "/_stcore/stream"
        self._socket = await connect(address, subprotocols=["streamlit"], max_size=_MOST_BYTES, open_timeout=60)  # type: ignore[list-item]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()

    async def run(self, fragment: str = "") -> float:
        """Draw the whole page, or a part of it; the milliseconds until it was there."""
        message = BackMsg()
        asked = message.rerun_script
        asked.query_string = self._query
        asked.page_name = self._page
        asked.fragment_id = fragment
        asked.context_info.timezone, asked.context_info.locale = "Asia/Seoul", "en-US"
        asked.context_info.url = f"{self._url}/{self._page}"
        if not fragment:
            self._due.clear()
        started = time.perf_counter()
        await self._socket.send(message.SerializeToString())
        await self._until_finished()
        return (time.perf_counter() - started) * 1000

    async def _until_finished(self) -> None:
        while True:
            data: Any = await asyncio.wait_for(self._socket.recv(), 120)
            message = ForwardMsg.FromString(data)
            kind = message.WhichOneof("type")
            if kind == "delta" and message.delta.new_element.HasField("bidi_component"):
                self.charts += 1
            elif kind == "auto_rerun":
                every_s = message.auto_rerun.interval
                self._due[message.auto_rerun.fragment_id] = (time.monotonic() + every_s, every_s)
            elif kind == "stop_auto_rerun":
                for fragment in message.stop_auto_rerun.fragment_ids:
                    self._due.pop(fragment, None)
            elif kind == "script_finished" and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                return

    async def stay(self, until: float) -> None:
        """Keep the page open until a moment of `time.monotonic`, with all its refreshes."""
        while time.monotonic() < until:
            if not self._due:
                raise AssertionError(f"nothing refreshes on {self._page!r}")
            fragment, (due, every_s) = min(self._due.items(), key=lambda item: item[1][0])
            await asyncio.sleep(max(0.0, min(due, until) - time.monotonic()))
            if time.monotonic() < due:
                return
            self._due[fragment] = (due + every_s, every_s)
            self.refreshes_ms.append(await self.run(fragment))
