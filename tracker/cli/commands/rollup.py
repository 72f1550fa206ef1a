"""token-tracker rollup: bring the rollups up to date, check them against the rows, or make them anew."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing, suppress
from datetime import UTC, date, datetime
from typing import Any

from tracker.cli import command_setup
from tracker.database.connect import Connection
from tracker.database.publications import set_replica_identities
from tracker.database.schema import Table
from tracker.errors import DatabaseError, SettingError
from tracker.rollups import refresh
from tracker.rollups.rollup_state import require_write_access
from tracker.rollups.verify import verify

_MOST_NAMED = 1000


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("rollup", help="bring the rollups up to date, check them, or make them anew")
    parser.add_argument(
        "--verify", action="store_true", help="compare every figure with the rows; exit 1 if one differs"
    )
    parser.add_argument(
        "--rebuild", action="store_true", help="make every figure anew, as after rows were changed by hand"
    )
    parser.add_argument("--since", metavar="DATE", help="with --verify or --rebuild: from this day of UTC on")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    since = _day(arguments.since) if arguments.since else None
    if since is not None and not (arguments.verify or arguments.rebuild):
        raise SettingError("--since belongs to --verify or --rebuild.")
    database = command_setup.database()
    with closing(database.connect()) as connection:
        table = command_setup.table(connection, database.url.schema)
        require_write_access(connection, table)
        set_replica_identities(connection, table.schema)
        if arguments.rebuild:
            bar = command_setup.Bar("rebuilt")
            days = refresh.rebuild(connection, table, since, bar.show)
            bar.end()
            print(f"Rebuilt {days} days.")
        else:
            bar = command_setup.Bar("covered")
            made = refresh.catch_up(connection, table, bar.show)
            bar.end()
            print(f"Up to date: {made} buckets made anew.")
        with suppress(DatabaseError):  # what is asked for here are the sums
            command_setup.check_budgets(connection, database)
        return _verify(connection, table, since) if arguments.verify else 0


def _verify(connection: Connection, table: Table, since: int | None) -> int:
    bar = command_setup.Bar("compared")
    differences = 0
    for difference in verify(connection, table, since, bar.show):
        differences += 1
        if differences <= _MOST_NAMED:
            print(difference)
    bar.end()
    if not differences:
        print("Every figure agrees with the rows.")
        return 0
    more = f" ({differences - _MOST_NAMED} more than are named)" if differences > _MOST_NAMED else ""
    print(
        f"token-tracker: {differences} figures differ from the rows{more}."
        " Make them anew: token-tracker rollup --rebuild.",
        file=sys.stderr,
    )
    return 1


def _day(text: str) -> int:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise SettingError(f"--since holds {text[:60]!r}; it may hold a day such as 2026-03-01.") from None
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
