"""Measures reports of users from both user rollups, and from user days plus the rows of incomplete days.

    python -m tests.benchmarks.user_rollups [--rows 3000000] [--days 7 30 90] [--database-url URL]

Medians of interleaved warm runs. The alternative reads whole UTC days from the user day rollup and the remaining parts
of the range from `token_usage`, so it needs neither the second table nor its arrays of 15-minute buckets.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from unittest.mock import patch
from zoneinfo import ZoneInfo

from tests.benchmarks.common import interleaved, median, print_table
from tests.benchmarks.reports import prepare
from tests.benchmarks.servers import database, server, timed_ms
from tracker.reports import Filters, Reader, usage_totals
from tracker.reports.engine import query_rollups
from tracker.rollups.range_plan import RangePlan, Segment, plan_range
from tracker.rollups.rollup_state import RollupState
from tracker.rollups.rollup_tables import BUCKET_MINUTES

ZONES = ("UTC", "Asia/Kolkata")
REPORTS = {
    "users": usage_totals.users,
    "users by day": usage_totals.users_over_time,
    "top users": usage_totals.top_users,
}


def whole_days_only(segments: Sequence[Segment], state: RollupState | None) -> RangePlan:
    """The plan of the range with rows instead of hours and 15-minute buckets."""
    plan = plan_range(segments, state)
    narrow = RangePlan(plan.segments)
    parts = [(part.start_us, part.until_us, part.step) for part in plan.rows]
    for buckets in plan.rollups:
        if buckets.minutes == BUCKET_MINUTES[-1]:
            narrow.add_buckets(buckets)
        elif buckets.generation == 0:  # the database has no pruned rows
            parts.append((buckets.start_us, buckets.until_us, buckets.step))
    for start_us, until_us, step in sorted(parts):
        narrow.add_rows_only(start_us, until_us, step)
    return narrow


@contextmanager
def narrow_plans() -> Iterator[None]:
    """Use the alternative plan in this block."""
    with patch.object(query_rollups, "plan_range", whole_days_only):
        yield


def last_days(days: int, zone: str) -> Filters:
    """The last days of a time zone, today included."""
    today = datetime.now(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    return Filters(start=today - timedelta(days=days - 1), end=today + timedelta(days=1), timezone=zone)


def measure(reader: Reader, filters: Filters, rounds: int) -> Iterator[tuple[str, float, float]]:
    """Each report's name, and its time (ms) with both rollups and with the alternative plan."""
    for name, report in REPORTS.items():

        def both(report: Callable[[Reader, Filters], object] = report) -> float:
            return timed_ms(lambda: report(reader, filters))

        def narrow(both: Callable[[], float] = both) -> float:
            with narrow_plans():
                return both()

        both(), narrow()
        times_both, times_narrow = interleaved(rounds, both, narrow)
        yield name, median(times_both), median(times_narrow)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--days", type=int, nargs="+", default=[7, 30, 90])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--database-url")
    arguments = parser.parse_args()
    lines = []
    with server(arguments.database_url) as url, database(url, "user_rollups") as target:
        prepare(target, arguments.rows)
        with closing(Reader(target)) as reader:
            reader._refresher.stop()  # no refresh during the runs
            for zone in ZONES:
                for days in arguments.days:
                    for name, both_ms, narrow_ms in measure(reader, last_days(days, zone), arguments.rounds):
                        ratio = f"{narrow_ms / both_ms:.1f}"
                        lines.append((zone, str(days), name, f"{both_ms:.0f}", f"{narrow_ms:.0f}", ratio))
    print_table(["time zone", "days", "report", "both rollups, ms", "user days and rows, ms", "ratio"], lines)


if __name__ == "__main__":
    main()
