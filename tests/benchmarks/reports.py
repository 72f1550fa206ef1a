"""Measures the reports at 1 M and 5 M rows, and the same queries of the rows in plain SQL.

    python -m tests.benchmarks.reports [--rows 1000000 5000000] [--database-url URL]

Medians of five warm runs over the last 30 of 90 days, in days of Asia/Kolkata, on an embedded server with default
settings. A run is a complete report: read the rollup state, run the query, create the frame.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from tests.benchmarks.common import print_table
from tests.benchmarks.servers import database, server, timed_ms
from tracker.audit.change_log import COMMAND_LINE
from tracker.database.connect import Connection, execute
from tracker.database.locate import Database
from tracker.database.schema import read_table
from tracker.reports import Filters, Reader, hour_heatmap, latency, recording_quality, usage_totals
from tracker.reports.explorer.explorer_measures import LATENCY, measure_by
from tracker.reports.explorer.explorer_query import explore
from tracker.reports.unpriced_usage import unpriced_calls
from tracker.rollups import property_keys, refresh, rollup_tables

ZONE = "Asia/Kolkata"
PROPERTIES = ("team", "tags")
_TAGS = """CASE jsonb_typeof(metadata -> 'tags') WHEN 'array'
    THEN ARRAY(SELECT DISTINCT jsonb_array_elements_text(metadata -> 'tags')) ELSE ARRAY[metadata ->> 'tags'] END"""
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
    "p95, errors, cache by model and day": f"""SELECT date_trunc('day', created_at, '{ZONE}'), model, count(*),
        count(*) FILTER (WHERE success IS FALSE)::float8 / count(*),
        sum(cache_read_input_tokens)::float8 / nullif(sum(input_tokens), 0),
        percentile_cont(0.95) WITHIN GROUP (ORDER BY processing_time)
        FROM token_usage WHERE {RANGE} GROUP BY 1, 2""",
    "teams": f"""SELECT metadata ->> 'team', count(*), sum(total_tokens), sum(cost)
        FROM token_usage WHERE {RANGE} GROUP BY 1""",
    "teams by model": f"""SELECT metadata ->> 'team', model, count(*), sum(total_tokens), sum(cost)
        FROM token_usage WHERE {RANGE} GROUP BY 1, 2""",
    "tags by day": f"""SELECT tag, date_trunc('day', created_at, '{ZONE}'), count(*), sum(total_tokens), sum(cost)
        FROM token_usage CROSS JOIN LATERAL unnest({_TAGS}) AS tags (tag) WHERE {RANGE} GROUP BY 1, 2""",
    "models of a team by day": f"""SELECT date_trunc('day', created_at, '{ZONE}'), model, count(*), sum(total_tokens),
        sum(cost) FROM token_usage WHERE {RANGE} AND metadata ->> 'team' = 'team 3' GROUP BY 1, 2""",
    "connection p50/p95 by day": f"""SELECT date_trunc('day', created_at, '{ZONE}'), environment,
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY connection_ms), sum(retry_count)
        FROM token_usage WHERE {RANGE} AND delivery IS NOT NULL GROUP BY 1, 2""",
}


def reports(reader: Reader, filters: Filters) -> dict[str, Callable[[], Any]]:
    """The reports from rollups, and two reports that read rows by an index."""
    one_user = Filters(start=filters.start, end=filters.end, timezone=ZONE, user="user_2048")
    one_team = replace(filters, properties=(("team", "team 3"),))
    return {
        "totals": lambda: usage_totals.totals(reader, filters),
        "trend by day": lambda: usage_totals.trend(reader, filters),
        "models by day": lambda: usage_totals.by_model_over_time(reader, filters),
        "operations": lambda: usage_totals.by_operation(reader, filters),
        "unpriced calls by reason": lambda: unpriced_calls(reader, filters),
        "users": lambda: usage_totals.users(reader, filters),
        "users by day": lambda: usage_totals.users_over_time(reader, filters),
        "top users": lambda: usage_totals.top_users(reader, filters),
        "latency p50/p95/p99": lambda: latency.by_model(reader, filters),
        "p95, errors, cache by model and day": lambda: _explorer_measures(reader, filters),
        "teams": lambda: explore(reader, filters, "metadata.team"),
        "teams by model": lambda: explore(reader, filters, "metadata.team", "model"),
        "tags by day": lambda: explore(reader, filters, "metadata.tags", "day"),
        "models of a team by day": lambda: usage_totals.by_model_over_time(reader, one_team),
        "connection p50/p95 by day": lambda: recording_quality.connection_time(reader, filters),
        "hours of the week": lambda: hour_heatmap.by_hour_and_weekday(reader, filters),
        "last 50 records": lambda: usage_totals.last_records(reader, filters, 50),
        "one user, models by day": lambda: usage_totals.by_model_over_time(reader, one_user),
    }


def _explorer_measures(reader: Reader, filters: Filters) -> list[Any]:
    cells = explore(reader, filters, "model", "day", latency=True)
    return [measure_by(cells, name, ["row_name", "column_name"]) for name in (LATENCY, "error_rate", "cached_share")]


def prepare(target: Database, rows: int) -> dict[str, str]:
    """Fill a database; return the costs of build, refresh and disk space by name."""
    with closing(target.connect()) as connection:
        insertion = (Path(__file__).parent / "calls.sql").read_text(encoding="utf-8")
        execute(connection, insertion.replace(":rows", str(rows)))
        execute(connection, "VACUUM ANALYZE token_usage", alone=True)
        table = read_table(connection)
        build_ms = timed_ms(lambda: refresh.catch_up(connection, table))
        for name in rollup_tables.ALL:
            execute(connection, f"VACUUM ANALYZE {name}", alone=True)
        costs = _maintenance(connection, table, build_ms) | _disk(connection, rows)
        costs |= _index_properties(connection, table)
        # As with an open dashboard and concurrent inserts: all rows except the newest are in the rollups.
        refresh.catch_up(connection, table)
        _insert_calls(connection, 20, apart_s=1)
        return costs


def _insert_calls(connection: Connection, count: int, apart_s: int) -> None:
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
        _insert_calls(connection, 1000, apart_s=10)
        refreshes.append(timed_ms(lambda: refresh.refresh(connection, table)))
    refresh_ms = median(refreshes)
    return {
        "full build, s": f"{build_ms / 1000:.0f}",
        "refresh after 1,000 calls of the last 3 hours, ms": f"{refresh_ms:.0f}",
        "of a full build": f"1/{build_ms / refresh_ms:.0f}",
    }


def _index_properties(connection: Connection, table: Any) -> dict[str, str]:
    """Index the properties; return what the index costs."""
    property_keys.choose_keys(connection, table, PROPERTIES, COMMAND_LINE)
    backfill_ms = timed_ms(lambda: refresh.catch_up(connection, table))
    name = rollup_tables.PROPERTY.table
    execute(connection, f"VACUUM ANALYZE {name}", alone=True)
    _, sizes = execute(connection, f"SELECT pg_total_relation_size('{name}') / 1e6")
    refreshes = []
    for _ in range(5):
        _insert_calls(connection, 1000, apart_s=10)
        refreshes.append(timed_ms(lambda: refresh.refresh(connection, table)))
    return {
        "backfill of two properties, s": f"{backfill_ms / 1000:.0f}",
        "their rollup, MB": f"{sizes[0][0]:.0f}",
        "the same refresh with two properties, ms": f"{median(refreshes):.0f}",
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
        f"bytes per row: {kind}, their indexes": f"{table_bytes / rows:.0f}, {index_bytes / rows:.0f}"
        for kind, table_bytes, index_bytes in sizes
    }


def measure(databases: Sequence[Database], rounds: int = 5) -> dict[str, list[float]]:
    """Milliseconds of each report in each database, then of the plain SQL in the last one.

    The runs of one report are consecutive, so that other load on the machine affects them equally.
    """
    today = datetime.now(ZoneInfo(ZONE)).replace(hour=0, minute=0, second=0, microsecond=0)
    filters = Filters(start=today - timedelta(days=29), end=today + timedelta(days=1), timezone=ZONE)
    readers = [Reader(target) for target in databases]
    for reader in readers:
        reader._refresher.stop()  # no refresh during the runs
    times: dict[str, list[float]] = {}
    with closing(databases[-1].connect()) as connection:
        for name in reports(readers[0], filters):
            work: list[Callable[[], Any]] = [reports(reader, filters)[name] for reader in readers]
            if name in PLAIN:
                work.append(partial(execute, connection, PLAIN[name], {"start": filters.start, "end": filters.end}))
            # The first run warms the operating system's cache; shared_buffers is smaller than the table.
            times[name] = [median([timed_ms(run) for _ in range(rounds + 1)][1:]) for run in work]
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
        costs = [prepare(target, rows) for target, rows in zip(databases, arguments.rows, strict=True)]
        times = measure(databases)
    heads = [f"{rows:,} rows" for rows in arguments.rows]
    lines = [
        (name, *(f"{ms:.1f}" for ms in report_ms), *_comparison(report_ms, rows_ms))
        for name, report_ms, rows_ms in _split(times, len(heads))
    ]
    print()
    print_table(["query", *(f"{head}, ms" for head in heads), "from rows, ms", "ratio", "growth"], lines)
    print()
    print_table(["", *heads], [(name, *(cost[name] for cost in costs)) for name in costs[0]])


def _split(times: dict[str, list[float]], sizes: int) -> Iterator[tuple[str, list[float], list[float]]]:
    for name, times_ms in times.items():
        yield name, times_ms[:sizes], times_ms[sizes:]


def _comparison(report_ms: list[float], rows_ms: list[float]) -> tuple[str, str, str]:
    growth = f"{report_ms[-1] / report_ms[0]:.2f}"
    return (f"{rows_ms[0]:,.0f}", f"1/{rows_ms[0] / report_ms[-1]:.0f}", growth) if rows_ms else ("–", "–", growth)


if __name__ == "__main__":
    main()
