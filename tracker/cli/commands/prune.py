"""token-tracker prune: remove old rows; what they added up to stays in every chart."""

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
    parser = commands.add_parser("prune", help="remove old rows; their sums stay")
    parser.add_argument("--older-than", required=True, metavar="AGE", help="whole days or weeks, such as 90d or 12w")
    parser.add_argument("--dry-run", action="store_true", help="say what would go and change nothing")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    until = _until(arguments.older_than)
    database = command_setup.database()
    with closing(database.connect()) as connection:
        table = command_setup.table(connection, database.url.schema)
        found = count_prunable(connection, table, until)
        if arguments.dry_run or not found.calls:
            print(f"{found.calls} records are older{_span(found)}. Nothing was removed.")
            return 0
        require_write_access(connection, table)
        set_replica_identities(connection, table.schema)
        require_replica_identity(connection, table.schema)
        bar = command_setup.Bar("covered")
        refresh.catch_up(connection, table, bar.show)
        bar.end()
        progress = command_setup.Progress("records removed")
        removed = prune(connection, table, until, progress.show)
        progress.end()
    print(f"Removed {removed} records{_span(found)}; their sums stay.")
    return 0


def _span(found: PrunableRows) -> str:
    if found.first_at is None or found.last_at is None:
        return ""
    return f" ({found.first_at.astimezone(UTC):%Y-%m-%d} to {found.last_at.astimezone(UTC):%Y-%m-%d})"


def _until(age: str) -> int:
    """The beginning of the first day of UTC that stays."""
    match = _AGE.match(age)
    days = int(match[1]) * (7 if match[2] == "w" else 1) if match else 0
    if not days or days > 36_500:
        raise SettingError(f"--older-than holds {age[:60]!r}; it may hold whole days or weeks, such as 90d or 12w.")
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return int((today - timedelta(days=days)).timestamp())
