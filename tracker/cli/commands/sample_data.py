"""token-tracker sample-data: add sample data to an empty database, or remove it."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from typing import Any

from tracker.cli import command_setup
from tracker.errors import SettingError
from tracker.maintenance import sample_data


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("sample-data", help="fill an empty dashboard with removable sample data")
    parser.add_argument(
        "--days",
        type=command_setup.parse_int,
        default=sample_data.DEFAULT_DAYS,
        metavar="N",
        help=f"how far back (1 to {sample_data.MAX_DAYS}; default {sample_data.DEFAULT_DAYS})",
    )
    parser.add_argument("--force", action="store_true", help="also if the database contains real calls")
    parser.add_argument("--remove", action="store_true", help="remove all sample data, and nothing else")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if not 1 <= arguments.days <= sample_data.MAX_DAYS:
        raise SettingError(f"--days is {arguments.days}; use a whole number from 1 to {sample_data.MAX_DAYS}.")
    database = command_setup.locate_database()
    with closing(database.connect()) as connection:
        if arguments.remove:
            print(f"Removed {sample_data.remove(connection, database.url.schema)} sample calls.")
            return 0
        if not arguments.force and sample_data.has_real_calls(connection, database.url.schema):
            print(
                f"token-tracker: {database.url.label} contains real calls, and sample calls would be mixed with them."
                " Use --force to add them anyway.",
                file=sys.stderr,
            )
            return 1
        bar = command_setup.ProgressBar("loaded")
        count = sample_data.add(connection, database.url.schema, days=arguments.days, progress=bar.show)
        bar.end()
    print(f"Added {count} sample calls. Remove all sample data: token-tracker sample-data --remove")
    return 0
