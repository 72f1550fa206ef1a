"""Usage by any dimensions equals the figures of the pages, from rollups and from rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from support import connect, run

from tracker import settings
from tracker.database.locate import Database
from tracker.database.schema import read_table
from tracker.database.url import clean
from tracker.errors import SettingError
from tracker.reports import Filters, Reader, usage_totals
from tracker.reports.explorer.explorer_query import explore
from tracker.reports.explorer.last_range import last_range
from tracker.reports.explorer.usage_rows import DIMENSIONS, MEASURES, usage_rows
from tracker.rollups import refresh

START = datetime(2026, 3, 1, tzinfo=UTC)
RANGE = Filters(start=START, end=START + timedelta(days=30), timezone="Asia/Seoul")


@pytest.fixture
def reader(database_url: str) -> Iterator[Reader]:
    run(
        database_url,
        "INSERT INTO token_usage (created_at, model, provider, operation, user_id, session_id, environment, platform,"
        " deployment, input_tokens, output_tokens, total_tokens, cost, success, metadata)"
        " SELECT '2026-03-01'::timestamptz + n * interval '3 hours 7 minutes',"
        " CASE n % 3 WHEN 0 THEN 'unknown' ELSE 'm' || n % 3 END, CASE WHEN n % 4 <> 0 THEN 'p' || n % 2 END,"
        " 'o' || n % 5,"
        " 'u' || n % 7, CASE WHEN n % 2 = 0 THEN 's' || n % 11 END, CASE WHEN n % 6 <> 0 THEN 'production' END,"
        " 'vercel', 'd' || n % 3, n, 2 * n, 3 * n, CASE WHEN n % 3 <> 0 THEN n * 0.000001 END, n % 10 <> 0,"
        ' CASE n % 3 WHEN 0 THEN \'{}\' WHEN 1 THEN \'{"team": "growth", "tier": 2}\''
        ' ELSE \'{"team": ["a", "b"]}\' END::jsonb FROM generate_series(1, 200) n',
    )
    opened = Reader(Database(clean(database_url), embedded=False, settings=settings.load({})))
    yield opened
    opened.close()


def refresh_rollups(url: str) -> None:
    connection = connect(url)
    refresh.catch_up(connection, read_table(connection, None))
    connection.close()


def test_the_rows_equal_the_pages(reader: Reader, database_url: str) -> None:
    totals = usage_totals.totals(reader, RANGE)
    for _ in range(2):
        (row,) = usage_rows(reader, RANGE, (), MEASURES).rows
        same = [name for name in MEASURES if hasattr(totals, name)]
        assert [row[name] for name in same] == [getattr(totals, name) for name in same]
        for name in DIMENSIONS:
            found = usage_rows(reader, RANGE, [name], MEASURES)
            for measure in MEASURES:
                assert sum(part[measure] or 0 for part in found.rows) == row[measure]
            if name == "session":
                continue
            page = explore(reader, RANGE, name).set_index("row_name")
            assert len(page) == len(found.rows)
            for part in found.rows:
                expected = page.loc["unknown" if part[name] is None else str(part[name])]
                assert (part["calls"], part["total_tokens"]) == (expected["calls"], expected["total_tokens"])
                assert (part["cost_usd"] is None) == (expected["cost_usd"] != expected["cost_usd"])
        users = usage_rows(reader, RANGE, ["user"], ("calls", "total_tokens", "cost_usd")).rows
        top = usage_totals.top_users(reader, RANGE, count=100)
        assert [row["user"] for row in users] == list(top["user_id"])
        assert [row["total_tokens"] for row in users] == list(top["total_tokens"])
        refresh_rollups(database_url)  # now the same from the rollups


def test_many_dimensions_are_ordered_and_exact(reader: Reader) -> None:
    found = usage_rows(reader, RANGE, ["model", "week", "user", "metadata.team", "model"])
    assert found.dimensions == ("model", "week", "user", "metadata.team")
    assert found.overlaps
    models = list(dict.fromkeys(row["model"] for row in found.rows))
    tokens = {model: sum(row["total_tokens"] for row in found.rows if row["model"] == model) for model in models}
    assert models == sorted(models, key=lambda model: -tokens[model])
    for model in models:
        weeks = [row["week"] for row in found.rows if row["model"] == model]
        assert weeks == sorted(weeks)
    teams = {row["metadata.team"] for row in found.rows}
    assert teams == {"growth", "a", "b", None}
    growth = usage_rows(reader, Filters(start=RANGE.start, end=RANGE.end, properties=(("team", "a"),)), ["model"])
    assert [(row["model"], row["calls"]) for row in growth.rows] == [("m2", 67)]
    both = usage_rows(reader, RANGE, ["metadata.team", "metadata.tier"])
    assert {(row["metadata.team"], row["metadata.tier"], row["calls"]) for row in both.rows} == {
        ("growth", "2", 67),
        ("a", None, 67),
        ("b", None, 67),
        (None, None, 66),
    }
    assert usage_rows(reader, RANGE, ["metadata.none"]).rows[0]["calls"] == 200


def test_json_values_lose_no_digit(reader: Reader) -> None:
    found = usage_rows(reader, RANGE, ["model"])
    read = json.loads(json.dumps(found.as_json()))
    unpriced = next(row for row in read if row["model"] == "unknown")
    assert (unpriced["cost_usd"], unpriced["unpriced_calls"]) == (None, 66)
    priced = [row["cost_usd"] for row in read if row["cost_usd"] is not None]
    assert sum(map(Decimal, priced)) == usage_totals.totals(reader, RANGE).cost_usd
    assert all("E" not in text for text in priced)


def test_a_large_result_is_cut_to_the_rows_with_the_most_tokens(reader: Reader) -> None:
    for dimensions in (["hour"], ["session", "hour"]):
        found = usage_rows(reader, RANGE, dimensions, max_rows=3)
        assert found.is_cut
        assert sorted(row["total_tokens"] for row in found.rows) == [594, 597, 600]
    assert not usage_rows(reader, RANGE, ["hour"], max_rows=200).is_cut


def test_an_unknown_name_is_refused_with_the_valid_ones(reader: Reader) -> None:
    for name in ("minute", "user_id", "metadata.", "model; DROP TABLE token_usage", ""):
        with pytest.raises(SettingError, match=r"model, provider.*metadata\.KEY"):
            usage_rows(reader, RANGE, ["model", name])
    with pytest.raises(SettingError, match="calls, failed_calls"):
        usage_rows(reader, RANGE, ["model"], ["latency"])
    with pytest.raises(SettingError, match="at most 2"):
        usage_rows(reader, RANGE, ["metadata.a", "metadata.b", "metadata.c"])
    assert len(usage_rows(reader, RANGE, ["model"] * 1_000).rows) == 3


def test_a_range_is_that_of_the_pages() -> None:
    now = datetime(2026, 3, 10, 1, 30, tzinfo=ZoneInfo("Asia/Seoul"))
    end = now + timedelta(seconds=1)
    for text, start in (
        ("24h", end - timedelta(hours=24)),
        ("today", now.replace(hour=0, minute=0)),
        ("1d", now.replace(hour=0, minute=0)),
        ("7d", now.replace(day=4, hour=0, minute=0)),
        ("1w", now.replace(day=4, hour=0, minute=0)),
        ("month", now.replace(day=1, hour=0, minute=0)),
    ):
        assert last_range(text, "Asia/Seoul", now) == (start, end), text
    for text in ("", "0d", "7", "-7d", "7m", "99999w", "7d ", "٧d"):
        with pytest.raises(SettingError, match="24h, 7d"):
            last_range(text, "UTC", now)
