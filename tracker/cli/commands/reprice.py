"""token-tracker reprice: recompute costs with the current price list, and report why calls have no price."""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import closing, suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tracker import settings
from tracker.cli import command_setup
from tracker.cli.terminal import print_error, terminal_text
from tracker.database.connect import Connection
from tracker.database.publications import require_replica_identity, set_replica_identities
from tracker.database.schema import read_table
from tracker.errors import DatabaseError, SettingError
from tracker.prices import custom_prices, reprice
from tracker.prices.price_sources import load_catalog
from tracker.prices.unpriced_calls import scope_since
from tracker.prices.unpriced_reasons import describe_reason
from tracker.rollups import refresh


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("reprice", help="recompute costs with the current price list; provided costs are kept")
    parser.add_argument("--since", metavar="DATE", help="only calls since this day (UTC), such as 2026-01-31")
    parser.add_argument(
        "--replace-zero-costs",
        action="store_true",
        help="also replace a provided cost of 0 if the call has tokens and the list has a price",
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would change and change nothing")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    since = _day(arguments.since) if arguments.since else None
    prices = settings.load().prices
    custom_prices.load(prices)  # an invalid file is reported before any connection
    database = command_setup.locate_database()
    scope = scope_since(since, zero_costs=arguments.replace_zero_costs)
    with closing(database.connect()) as connection, tempfile.TemporaryFile("w+", encoding="utf-8") as changes:
        catalog = load_catalog(connection, database.url.schema, prices)
        progress = command_setup.ProgressCounter("calls")
        repricing = reprice.plan(connection, database.url.schema, catalog, changes, scope, progress=progress.show)
        progress.end()
        _print_sums(repricing)
        _print_reasons(repricing)
        for remark in repricing.remarks:
            print_error(remark)
        if arguments.dry_run:
            others = _other_changes(repricing, "would get")
            print(f"{repricing.changed:,} calls would change; nothing was written.{others}")
            return 0
        schema = read_table(connection, database.url.schema).schema
        if repricing.has_changes:
            require_replica_identity(connection, schema)
            with suppress(DatabaseError):  # the rollups are then refreshed by a role with more rights
                set_replica_identities(connection, schema)
        written = reprice.apply(connection, database.url.schema, repricing)
        print(f"{repricing.changed:,} calls changed.{_other_changes(repricing, 'got')}")
        if written:
            _refresh(connection, database.url.schema)
    return 0


def _other_changes(repricing: reprice.RepricePlan, got: str) -> str:
    """A sentence on corrected counts and stored reasons, which are not changes of costs."""
    counts = f" {repricing.corrected:,} calls {got} corrected counts." if repricing.corrected else ""
    reasons = f" {repricing.explained:,} calls without a price {got} the reason." if repricing.explained else ""
    return counts + reasons


def _refresh(connection: Connection, schema: str | None) -> None:
    """Refresh the rollups now; on an error, the next reader refreshes them, since they are marked dirty."""
    try:
        refresh.wait_for_visibility(connection, read_table(connection, schema))
    except DatabaseError as error:
        print(f"The rollups are refreshed at the next read. {error}", file=sys.stderr)


def _print_sums(repricing: reprice.RepricePlan) -> None:
    """One line for each model: the sums before and after, "-" without a cost, and how many calls have no price."""
    print(f"{'model':<44} {'calls':>10} {'changed':>10} {'old USD':>16} {'new USD':>16}")
    for (provider, model), sums in sorted(repricing.sums.items(), key=lambda item: (-(item[1].new or 0), item[0])):
        note = f"  {sums.unpriced:,} without a price" if sums.unpriced else ""
        name = _model(provider, model)
        old, new = _usd(sums.old), _usd(sums.new)
        print(f"{name:<44} {sums.calls:>10,} {sums.changed:>10,} {old:>16} {new:>16}{note}")


def _usd(cost: Decimal | None) -> str:
    """The cost with six digits after the point, or "-" if no call has one."""
    return "-" if cost is None else f"{cost:,.6f}"


def _print_reasons(repricing: reprice.RepricePlan) -> None:
    """One line for each model and reason, those with the most calls first."""
    lines = [
        (calls, _model(provider, model), describe_reason(reason))
        for (provider, model), sums in repricing.sums.items()
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
        day = datetime.fromisoformat(text)
    except ValueError:
        raise SettingError(f"--since is {text[:60]!r}; use a day such as 2026-01-31.") from None
    return day if day.tzinfo else day.replace(tzinfo=UTC)
