"""token-tracker migrate: create the table token_usage, or upgrade an existing one."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from tracker.cli import command_setup
from tracker.database.migrate import AmbiguousTableError, migrate


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("migrate", help="create token_usage, or upgrade an existing table")
    parser.add_argument("--dry-run", action="store_true", help="print the SQL and change nothing")
    parser.add_argument(
        "--timezone",
        metavar="ZONE",
        help="time zone of an existing table's times without zone (IANA name; default UTC)",
    )
    parser.set_defaults(run=run)


def _ask_schema(error: AmbiguousTableError) -> str:
    """The schema that the user chooses at the prompt. Raises the error for any other input."""
    print(error, file=sys.stderr)
    answer = input(f"Which one ({', '.join(error.schemas)})? ").strip()
    if answer not in error.schemas:
        raise error
    print(f"Add schema={answer} to DATABASE_URL, so that recording uses it too.", file=sys.stderr)
    return answer


def run(arguments: argparse.Namespace) -> int:
    zone = command_setup.check_time_zone(arguments.timezone) if arguments.timezone else None
    database = command_setup.locate_database()
    try:
        result = migrate(database.connect, database.url.schema, dry_run=arguments.dry_run, timezone=zone)
    except AmbiguousTableError as error:
        if not sys.stdin.isatty():
            raise
        result = migrate(database.connect, _ask_schema(error), dry_run=arguments.dry_run, timezone=zone)
    if arguments.dry_run:
        print("\n".join(result.statements) or "-- Nothing to do.")
    else:
        print("\n".join(f"Applied {name}." for name in result.applied) or "Nothing to do: the schema is up to date.")
    for remark in result.remarks:
        print(("-- " if arguments.dry_run else "Note: ") + remark)
    return 0
