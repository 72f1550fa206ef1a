"""The route that exports all matching calls as CSV, opened by a signed link that the page makes.

The rows are read in batches by key, so that memory stays flat, a slow client holds no connection and no transaction,
and no query runs after the client disconnects.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from tracker.auth.http_responses import Receive, Send, send_json
from tracker.auth.signed_links import LinkError, SignedLinks
from tracker.errors import SettingError, TrackerError
from tracker.property_names import dimension_of
from tracker.reports.ai_calls.call_log import EXPORT_BATCH_ROWS, CallSearch, Position, Row, scan_calls, search_from_json
from tracker.reports.csv_text import BOM, csv_bytes
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters

log = logging.getLogger("tracker.dashboard")

EXPORT_PATH = "/exports/calls.csv"
"""The path below the server's base path. It is part of the signature."""
EXPORT_COLUMNS = (
    "id", "created_at", "provider", "model", "operation", "user_id", "session_id", "input_tokens", "output_tokens",
    "total_tokens", "cache_read_input_tokens", "cache_write_input_tokens", "reasoning_output_tokens", "cost_usd",
    "cost_source", "processing_time", "success", "error_message", "environment", "platform", "region", "deployment",
    "delivery", "is_test",
)  # fmt: skip
_DONE = None


def export_batches(reader: Reader, filters: Filters, search: CallSearch, *, with_bom: bool = False) -> Iterator[bytes]:
    """The CSV of all matching calls, newest first, one batch of rows at a time. Raises `DatabaseError`."""
    header = [*EXPORT_COLUMNS, *map(dimension_of, search.shown_keys)]
    text, position = (BOM if with_bom else b"") + csv_bytes([header]), None
    while True:
        rows, position = _read_batch(reader, filters, search, position)
        yield text + csv_bytes(map(_cells, rows))
        if position is None:
            return
        text = b""


def _read_batch(
    reader: Reader, filters: Filters, search: CallSearch, position: Position | None
) -> tuple[list[Row], Position | None]:
    size = EXPORT_BATCH_ROWS
    page = scan_calls(reader, filters, search, position, count=size, scan_rows=size)
    return page.rows, page.position


def _cells(row: Mapping[str, Any]) -> list[object]:
    """The cells of a row, at the end those of its properties; a list or a nested value is JSON."""
    return [*(_cell(row, name) for name in EXPORT_COLUMNS), *(row["shown_properties"] or ())]


def _cell(row: Mapping[str, Any], name: str) -> object:
    value = row[name]
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


class CallsExportApp:
    """The route's ASGI app: 200 with the CSV, 403 for an invalid link, 405, or 503 if the database fails at the start.

    `reader` and `links` are called for each request. At most one connection is used by all exports together.
    """

    def __init__(self, reader: Callable[[], Reader], links: Callable[[], SignedLinks]) -> None:
        self._reader = reader
        self._links = links
        self._one_query = asyncio.Semaphore(1)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["method"] not in {"GET", "HEAD"}:
            allow = (("allow", "GET, HEAD"),)
            await send_json(send, 405, "method not allowed", "Use GET.", head=False, headers=allow)
            return
        head = scope["method"] == "HEAD"
        try:
            query = scope.get("query_string", b"").decode("latin-1")
            content = self._links().verify(EXPORT_PATH, query)
            filters, search = search_from_json(content)
        except (LinkError, SettingError) as error:
            await send_json(send, 403, "invalid link", str(error), head=head)
            return
        try:
            reader = await asyncio.to_thread(self._reader)
            batches = export_batches(reader, filters, search, with_bom=content.get("bom") is True)
            first = await self._next_batch(batches)
        except TrackerError as error:
            await send_json(send, 503, "database error", str(error), head=head)
            return
        await self._send_file(first, batches, receive, send, head=head)

    async def _send_file(
        self, batch: bytes | None, batches: Iterator[bytes], receive: Receive, send: Send, *, head: bool
    ) -> None:
        name = f"calls-{datetime.now(UTC):%Y%m%d-%H%M%S}.csv"
        headers = [
            (b"content-type", b"text/csv; charset=utf-8"),
            (b"content-disposition", f'attachment; filename="{name}"'.encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        disconnected = asyncio.ensure_future(_wait_for_disconnect(receive))
        try:
            while batch is not None and not head:
                await send({"type": "http.response.body", "body": batch, "more_body": True})
                if disconnected.done():
                    return
                batch = await self._next_batch(batches)
        except TrackerError as error:
            # Without the last message, the server closes the connection: the browser reports an incomplete download.
            log.warning("An export of calls ended early. %s", error)
            return
        finally:
            disconnected.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _next_batch(self, batches: Iterator[bytes]) -> bytes | None:
        async with self._one_query:
            return await asyncio.to_thread(next, batches, _DONE)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
