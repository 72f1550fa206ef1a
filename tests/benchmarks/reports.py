"""How fast are the reports at 1 M and 5 M rows, beside the same question asked of the rows in plain SQL?

    python -m tests.benchmarks.reports [--rows 1000000 5000000] [--database-url URL]

Medians of five warm calls, the last 30 of 90 days, days of Asia/Kolkata, on an embedded server with PostgreSQL's own
settings. Each call is a report's whole time: looking the rollups up, asking, and making the frame.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from tests.benchmarks.common import print_table
from tests.benchmarks.servers import database, server, timed_ms
from tracker.database.connect import Connection, execute
from tracker.database.locate import Database
from tracker.database.schema import read_table
from tracker.reports import Filters, Reader, hour_heatmap, latency, recording_quality, usage_totals
from tracker.reports.unpriced_usage import unpriced_calls
from tracker.rollups import refresh, rollup_tables

ZONE = "Asia/Kolkata"
RANGE = "created_at >= %(start)s AND created_at < %(end)s AND is_test IS NOT TRUE"
PLAIN = {
    "totals": f"""SELECT count(*), count(*) FILTER (WHERE success IS FALSE), sum(total_tokens),
        sum(input_tokens), sum(output_tokens), sum(cost), count(*) FILTER (WHERE cost IS NULL)
        FROM token_usage WHERE {RANGE}""",
    "trend by day": f"""SELECT date_trunc('day', created_at, '{ZONE}'), count(*),
        count(*) FILTER (WHERE success IS FALSE), sum(total_tokens), sum(cost)
        FROM token_usage WHERE {RANGE} GROUP BY 1""",
    "models by day": f"""SELECT date_trunc('day', created_at, '{ZONE}'), model, count(*), sum(total_tokens),
        sum(input_tokens), sum(output_tokens), sum(cost), count(*) FILTER (WHERE cost IS NULL)
        FROM token_usage WHERE {RANGE} GROUP BY 1, 2""",
    "operations": f"""SELECT operation, count(*), sum(total_tokens), sum(cost), avg(cost)
        FROM token_usage WHERE {RANGE} GROUP BY 1""",
    "users": f"SELECT count(DISTINCT user_id) FROM token_usage WHERE {RANGE}",
    "users by day": f"""SELECT date_trunc('day', created_at, '{ZONE}'), count(DISTINCT user_id)
        FROM token_usage WHERE {RANGE} GROUP BY 1""",
    "top users": f"""WITH spans AS (
            SELECT user_id, date_trunc('day', created_at, '{ZONE}') AS day, count(*) AS calls,
                   sum(total_tokens) AS tokens, sum(cost) AS cost
            FROM token_usage WHERE {RANGE} GROUP BY 1, 2)
        SELECT user_id, sum(calls), sum(tokens), sum(cost), jsonb_object_agg(day, tokens)
        FROM spans GROUP BY 1 ORDER BY 3 DESC LIMIT 8""",
    "latency p50/p95/p99": f"""SELECT model, percentile_cont(ARRAY[0.5, 0.95, 0.99])
        WITHIN GROUP (ORDER BY processing_time) FROM token_usage WHERE {RANGE} GROUP BY 1""",
    "hours of the week": f"""SELECT extract(isodow FROM created_at AT TIME ZONE '{ZONE}'),
        extract(hour FROM created_at AT TIME ZONE '{ZONE}'), count(*), sum(total_tokens)
        FROM token_usage WHERE {RANGE} GROUP BY 1, 2""",
    "connection p50/p95 by day": f"""SELECT date_trunc('day', created_at, '{ZONE}'), environment,
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY connection_ms), sum(retry_count)
        FROM token_usage WHERE {RANGE} AND delivery IS NOT NULL GROUP BY 1, 2""",
}


def questions(reader: Reader, asked: Filters) -> dict[str, Callable[[], Any]]:
    """The reports, and what only rows can answer, from an index."""
    one_user = Filters(start=asked.start, end=asked.end, timezone=ZONE, user="user_2048")
    return {
        "totals": lambda: usage_totals.totals(reader, asked),
        "trend by day": lambda: usage_totals.trend(reader, asked),
        "models by day": lambda: usage_totals.by_model_over_time(reader, asked),
        "operations": lambda: usage_totals.by_operation(reader, asked),
        "unpriced calls by reason": lambda: unpriced_calls(reader, asked),
        "users": lambda: usage_totals.users(reader, asked),
        "users by day": lambda: usage_totals.users_over_time(reader, asked),
        "top users": lambda: usage_totals.top_users(reader, asked),
        "latency p50/p95/p99": lambda: latency.by_model(reader, asked),
        "connection p50/p95 by day": lambda: recording_quality.connection_time(reader, asked),
        "hours of the week": lambda: hour_heatmap.by_hour_and_weekday(reader, asked),
        "last 50 records": lambda: usage_totals.last_records(reader, asked, 50),
        "one user, models by day": lambda: usage_totals.by_model_over_time(reader, one_user),
    }


def prepare(found: Database, rows: int) -> dict[str, str]:
    """Fill a database; what build, refresh and disk cost, by name."""
    with closing(found.connect()) as connection:
        question = (Path(__file__).parent / "calls.sql").read_text(encoding="utf-8")
        execute(connection, question.replace(":rows", str(rows)))
        execute(connection, "VACUUM ANALYZE token_usage", alone=True)
        table = read_table(connection)
        build_ms = timed_ms(lambda: refresh.catch_up(connection, table))
        for name in rollup_tables.ALL:
            execute(connection, f"VACUUM ANALYZE {name}", alone=True)
        costs = _maintenance(connection, table, build_ms) | _disk(connection, rows)
        # As while a dashboard is open and calls come in: all but the last ones are added up.
        refresh.catch_up(connection, table)
        _calls(connection, 20, apart_s=1)
        return costs


def _calls(connection: Connection, count: int, apart_s: int) -> None:
    execute(
        connection,
        "INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens, created_at, user_id)"
        " SELECT 'gemini-2.5-flash', 1, 2, 3, now() - n * make_interval(secs => %s), 'user_' || n"
        " FROM generate_series(1, %s) AS n",
        (apart_s, count),
    )


def _maintenance(connection: Connection, table: Any, build_ms: float) -> dict[str, str]:
    refreshes = []
    for _ in range(5):
        _calls(connection, 1000, apart_s=10)
        refreshes.append(timed_ms(lambda: refresh.refresh(connection, table)))
    middle = median(refreshes)
    return {
        "full build, s": f"{build_ms / 1000:.0f}",
        "refresh after 1,000 calls of the last 3 hours, ms": f"{middle:.0f}",
        "of a full build": f"1/{build_ms / middle:.0f}",
    }


def _disk(connection: Connection, rows: int) -> dict[str, str]:
    _, sizes = execute(
        connection,
        "SELECT CASE WHEN relname = 'token_usage' THEN 'rows' ELSE 'rollups' END, sum(pg_table_size(oid))::bigint,"
        " sum(pg_indexes_size(oid))::bigint FROM pg_class WHERE relkind = 'r'"
        " AND (relname = 'token_usage' OR relname = ANY (%s)) GROUP BY 1 ORDER BY 1 DESC",
        (list(rollup_tables.ALL),),
    )
    return {
        f"bytes a row: {what}, their indexes": f"{table_bytes / rows:.0f}, {index_bytes / rows:.0f}"
        for what, table_bytes, index_bytes in sizes
    }


def measure(databases: Sequence[Database], rounds: int = 5) -> dict[str, list[float]]:
    """Milliseconds of each report in each database, then of the plain SQL in the last.

    One after the other, question by question, so that what else the machine does hits neighbours alike.
    """
    today = datetime.now(ZoneInfo(ZONE)).replace(hour=0, minute=0, second=0, microsecond=0)
    asked = Filters(start=today - timedelta(days=29), end=today + timedelta(days=1), timezone=ZONE)
    readers = [Reader(found) for found in databases]
    for reader in readers:
        reader._refresher._stopped = True  # each answer stands for itself
    times: dict[str, list[float]] = {}
    with closing(databases[-1].connect()) as connection:
        for name in questions(readers[0], asked):
            work: list[Callable[[], Any]] = [questions(reader, asked)[name] for reader in readers]
            if name in PLAIN:
                work.append(partial(execute, connection, PLAIN[name], {"start": asked.start, "end": asked.end}))
            # The first call warms up: PostgreSQL's own cache is smaller than the table.
            times[name] = [median([timed_ms(one) for _ in range(rounds + 1)][1:]) for one in work]
    for reader in readers:
        reader.close()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 5_000_000])
    parser.add_argument("--database-url")
    arguments = parser.parse_args()
    with server(arguments.database_url) as url, ExitStack() as stack:
        databases = [stack.enter_context(database(url, f"reports_{rows}")) for rows in arguments.rows]
        costs = [prepare(found, rows) for found, rows in zip(databases, arguments.rows, strict=True)]
        times = measure(databases)
    heads = [f"{rows:,} rows" for rows in arguments.rows]
    lines = [
        (name, *(f"{ms:.1f}" for ms in own), *_beside(own, plain)) for name, own, plain in _split(times, len(heads))
    ]
    print()
    print_table(["question", *(f"{head}, ms" for head in heads), "the same of the rows, ms", "ratio", "growth"], lines)
    print()
    print_table(["", *heads], [(name, *(cost[name] for cost in costs)) for name in costs[0]])


def _split(times: dict[str, list[float]], sizes: int) -> Iterator[tuple[str, list[float], list[float]]]:
    for name, found_ms in times.items():
        yield name, found_ms[:sizes], found_ms[sizes:]


def _beside(own: list[float], plain: list[float]) -> tuple[str, str, str]:
    growth = f"{own[-1] / own[0]:.2f}"
    return (f"{plain[0]:,.0f}", f"1/{plain[0] / own[-1]:.0f}", growth) if plain else ("–", "–", growth)


if __name__ == "__main__":
    main()
