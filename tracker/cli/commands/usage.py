"""token-tracker usage: print the usage by any dimensions as a table with bars, or as JSON."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from contextlib import closing
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from tracker.budgets.property_pairs import parse_pair
from tracker.cli import command_setup
from tracker.cli.terminal import print_error
from tracker.cli.usage_table import UsageTable, draw, usd
from tracker.errors import SettingError

if TYPE_CHECKING:
    from tracker.reports import Filters, Reader

FILTERS = ("model", "provider", "operation", "user", "environment")
_NEEDED = ("pandas", "sqlalchemy")
_TABLE_MEASURES = ("calls", "total_tokens", "cost_usd")


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("usage", help="print the usage by model, day, user and others as a table with bars")
    parser.add_argument(
        "--by",
        default="model",
        metavar="NAMES",
        help="dimensions, separated by commas: model, provider, operation, user, environment, platform, deployment,"
        " session, hour, day, week, month, weekday, hour_of_day, metadata.KEY (default: model)",
    )
    parser.add_argument(
        "--last",
        default="30d",
        metavar="RANGE",
        help="24h, 7d (today and the six days before), 2w, today or month (default: 30d)",
    )
    parser.add_argument(
        "--timezone", metavar="ZONE", help="time zone of the days (default: TRACKER_TIMEZONE, else UTC)"
    )
    for name in FILTERS:
        parser.add_argument(f"--{name}", metavar=name[0].upper(), help=f"only calls of this {name}")
    parser.add_argument(
        "--property",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="only calls with this value of a top-level key of metadata, or 'KEY=(not set)'; can be repeated",
    )
    parser.add_argument("--include-tests", action="store_true", help="count test calls, too")
    parser.add_argument("--json", action="store_true", help='one JSON document, {"data": [...]}')
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    require_reports()
    from tracker.reports import Reader
    from tracker.reports.explorer.usage_rows import DEFAULT_MEASURES, check_dimensions, usage_rows

    dimensions = check_dimensions([name.strip() for name in arguments.by.split(",") if name.strip()])
    database = command_setup.locate_database()
    filters = _filters(arguments, database.settings.timezone)
    with closing(Reader(database)) as reader, reader.pin_rollup_state():
        usage = usage_rows(reader, filters, dimensions, DEFAULT_MEASURES if arguments.json else _TABLE_MEASURES)
        if usage.is_cut:
            print_error(f"The result has more rows. These are the {len(usage.rows):,} with the most tokens.")
        if arguments.json:
            print(json.dumps({"data": usage.as_json()}, ensure_ascii=False))
            return 0
        heading = _heading(reader, filters)
    heading += usage.remarks
    _print(UsageTable(usage.dimensions, usage.rows, heading))
    return 0


def require_reports(extra: str = "terminal") -> None:
    """Raise `SettingError` if the packages are missing that the reports need; `extra` installs them."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise SettingError(
            f"This command needs {' and '.join(missing)}. Install them: pip install 'token-usage-tracker[{extra}]'."
        )


def _filters(arguments: argparse.Namespace, default_timezone: str | None) -> Filters:
    from tracker.reports import Filters
    from tracker.reports.explorer.last_range import last_range

    zone = command_setup.check_time_zone(arguments.timezone or default_timezone or "UTC")
    start, end = last_range(arguments.last, zone, datetime.now(UTC))
    columns = {name: getattr(arguments, name) for name in FILTERS}
    pairs = tuple(map(parse_pair, arguments.property))
    return Filters(
        start=start,
        end=end,
        timezone=zone,
        include_tests=arguments.include_tests,
        include_samples=False,
        properties=pairs,
        **columns,
    )


def _heading(reader: Reader, filters: Filters) -> list[str]:
    """The range and the totals, as on the Overview."""
    from tracker.reports import usage_totals

    totals = usage_totals.totals(reader, filters)
    zone = ZoneInfo(filters.timezone)
    start, end = (f"{time.astimezone(zone):%Y-%m-%d %H:%M}" for time in (filters.start, filters.end))
    lines = [f"{start} to {end}, {filters.timezone}"]
    if totals.calls:
        share = f"{100 * totals.failed_calls / totals.calls:.1f}%"
        cost = usd(totals.cost_usd, totals.unpriced_calls)
        lines.append(
            f"Tokens {totals.total_tokens:,}, cost {cost}, calls {totals.calls:,}, errors {share},"
            f" users {usage_totals.users(reader, filters):,}"
        )
    if totals.unpriced_calls:
        lines.append(f"{totals.unpriced_calls:,} calls have no price and are not in the cost (≥).")
    return lines


def _print(table: UsageTable) -> None:
    """Print the table: in colors with rich, if standard output is a terminal that has colors."""
    is_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if is_terminal else None
    lines = draw(table, width, sys.stdout.encoding or "ascii")
    has_colors = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    if has_colors and find_spec("rich") is not None:
        from tracker.cli.rich_output import print_colored

        print_colored(lines)
        return
    for line in lines:
        print("".join(text for text, _ in line).rstrip())
