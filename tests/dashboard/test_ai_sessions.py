"""AI sessions on a real PostgreSQL and on the page: the list, one session in order, and ids that look like markup."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from dashboard_support import Execute, OpenPage, figures, texts
from support import run, with_role

from tracker import settings
from tracker.database.locate import Database
from tracker.database.url import clean
from tracker.errors import SettingError
from tracker.reports import Filters, Reader
from tracker.reports.ai_calls import ai_sessions
from tracker.reports.ai_calls.ai_sessions import (
    SORTS,
    SessionPosition,
    calls_outside,
    list_sessions,
    readable_part,
    session_calls,
    session_totals,
)

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
RANGE = Filters(start=NOON - timedelta(days=2), end=NOON + timedelta(days=2))
HOSTILE = (
    "**bold** [link](http://evil.test) :red[x] $x^2$",
    "<script>alert(1)</script>",
    "first line\nsecond line",
    "\n leading and trailing \n",
    "이모지 👩‍👩‍👧 \u202e",
    "'; DROP TABLE token_usage; --",
    "x" * 10_000,
    "x" * 9_999 + "y",
)


@pytest.fixture
def reader(database_url: str) -> Iterator[Reader]:
    opened = Reader(Database(clean(database_url), embedded=False, settings=settings.load({})))
    yield opened
    opened.close()


def all_pages(reader: Reader, sort: str, count: int) -> list[str]:
    listed: list[str] = []
    position: SessionPosition | None = None
    while True:
        page = list_sessions(reader, RANGE, sort, position, count=count)
        listed += [session.session_id for session in page.sessions]
        position = page.position
        if position is None:
            return listed


def test_the_list_in_each_order_in_pages(reader: Reader, call: Execute) -> None:
    call(created_at=NOON, session_id="a", user_id="u_1", cost=Decimal("0.5"), input_tokens=10)
    call(created_at=NOON + timedelta(hours=1), session_id="a", user_id="u_2", input_tokens=10, success=False)
    call(created_at=NOON, session_id="b", input_tokens=1000, cost=Decimal("0.25"))
    call(created_at=NOON + timedelta(hours=2), session_id="c", input_tokens=20)
    call(created_at=NOON, session_id="d", input_tokens=20)
    call(created_at=NOON - timedelta(days=5), session_id="b")
    call(created_at=NOON, session_id="test", is_test=True)
    call(created_at=NOON)
    call(created_at=NOON, session_id="")
    page = list_sessions(reader, RANGE)
    assert (page.all_sessions, page.calls_without_session, page.is_cut) == (4, 2, False)
    a, b = page.sessions[:2]
    assert (a.session_id, a.calls, a.failed_calls, a.cost_usd, a.unpriced_calls) == ("a", 2, 1, Decimal("0.5"), 1)
    assert (a.duration_s, a.has_several_users, a.began_earlier) == (3600, True, False)
    assert (b.session_id, b.calls, b.has_several_users, b.began_earlier) == ("b", 1, False, True)
    orders = {sort: all_pages(reader, sort, count) for sort in SORTS for count in (1, 3)}
    assert orders == {
        "cost_usd": ["a", "b", "d", "c"],
        "total_tokens": ["b", "a", "d", "c"],
        "calls": ["a", "d", "c", "b"],
        "duration_s": ["a", "d", "c", "b"],
        "last_at": ["c", "a", "d", "b"],
    }
    one_user = list_sessions(reader, replace(RANGE, user="u_2"))
    assert [(session.session_id, session.calls) for session in one_user.sessions] == [("a", 1)]
    with pytest.raises(SettingError, match="cost_usd, total_tokens"):
        list_sessions(reader, RANGE, "name; DROP TABLE")


def test_running_sums_are_right_on_each_page(reader: Reader, database_url: str) -> None:
    """Ten calls at a time have the same time, so that the order needs the id."""
    run(
        database_url,
        "INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens, created_at, session_id, cost)"
        " SELECT 'm', n, 0, n, '2026-03-10 12:00+00'::timestamptz + n / 10 * interval '1 second', 's',"
        " CASE WHEN n % 7 <> 0 THEN n * 0.001 END FROM generate_series(1, 95) n",
    )
    page = session_calls(reader, RANGE, "s", count=20)
    forward: list[dict[str, Any]] = []
    while page.rows:
        forward += page.rows
        page = session_calls(reader, RANGE, "s", after=page.last, count=20)
    assert [row["number"] for row in forward] == list(range(1, 96))
    assert len({row["id"] for row in forward}) == 95
    assert forward == sorted(forward, key=lambda row: (row["created_at"], row["id"]))
    tokens, cost, unpriced = 0, Decimal(0), 0
    for row in forward:
        tokens += row["total_tokens"]
        cost += row["cost_usd"] or 0
        unpriced += row["cost_usd"] is None
        assert (row["running_tokens"], row["running_unpriced_calls"]) == (tokens, unpriced)
        assert (row["running_cost_usd"] or 0) == cost
    last = session_calls(reader, RANGE, "s", from_end=True, count=20)
    assert last.rows == forward[75:]
    assert session_calls(reader, RANGE, "s", before=last.first, count=20).rows == forward[55:75]
    totals = session_totals(reader, RANGE, "s")
    assert totals
    assert (totals.calls, totals.total_tokens, totals.cost_usd, totals.unpriced_calls) == (95, tokens, cost, unpriced)


def test_calls_outside_the_range_are_counted_apart(reader: Reader, call: Execute, database_url: str) -> None:
    for days in (-9, -8, 0, 5):
        call(created_at=NOON + timedelta(days=days), session_id="s", user_id=f"u_{days}")
    call(created_at="infinity", session_id="s")
    outside = calls_outside(reader, RANGE, "s")
    assert outside
    assert (outside.calls_before, outside.calls_after) == (2, 1)
    assert (outside.first_at, outside.last_at) == (NOON - timedelta(days=9), NOON + timedelta(days=5))
    assert session_totals(reader, RANGE, "other") is None
    run(database_url, "DROP INDEX token_usage_session_idx")
    reader.check()
    assert calls_outside(reader, RANGE, "s") is None
    assert [session.began_earlier for session in list_sessions(reader, RANGE).sessions] == [None]


def test_a_range_with_too_many_calls_is_cut_to_its_newest_part(
    reader: Reader, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(
        database_url,
        "INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens, created_at, session_id)"
        " SELECT 'm', 1, 1, 2, '2026-03-10 11:59:30+00'::timestamptz - n * interval '1 minute', 's' || n % 3"
        " FROM generate_series(0, 599) n",
    )
    for limit, minutes in ((600, None), (599, 540), (100, 60), (60, 60), (59, 59), (1, 1)):
        monkeypatch.setattr(ai_sessions, "MAX_SCAN_CALLS", limit)
        part = readable_part(reader, replace(RANGE, end=NOON, model="m", start=NOON - timedelta(hours=30)))
        expected = NOON - (timedelta(hours=30) if minutes is None else timedelta(minutes=minutes))
        assert (part.start, part.model) == (expected, "m")
    page = list_sessions(reader, replace(RANGE, end=NOON))
    assert (page.is_cut, [session.calls for session in page.sessions]) == (True, [1])
    assert [session.began_earlier for session in page.sessions] == [True]


def test_ids_are_displayed_exactly(
    open_page: OpenPage, reader: Reader, database_url: str, call: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(HOSTILE):
        call(session_id=name, cost=Decimal(100 - number), user_id="u_1", created_at=datetime.now(UTC))
    call(session_id=HOSTILE[0], user_id="**u_2**", created_at=datetime.now(UTC) - timedelta(days=40))
    call(session_id=HOSTILE[0], user_id="**u_2**", created_at=datetime.now(UTC))
    call(created_at=datetime.now(UTC))
    app = open_page(database_url, "ai_sessions.py")
    (listed,) = [frame.value for frame in app.dataframe]
    assert tuple(listed["session_id"]) == HOSTILE
    assert list(listed["began"]) == ["began earlier", *[""] * (len(HOSTILE) - 1)]
    assert "8 AI sessions · 1 call has no session id" in texts(app)
    for name in HOSTILE:
        app = open_page(database_url, "ai_sessions.py", session=name)
        # Streamlit's front end gets the text as it is.
        assert [code.value for code in app.code] == [name]
        assert figures(app)["Calls"] == ("2" if name == HOSTILE[0] else "1")
        assert ("too long for the address" in texts(app)) == (len(name) > 6_000)
    app = open_page(database_url, "ai_sessions.py", session=HOSTILE[0])
    assert "1 call of this AI session is before the range" in texts(app)
    assert "**u_2** (1), u_1 (1)" in [element.value for element in app.text]
    (calls,) = [frame.value for frame in app.dataframe]
    assert list(calls["running_cost"]) == ["$100.00", "≥ $100.00"]
    app.button(key="whole_session").click().run()
    assert figures(app)["Calls"] == "3"
    app.button(key="all_sessions").click().run()
    assert len(app.dataframe[0].value) == len(HOSTILE)


def test_the_page_sorts_and_pages(open_page: OpenPage, database_url: str) -> None:
    run(
        database_url,
        "INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens, created_at, session_id)"
        " SELECT 'm', n, 0, n, now() - n * interval '1 second', 's' || n FROM generate_series(1, 60) n",
        "INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens, created_at, session_id)"
        " SELECT 'm', 1, 0, 1, now() - n * interval '1 second', 'long' FROM generate_series(1, 250) n",
    )
    app = open_page(database_url, "ai_sessions.py", sort="last_at")
    assert len(app.dataframe[0].value) == 50
    app.button(key="sessions_next").click().run()
    assert list(app.dataframe[0].value["session_id"])[-1] == "s60"
    app.button(key="sessions_previous").click().run()
    app = open_page(database_url, "ai_sessions.py", session="long")
    numbers = {}
    for name in ("later", "later", "earlier", "first", "last"):
        app.button(key=f"session_{name}").click().run()
        numbers[name] = list(app.dataframe[0].value["number"])[::99]
    assert numbers == {"later": [201], "earlier": [101, 200], "first": [1, 100], "last": [151, 250]}
    assert "151 to 250 of 250 calls" in texts(app)


def test_the_role_of_the_page_needs_no_other_rights(
    open_page: OpenPage, database_url: str, call: Execute, new_role: Any
) -> None:
    call(session_id="s", created_at=datetime.now(UTC))
    role = new_role()
    run(database_url, f"GRANT SELECT ON token_usage TO {role}")
    app = open_page(with_role(database_url, role), "ai_sessions.py", session="s")
    assert figures(app)["Calls"] == "1"
