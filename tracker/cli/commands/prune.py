"""token-tracker prune: delete old rows; their sums remain in the rollups and in every chart."""

from __future__ import annotations

import argparse
import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from tracker.cli import command_setup
from tracker.database.publications import require_replica_identity, set_replica_identities
from tracker.errors import SettingError
from tracker.rollups import refresh
from tracker.rollups.prune import PrunableRows, count_prunable, prune
from tracker.rollups.rollup_state import require_write_access

_AGE = re.compile(r"([0-9]{1,5})([dw])\Z")


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("prune", help="delete old rows; their sums remain")
    parser.add_argument("--older-than", required=True, metavar="AGE", help="whole days or weeks, such as 90d or 12w")
    parser.add_argument("--dry-run", action="store_true", help="print what would be deleted and change nothing")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    until = _until(arguments.older_than)
    database = command_setup.locate_database()
    with closing(database.connect()) as connection:
        table = command_setup.read_usage_table(connection, database.url.schema)
        candidates = count_prunable(connection, table, until)
        if arguments.dry_run or not candidates.calls:
            print(f"{candidates.calls} records are older{_span(candidates)}. Nothing was removed.")
            return 0
        require_write_access(connection, table)
        set_replica_identities(connection, table.schema)
        require_replica_identity(connection, table.schema)
        bar = command_setup.ProgressBar("covered")
        refresh.catch_up(connection, table, bar.show)
        bar.end()
        progress = command_setup.ProgressCounter("records removed")
        removed = prune(connection, table, until, progress.show)
        progress.end()
    print(f"Removed {removed} records{_span(candidates)}; their sums remain.")
    return 0


def _span(candidates: PrunableRows) -> str:
    """The first and last day of the rows, in parentheses."""
    if candidates.first_at is None or candidates.last_at is None:
        return ""
    return f" ({candidates.first_at.astimezone(UTC):%Y-%m-%d} to {candidates.last_at.astimezone(UTC):%Y-%m-%d})"


def _until(age: str) -> int:
    """The start of the first UTC day that is kept, in epoch seconds."""
    match = _AGE.match(age)
    days = int(match[1]) * (7 if match[2] == "w" else 1) if match else 0
    if not days or days > 36_500:
        raise SettingError(f"--older-than is {age[:60]!r}; use whole days or weeks, such as 90d or 12w.")
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return int((today - timedelta(days=days)).timestamp())
