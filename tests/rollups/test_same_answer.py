"""Each report equals the same report computed in Python, for any rows, range, time zone and rollup state."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rollups_support import Store
from support import connect, run

from tracker.database.migrate import migrate
from tracker.database.sample_ids import FIRST_ID, LAST_ID, sample_id
from tracker.reports import Filters, hour_heatmap, latency, recording_quality, usage_totals
from tracker.reports.time_buckets import bucket_labels
from tracker.reports.unpriced_usage import unpriced_calls
from tracker.rollups import prune as pruning
from tracker.rollups.refresh import backfill, refresh
from tracker.rollups.rollup_tables import DAY_S

# Where and when the clocks do something, and ordinary days of zones that are no whole hours away from UTC.
TIME_ZONES = [
    ("UTC", datetime(2026, 6, 10, tzinfo=UTC)),
    ("Asia/Seoul", datetime(2026, 6, 10, tzinfo=UTC)),
    ("Asia/Kolkata", datetime(2026, 6, 10, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2026, 6, 10, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 3, 29, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, tzinfo=UTC)),
    ("America/St_Johns", datetime(2026, 11, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 11, 1, tzinfo=UTC)),  # midnight comes twice
    ("Asia/Beirut", datetime(2026, 3, 28, 22, tzinfo=UTC)),  # midnight is left out
    ("America/Santiago", datetime(2026, 4, 5, 3, tzinfo=UTC)),  # the hour before midnight comes twice
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),  # a day is left out
    ("Africa/Monrovia", datetime(1971, 6, 10, tzinfo=UTC)),  # 44 minutes and 30 seconds behind
]
ORDINARY = TIME_ZONES[0][1]
LENGTHS = [
    timedelta(0),
    timedelta(minutes=40),
    timedelta(hours=7),
    timedelta(hours=24),
    timedelta(hours=79),
    timedelta(days=6),
    timedelta(days=140),
    timedelta(days=1000),
]


METADATA = [
    "{}",
    '{"usage_problem": "total_mismatch", "usage_source": "response:chat", "usage_raw": {"total_tokens": 1}}',
    '{"usage_problem": "A sentence of an earlier version."}',
    '{"usage_source": "otlp:unmarked"}',
    "[1]",
]


def times(around: datetime) -> st.SearchStrategy[datetime]:
    """Starts of 15-minute buckets, a microsecond before or after, and other times."""
    bucket_starts = st.integers(-96 * 5, 96 * 5).map(lambda number: around + timedelta(minutes=15 * number))
    offsets = st.sampled_from([timedelta(0), timedelta(microseconds=-1), timedelta(microseconds=1)])
    other = st.integers(-5 * 86_400_000, 5 * 86_400_000).map(lambda ms: around + timedelta(milliseconds=ms))
    return st.one_of(st.tuples(bucket_starts, offsets).map(sum_of), other)


def sum_of(pair: tuple[datetime, timedelta]) -> datetime:
    return pair[0] + pair[1]


def calls(around: datetime) -> st.SearchStrategy[list[dict[str, Any]]]:
    some = st.fixed_dictionaries(
        {
            "id": st.sampled_from([False, False, True]).map(new_id),
            "created_at": times(around),
            "user_id": st.sampled_from(["u1", "u2", "u3"]),
            "model": st.sampled_from(["gpt", "gemini"]),
            "provider": st.sampled_from(["openai", "google", None, ""]),
            "operation": st.sampled_from(["chat", "tags"]),
            "environment": st.sampled_from(["production", None]),
            "input_tokens": st.integers(0, 5),
            "cache_read_input_tokens": st.integers(0, 3),
            "total_tokens": st.integers(10, 2**31 - 1),
            "cost": st.one_of(st.none(), st.decimals("0", "1", places=9)),
            "cost_source": st.sampled_from([None, "unpriced model_unknown", "unpriced tier_not_priced flex"]),
            "metadata": st.sampled_from(METADATA),
            "success": st.booleans(),
            "is_test": st.sampled_from([False, False, True]),
            "processing_time": st.one_of(st.none(), st.integers(0, 100_000)),
            "connection_ms": st.one_of(st.none(), st.floats(0, 10_000, width=32)),
            "retry_count": st.sampled_from([None, 0, 2]),
            "delivery": st.sampled_from(["direct", "outbox", None]),
        }
    )
    return st.lists(some, max_size=12)


_ids = itertools.count(1)


def new_id(is_sample: bool) -> str:
    return str(sample_id(1, 1, next(_ids)) if is_sample else UUID(int=next(_ids)))


def is_sample(row: dict[str, Any]) -> bool:
    return FIRST_ID <= UUID(row["id"]) <= LAST_ID


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    name, around = draw(st.sampled_from(TIME_ZONES))
    zone = ZoneInfo(name)
    start = draw(st.one_of(times(around), times(around).map(lambda at: midnight(at, zone))))
    end = start + draw(st.sampled_from(LENGTHS)) + draw(st.sampled_from([timedelta(0), timedelta(seconds=1)]))
    columns = st.sampled_from(["model", "provider", "operation", "environment", "user"])
    filtered = draw(st.one_of(st.just([]), st.lists(columns, unique=True, max_size=2)))
    values = {"model": "gpt", "provider": "google", "operation": "chat", "environment": "production", "user": "u1"}
    return {
        "rounds": [draw(calls(around)) for _ in range(3)],
        "steps": [draw(st.sampled_from(["nothing", "refresh", "backfill", "both"])) for _ in range(3)],
        "prune": around + draw(st.sampled_from([timedelta(days=-1), timedelta(0), timedelta(days=2)])),
        "filters": Filters(
            start=start,
            end=end,
            timezone=zone.key,
            include_tests=draw(st.booleans()),
            include_samples=draw(st.booleans()),
            weekday=draw(st.sampled_from([None, None, around.astimezone(zone).weekday()])),
            hour_of_day=draw(st.sampled_from([None, None, around.astimezone(zone).hour, 1])),
            **{column: values[column] for column in filtered},
        ),
    }


def midnight(time: datetime, zone: ZoneInfo) -> datetime:
    return time.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)


def run_step(store: Store, step: str) -> None:
    if step in {"refresh", "both"}:
        refresh(store.connection, store.table)
    if step in {"backfill", "both"}:
        backfill(store.connection, store.table)


def matching(rows: list[dict[str, Any]], filters: Filters) -> list[dict[str, Any]]:
    return [
        row
        for row in rows
        if filters.start <= row["created_at"] < filters.end
        and (filters.include_tests or not row["is_test"])
        and (filters.include_samples or not is_sample(row))
        and has_clock_time(row["created_at"], filters)
        and all(
            getattr(filters, name) in {None, row[column]}
            for name, column in (
                ("model", "model"),
                ("provider", "provider"),
                ("operation", "operation"),
                ("environment", "environment"),
                ("user", "user_id"),
            )
        )
    ]


def has_clock_time(time: datetime, filters: Filters) -> bool:
    local = time.astimezone(ZoneInfo(filters.timezone))
    return filters.weekday in {None, local.weekday()} and filters.hour_of_day in {None, local.hour}


def label(moment: datetime, filters: Filters) -> pd.Timestamp:
    """The label of the time bucket of a call."""
    wall = pd.Timestamp(moment.astimezone(ZoneInfo(filters.timezone)).replace(tzinfo=None))
    if filters.bucket == "week":
        return wall.normalize() - pd.Timedelta(days=wall.weekday())
    if filters.bucket == "month":
        return wall.normalize().replace(day=1)
    return wall.floor({"minute": "min", "hour": "h", "day": "D"}[filters.bucket])


def priced(rows: list[dict[str, Any]]) -> Decimal | None:
    costs = [row["cost"] for row in rows if row["cost"] is not None]
    return sum(costs, Decimal(0)) if costs else None


def check(store: Store, rows: list[dict[str, Any]], filters: Filters) -> None:
    """Compare each report with the rows."""
    rows = matching(rows, filters)
    check_totals(store, rows, filters)
    check_over_time(store, rows, filters)
    check_users(store, rows, filters)
    check_performance(store, rows, filters)
    check_unpriced(store, rows, filters)
    timed = [row["processing_time"] for row in rows if row["processing_time"] is not None]
    found = latency.by_model(store.reader, filters)
    assert int(found["calls"].sum()) == len(timed)
    assert (float(found["max_ms"].max()) if timed else None) == (float(max(timed)) if timed else None)
    if timed:
        low, high = latency.overall(store.reader, filters).iloc[0][["latency_p50_ms", "latency_p99_ms"]]
        assert low <= high <= max(timed)


def check_totals(store: Store, rows: list[dict[str, Any]], filters: Filters) -> None:
    totals = usage_totals.totals(store.reader, filters)
    assert (totals.calls, totals.failed_calls) == (len(rows), sum(not row["success"] for row in rows))
    assert (totals.total_tokens, totals.input_tokens) == (
        sum(row["total_tokens"] for row in rows),
        sum(row["input_tokens"] for row in rows),
    )
    assert (totals.cost_usd, totals.unpriced_calls) == (priced(rows), sum(row["cost"] is None for row in rows))
    assert usage_totals.users(store.reader, filters) == len({row["user_id"] for row in rows})
    operations = usage_totals.by_operation(store.reader, filters).set_index("operation")["calls"].to_dict()
    assert operations == counted(row["operation"] for row in rows)


def check_unpriced(store: Store, rows: list[dict[str, Any]], filters: Filters) -> None:
    found = unpriced_calls(store.reader, filters)
    assert int(found["unpriced_calls"].sum()) == usage_totals.totals(store.reader, filters).unpriced_calls
    names = ["model", "usage_problem", "usage_source", "reason"]
    answer: dict[Any, int] = defaultdict(int)
    for row in found.to_dict("records"):
        answer[tuple(row[name] if isinstance(row[name], str) else None for name in names)] += int(row["calls"])
    assert answer == counted(reason for row in rows if (reason := unpriced_reason(row)))


def unpriced_reason(row: dict[str, Any]) -> tuple[str | None, ...] | None:
    metadata = json.loads(row["metadata"])
    marks = metadata if isinstance(metadata, dict) else {}
    problem = marks.get("usage_problem")
    if row["cost"] is not None and problem is None:
        return None
    source = marks.get("usage_source") if problem else None
    reason = (row["cost_source"] or "").removeprefix("unpriced ") or None if row["cost"] is None else None
    return row["model"], problem, source, reason


def check_over_time(store: Store, rows: list[dict[str, Any]], filters: Filters) -> None:
    trend = usage_totals.trend(store.reader, filters).assign(users=usage_totals.users_over_time(store.reader, filters))
    assert list(trend.index) == list(bucket_labels(filters))
    by_bucket = defaultdict(list)
    for row in rows:
        by_bucket[label(row["created_at"], filters)].append(row)
    quiet = trend.drop(index=list(by_bucket))
    assert not quiet.to_numpy().any()
    for bucket, members in by_bucket.items():
        found = trend.loc[bucket]
        assert (found["calls"], found["users"]) == (len(members), len({row["user_id"] for row in members}))
        assert found["total_tokens"] == float(sum(row["total_tokens"] for row in members))
    models = usage_totals.by_model_over_time(store.reader, filters)
    found = {(row["bucket"], row["model"]): row["calls"] for row in models.to_dict("records")}
    assert found == counted((label(row["created_at"], filters), row["model"]) for row in rows)


def check_hours(store: Store, rows: list[dict[str, Any]], filters: Filters) -> None:
    found = hour_heatmap.by_hour_and_weekday(store.reader, filters)
    start = max(filters.start, filters.end - timedelta(weeks=hour_heatmap.WEEKS))
    walls = [row["created_at"].astimezone(ZoneInfo(filters.timezone)) for row in rows if row["created_at"] >= start]
    busy = found[found["calls"] > 0]
    assert {(row["weekday"], row["hour"]): row["calls"] for row in busy.to_dict("records")} == counted(
        (wall.weekday(), wall.hour) for wall in walls
    )


def check_users(store: Store, rows: list[dict[str, Any]], filters: Filters) -> None:
    tokens: dict[str, int] = defaultdict(int)
    for row in rows:
        tokens[row["user_id"]] += row["total_tokens"]
    top = usage_totals.top_users(store.reader, filters)
    assert dict(zip(top["user_id"], top["total_tokens"], strict=True)) == tokens
    assert all(sum(trend) == total for trend, total in zip(top["trend"], top["total_tokens"], strict=True))


def check_performance(store: Store, rows: list[dict[str, Any]], filters: Filters) -> None:
    recorded = [row for row in rows if row["delivery"]]
    quality = recording_quality.by_environment(store.reader, filters)
    found = dict(zip(quality["environment"], quality["records"], strict=True))
    assert found == counted(row["environment"] or "unknown" for row in recorded)
    assert int(quality["retries"].sum()) == sum(row["retry_count"] or 0 for row in recorded)
    over_time = recording_quality.connection_time(store.reader, filters)
    assert int(over_time["records"].sum()) == len(recorded)


def counted(keys: Any) -> dict[Any, int]:
    counts: dict[Any, int] = defaultdict(int)
    for key in keys:
        counts[key] += 1
    return dict(counts)


@pytest.mark.usefixtures("alone")
@settings(max_examples=30)
@given(case=cases())
def test_reports_equal_the_rows_in_any_state_of_the_rollups(store: Store, case: dict[str, Any]) -> None:
    store.empty()
    stored: list[dict[str, Any]] = []
    for calls, step in zip(case["rounds"], case["steps"], strict=True):
        store.add(calls)
        stored += calls
        run_step(store, step)
        check(store, stored, case["filters"])
    store.catch_up()
    assert store.differences() == []
    check(store, stored, case["filters"])
    check_hours(store, matching(stored, case["filters"]), case["filters"])


@pytest.mark.usefixtures("alone")
@settings(max_examples=25)
@given(case=cases())
def test_pruning_changes_no_total_and_a_late_row_adds_to_it(store: Store, case: dict[str, Any]) -> None:
    store.empty()
    filters: Filters = case["filters"]
    if not filters.uses_only("model", "provider", "operation", "environment"):
        return  # the rollups have no column for users
    assume(filters.timezone != "Africa/Monrovia")  # its days begin within a 15-minute bucket
    interval_15m = timedelta(minutes=15)
    whole = Filters(
        start=floor(filters.start, interval_15m),
        end=floor(filters.end, interval_15m),
        timezone=filters.timezone,
        include_tests=True,
    )
    until = int(case["prune"].timestamp() // DAY_S * DAY_S)
    # Pruned totals are known per 15-minute bucket: a late row has its minute until the next refresh only.
    assume(whole.bucket != "minute" or whole.start.timestamp() >= until)
    first, second, late = case["rounds"]
    store.add([*first, *second] if first or second else [])
    store.catch_up()
    removed = pruning.prune(store.connection, store.table, until)
    old = [row for row in [*first, *second] if row["created_at"].timestamp() < until]
    assert (removed, store.count("token_usage")) == (len(old), len(first) + len(second) - len(old))
    check(store, [*first, *second], whole)
    store.add(late)
    check(store, [*first, *second, *late], whole)
    store.catch_up()
    check(store, [*first, *second, *late], whole)
    pruning.prune(store.connection, store.table, until)
    check(store, [*first, *second, *late], whole)
    assert store.differences() == []


def floor(moment: datetime, step: timedelta) -> datetime:
    return moment - (moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) % step


@pytest.fixture
def adopted(empty_database_url: str, new_store: Callable[[str], Store]) -> Store:
    """A table that existed before: naive times of Seoul, NULLs, a generated column."""
    run(
        empty_database_url,
        "CREATE TABLE token_usage (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id text, model text,"
        " provider text, operation text, input_tokens integer, output_tokens integer,"
        " total_tokens integer GENERATED ALWAYS AS (input_tokens + output_tokens) STORED, cost double precision,"
        " metadata json, created_at timestamp DEFAULT now())",
    )
    migrate(lambda: connect(empty_database_url), timezone="Asia/Seoul")
    return new_store(empty_database_url)


@pytest.mark.usefixtures("alone")
@settings(max_examples=15)
@given(call_times=st.lists(times(ORDINARY), max_size=8), covered=st.booleans())
def test_reports_of_an_adopted_table_equal_the_rows(adopted: Store, call_times: list[datetime], covered: bool) -> None:
    adopted.empty()
    filters = Filters(start=ORDINARY - timedelta(days=2), end=ORDINARY + timedelta(days=1), timezone="Asia/Kathmandu")
    if covered:
        adopted.catch_up()
    with adopted.connection.cursor() as cursor:
        for number, moment in enumerate(call_times):
            naive = moment.astimezone(ZoneInfo("Asia/Seoul")).replace(tzinfo=None)
            cursor.execute(
                "INSERT INTO token_usage (created_at, input_tokens, output_tokens, cost, user_id, is_test, metadata)"
                " VALUES (%s, 3, 4, %s, %s, NULL, %s)",
                (naive, 0.1 if number % 2 else None, "u" if number % 3 else None, [None, *METADATA][number % 6]),
            )
    expected = [moment for moment in call_times if filters.start <= moment < filters.end]
    for _ in range(2):
        assert usage_totals.totals(adopted.reader, filters).calls == len(expected)
        assert usage_totals.totals(adopted.reader, filters).total_tokens == 7 * len(expected)
        assert usage_totals.trend(adopted.reader, filters)["calls"].sum() == len(expected)
        unpriced = unpriced_calls(adopted.reader, filters)["unpriced_calls"].sum()
        assert unpriced == usage_totals.totals(adopted.reader, filters).unpriced_calls
        adopted.catch_up()
    assert adopted.differences() == []
