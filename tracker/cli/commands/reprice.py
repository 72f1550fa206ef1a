"""token-tracker reprice: set the costs of calls by today's price list, and say why calls have no price."""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Any

from tracker import settings
from tracker.cli import command_setup
from tracker.cli.terminal import print_error, terminal_text
from tracker.database.connect import Connection
from tracker.database.publications import require_replica_identity, set_replica_identities
from tracker.database.schema import read_table
from tracker.errors import DatabaseError, SettingError
from tracker.prices import custom_prices, reprice
from tracker.prices.price_catalog import PriceCatalog
from tracker.prices.unpriced_calls import scope_since
from tracker.prices.unpriced_reasons import describe_reason
from tracker.rollups import refresh


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("reprice", help="set the costs of calls by today's price list; given costs stay")
    parser.add_argument("--since", metavar="DATE", help="only calls from this day on (UTC), such as 2026-01-31")
    parser.add_argument(
        "--replace-zero-costs",
        action="store_true",
        help="also replace a given cost of 0 of calls with tokens that the list has a price for",
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would change and change nothing")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    since = _day(arguments.since) if arguments.since else None
    book = PriceCatalog(custom_prices.load(settings.load().prices))
    database = command_setup.database()
    scope = scope_since(since, zero_costs=arguments.replace_zero_costs)
    with closing(database.connect()) as connection, tempfile.TemporaryFile("w+", encoding="utf-8") as changes:
        progress = command_setup.Progress("calls")
        found = reprice.plan(connection, database.url.schema, book, changes, scope, progress=progress.show)
        progress.end()
        _print_sums(found)
        _print_reasons(found)
        for remark in found.remarks:
            print_error(remark)
        if arguments.dry_run:
            print(f"{found.changed:,} calls would change; nothing was written.{_others(found, 'would get')}")
            return 0
        schema = read_table(connection, database.url.schema).schema
        if found.has_changes:
            require_replica_identity(connection, schema)
            with suppress(DatabaseError):  # the sums are brought up to date afterwards, by whoever may
                set_replica_identities(connection, schema)
        written = reprice.apply(connection, database.url.schema, found)
        print(f"{found.changed:,} calls changed.{_others(found, 'got')}")
        if written:
            _refresh(connection, database.url.schema)
    return 0


def _others(found: reprice.RepricePlan, got: str) -> str:
    """The changes that are not costs."""
    counts = f" {found.corrected:,} calls {got} corrected counts." if found.corrected else ""
    reasons = f" {found.explained:,} calls without a price {got} the reason." if found.explained else ""
    return counts + reasons


def _refresh(connection: Connection, schema: str | None) -> None:
    """Bring the sums up to date now; what can't be done here the next reader does, since they are marked."""
    try:
        refresh.wait_for_visibility(connection, read_table(connection, schema))
    except DatabaseError as error:
        print(f"The rollups are refreshed at the next read. {error}", file=sys.stderr)


def _print_sums(found: reprice.RepricePlan) -> None:
    """One line for each model: the sums before and after, and how many calls have no price."""
    print(f"{'model':<44} {'calls':>10} {'changed':>10} {'old USD':>16} {'new USD':>16}")
    for (provider, model), sums in sorted(found.sums.items(), key=lambda item: (-item[1].new, item[0])):
        note = f"  {sums.unpriced:,} without a price" if sums.unpriced else ""
        name = _model(provider, model)
        print(f"{name:<44} {sums.calls:>10,} {sums.changed:>10,} {sums.old:>16,.6f} {sums.new:>16,.6f}{note}")


def _print_reasons(found: reprice.RepricePlan) -> None:
    """One line for each model and reason, those with the most calls first."""
    lines = [
        (calls, _model(provider, model), describe_reason(reason))
        for (provider, model), sums in found.sums.items()
        for reason, calls in sums.reasons.items()
    ]
    if lines:
        print("\nwithout a price:")
    for calls, name, text in sorted(lines, key=lambda line: (-line[0], line[1:])):
        print(f"{name:<44} {calls:>10,}  {terminal_text(text)}")
    if lines:
        print()


def _model(provider: str, model: str) -> str:
    name = terminal_text(f"{provider}/{model}" if provider else model)
    return name if len(name) <= 44 else name[:43] + "…"


def _day(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingError(f"--since holds {text[:60]!r}; it may hold a day such as 2026-01-31.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
