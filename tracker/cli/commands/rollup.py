"""token-tracker rollup: refresh the rollups, verify them against the rows, or rebuild them."""

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
from tracker.rollups import property_keys, refresh
from tracker.rollups.rollup_state import require_write_access
from tracker.rollups.verify import verify

_MAX_PRINTED = 1000


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("rollup", help="refresh the rollups, verify them, or rebuild them")
    parser.add_argument("--verify", action="store_true", help="compare every sum with the rows; exit 1 if one differs")
    parser.add_argument(
        "--rebuild", action="store_true", help="rebuild every sum, for example after rows were changed by hand"
    )
    parser.add_argument("--since", metavar="DATE", help="with --verify or --rebuild: since this UTC day")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    since = _day(arguments.since) if arguments.since else None
    if since is not None and not (arguments.verify or arguments.rebuild):
        raise SettingError("--since requires --verify or --rebuild.")
    database = command_setup.locate_database()
    with closing(database.connect()) as connection:
        table = command_setup.read_usage_table(connection, database.url.schema)
        require_write_access(connection, table)
        set_replica_identities(connection, table.schema)
        property_keys.apply_setting(connection, table, database.settings.properties)
        if arguments.rebuild:
            bar = command_setup.ProgressBar("rebuilt")
            days = refresh.rebuild(connection, table, since, bar.show)
            bar.end()
            print(f"Rebuilt {days} days.")
        else:
            bar = command_setup.ProgressBar("covered")
            refreshed = refresh.catch_up(connection, table, bar.show)
            bar.end()
            print(f"Up to date: {refreshed} buckets refreshed.")
        with suppress(DatabaseError):  # the rollups are done; a failed budget check must not fail the command
            command_setup.check_budgets(connection, database)
        return _verify(connection, table, since) if arguments.verify else 0


def _verify(connection: Connection, table: Table, since: int | None) -> int:
    bar = command_setup.ProgressBar("compared")
    differences = 0
    for difference in verify(connection, table, since, bar.show):
        differences += 1
        if differences <= _MAX_PRINTED:
            print(difference)
    bar.end()
    if not differences:
        print("Every sum agrees with the rows.")
        return 0
    more = f" ({differences - _MAX_PRINTED} are not printed)" if differences > _MAX_PRINTED else ""
    print(
        f"token-tracker: {differences} sums differ from the rows{more}. Rebuild them: token-tracker rollup --rebuild.",
        file=sys.stderr,
    )
    return 1


def _day(text: str) -> int:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise SettingError(f"--since is {text[:60]!r}; use a day such as 2026-03-01.") from None
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
