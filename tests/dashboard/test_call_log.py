"""The request log on a real PostgreSQL: search, pages by key, and the export of all matching calls."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import tracemalloc
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from dashboard_support import Execute
from support import run

from tracker import settings
from tracker.auth.signed_links import SignedLinks
from tracker.database.locate import Database
from tracker.database.url import clean
from tracker.errors import SettingError
from tracker.reports import Filters, Reader
from tracker.reports.ai_calls import call_log, export_app
from tracker.reports.ai_calls.call_log import (
    CallSearch,
    Position,
    scan_calls,
    search_as_json,
    search_calls,
    search_from_json,
)
from tracker.reports.ai_calls.export_app import EXPORT_COLUMNS, EXPORT_PATH, CallsExportApp

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
RANGE = Filters(start=NOON - timedelta(days=2), end=NOON + timedelta(days=2))
ALL = CallSearch()


@pytest.fixture
def reader(database_url: str) -> Iterator[Reader]:
    opened = Reader(Database(clean(database_url), embedded=False, settings=settings.load({})))
    yield opened
    opened.close()


def add_calls(url: str, number: int, columns: str = "", values: str = "") -> None:
    """Calls `operation-1` … at equal times in groups of ten, so that the key needs the id."""
    run(
        url,
        f"INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens, created_at, operation{columns})"
        " SELECT 'm', 1, 1, 2, '2026-03-10 12:00+00'::timestamptz - n / 10 * interval '1 second',"
        f" 'operation-' || n{values}"
        f" FROM generate_series(1, {number}) n",
    )


def operations(reader: Reader, search: CallSearch = ALL, filters: Filters = RANGE) -> list[str]:
    return [row["operation"] for row in search_calls(reader, filters, search).rows]


def test_each_condition_selects_its_calls(reader: Reader, call: Execute) -> None:
    call(created_at=NOON, operation="Summary", user_id="u_1", processing_time=900, cost=Decimal("0.5"))
    call(created_at=NOON, operation="tag", session_id="chat-100%", success=False, error_message="timeout")
    call(created_at=NOON, operation="title", user_id="u_2", processing_time=1000, cost=Decimal("0.25"))
    call(created_at=NOON, operation="test", is_test=True)
    call(created_at=NOON - timedelta(days=3), operation="old")
    assert sorted(operations(reader)) == ["Summary", "tag", "title"]
    assert operations(reader, CallSearch(text=" sUMM ")) == ["Summary"]
    assert operations(reader, CallSearch(text="00%")) == ["tag"]
    assert operations(reader, CallSearch(text="_2")) == ["title"]
    assert operations(reader, CallSearch(text="%")) == ["tag"]
    assert operations(reader, CallSearch(failed=True)) == ["tag"]
    assert sorted(operations(reader, CallSearch(failed=False))) == ["Summary", "title"]
    assert operations(reader, CallSearch(min_ms=1000)) == ["title"]
    assert operations(reader, CallSearch(min_usd=0.3)) == ["Summary"]
    assert operations(reader, CallSearch(text="u_", min_usd=0.3)) == ["Summary"]
    user = Filters(start=RANGE.start, end=RANGE.end, user="u_2", include_tests=True)
    assert operations(reader, filters=user) == ["title"]


def test_pages_contain_each_call_once_while_calls_are_inserted(reader: Reader, database_url: str) -> None:
    add_calls(database_url, 95)
    seen: list[str] = []
    position: Position | None = None
    while True:
        page = search_calls(reader, RANGE, ALL, position, count=10)
        seen += [row["operation"] for row in page.rows]
        assert [row["created_at"] for row in page.rows] == sorted(
            (row["created_at"] for row in page.rows), reverse=True
        )
        # Newer calls, and calls with the times of those that were read.
        add_calls(database_url, 10, ", metadata", ", '{}'")
        position = page.position
        if position is None:
            break
    originals = {f"operation-{n}" for n in range(1, 96)}
    assert originals <= set(seen)
    assert all(seen.count(operation) == 1 for operation in originals - {f"operation-{n}" for n in range(1, 11)})


def test_a_search_stops_at_the_time_limit_and_continues(
    reader: Reader, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_calls(database_url, 100)
    monkeypatch.setattr(call_log, "_FIRST_SCAN_ROWS", 30)
    monkeypatch.setattr(call_log, "_MAX_SCAN_ROWS", 30)
    ticks = iter(range(1000))
    search = CallSearch(text="operation-100")
    page = search_calls(reader, RANGE, search, time_limit_s=2, clock=lambda: float(next(ticks)))
    assert (page.rows, page.stopped_by_time_limit) == ([], True)
    assert page.position and page.position.created_at > NOON - timedelta(seconds=10)
    rest = search_calls(reader, RANGE, search, page.position)
    assert [row["operation"] for row in rest.rows] == ["operation-100"]
    assert (rest.position, rest.stopped_by_time_limit) == (None, False)


def test_an_empty_range_has_no_position(reader: Reader) -> None:
    assert search_calls(reader, RANGE, ALL) == call_log.CallPage()


@pytest.mark.parametrize("minimum", [float("nan"), float("inf"), -1.0])
def test_a_minimum_is_a_number_from_0(minimum: float) -> None:
    with pytest.raises(SettingError, match="minimum"):
        CallSearch(min_ms=minimum)


# --- export -------------------------------------------------------------------------------------------------------


def link(filters: Filters = RANGE, search: CallSearch = ALL) -> str:
    return SignedLinks().create(EXPORT_PATH, search_as_json(filters, search))


def export(
    reader: Reader, query: str, method: str = "GET", disconnect_after: int | None = None
) -> tuple[int, list[bytes]]:
    """The status and the body messages of an export; the client disconnects after some of them."""
    sent: list[Mapping[str, Any]] = []

    async def ask() -> None:
        left = asyncio.Event()

        async def receive() -> Mapping[str, Any]:
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            sent.append(message)
            if disconnect_after is not None and len(sent) > disconnect_after:
                left.set()
                await asyncio.sleep(0.01)

        scope = {"type": "http", "method": method, "path": EXPORT_PATH, "query_string": query.encode("latin-1")}
        await CallsExportApp(lambda: reader, SignedLinks)(scope, receive, send)

    asyncio.run(ask())
    return sent[0]["status"], [message["body"] for message in sent[1:]]


def table(body: list[bytes]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(body).decode(), newline="")))


def test_the_export_contains_all_matching_calls(
    reader: Reader, database_url: str, call: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_app, "EXPORT_BATCH_ROWS", 100)
    add_calls(database_url, 1234)
    call(
        created_at=NOON, operation="=1+1", user_id='a"\r\nb', cost=Decimal("0.000001"), error_message="-2", model="모델"
    )
    status, body = export(reader, link())
    rows = table(body)
    assert (status, len(rows), len({row["id"] for row in rows}), len(body)) == (200, 1235, 1235, 14)
    assert tuple(rows[0]) == EXPORT_COLUMNS
    (special,) = [row for row in rows if row["model"] == "모델"]
    assert (special["operation"], special["user_id"], special["error_message"]) == ("'=1+1", 'a"\r\nb', "'-2")
    assert (Decimal(special["cost_usd"]), special["created_at"]) == (Decimal("0.000001"), "2026-03-10T12:00:00+00:00")
    matching = table(export(reader, link(search=CallSearch(text="operation-123")))[1])
    assert {row["operation"] for row in matching} == {"operation-123", *(f"operation-123{n}" for n in range(5))}


def test_an_export_for_excel_begins_with_a_byte_order_mark(reader: Reader, call: Execute) -> None:
    call(created_at=NOON, model="모델")
    links = [SignedLinks().create(EXPORT_PATH, search_as_json(RANGE, ALL, with_bom=bom)) for bom in (False, True)]
    plain, excel = (b"".join(export(reader, link)[1]) for link in links)
    assert excel == b"\xef\xbb\xbf" + plain


def test_an_export_needs_its_own_valid_link(reader: Reader) -> None:
    for query in ("", "data=x", link().replace("signature=", "signature=0"), link() + "&model=x", "\xff"):
        status, body = export(reader, query)
        assert status == 403
        assert "export" in json.loads(b"".join(body))["remedy"]
    assert export(reader, SignedLinks().create(EXPORT_PATH, {"filters": {}}))[0] == 403
    assert export(reader, link(), "POST")[0] == 405
    assert export(reader, link(), "HEAD") == (200, [b""])


def test_the_filters_survive_the_link() -> None:
    filters = Filters(start=NOON, end=NOON + timedelta(hours=1), timezone="Asia/Seoul", user="우준", include_tests=True)
    search = CallSearch(text="a", failed=False, min_ms=1.5, min_usd=0.1)
    assert search_from_json(json.loads(json.dumps(search_as_json(filters, search)))) == (filters, search)


def test_memory_stays_flat_and_no_query_runs_after_a_disconnect(
    reader: Reader, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_calls(database_url, 6_000)
    batches = 0

    def count_batch(*arguments: Any, **options: Any) -> call_log.CallPage:
        nonlocal batches
        batches += 1
        return scan_calls(*arguments, **options)

    monkeypatch.setattr(export_app, "EXPORT_BATCH_ROWS", 500)
    monkeypatch.setattr(export_app, "scan_calls", count_batch)
    status, body = export(reader, link(), disconnect_after=2)
    assert (status, len(body), batches) == (200, 2, 2)
    assert reader.pool_use().used == 0

    def peak_bytes(days: float) -> int:
        filters = Filters(start=NOON - timedelta(days=days), end=RANGE.end)
        tracemalloc.start()
        for _ in export_app.export_batches(reader, filters, ALL):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak_bytes(1) < 2 * peak_bytes(100 / 86_400)


def test_a_failure_of_the_database_is_a_sentence_or_an_incomplete_download(
    reader: Reader, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_calls(database_url, 200)
    monkeypatch.setattr(export_app, "EXPORT_BATCH_ROWS", 100)

    def fail_later(*arguments: Any, **options: Any) -> call_log.CallPage:
        page = scan_calls(*arguments, **options)
        run(database_url, "ALTER TABLE IF EXISTS token_usage RENAME TO moved")
        return page

    monkeypatch.setattr(export_app, "scan_calls", fail_later)
    status, body = export(reader, link())
    assert (status, len(body)) == (200, 1)  # no last message
    monkeypatch.setattr(export_app, "scan_calls", scan_calls)
    status, body = export(reader, link())
    assert (status, json.loads(b"".join(body))["error"]) == (503, "database error")
