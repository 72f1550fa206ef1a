"""token-tracker what-if: what the recorded calls cost at the current list prices of other models."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tracker import settings
from tracker.budgets.property_pairs import parse_pair
from tracker.cli import command_setup
from tracker.cli.terminal import terminal_text
from tracker.errors import SettingError
from tracker.messages import Message
from tracker.prices import custom_prices
from tracker.prices.price_sources import load_catalog
from tracker.prices.what_if_models import MAX_MODELS, find_model

if TYPE_CHECKING:
    from tracker.reports import Filters, Reader
    from tracker.reports.costs.what_if import Comparison, PricedCalls, WhatIfReport

TIME_LIMIT_S = 60.0
_FILTERS = ("provider", "operation", "user", "environment")


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("what-if", help="what the calls cost at the current list prices of other models")
    parser.add_argument(
        "--model",
        action="append",
        required=True,
        metavar="MODEL",
        help=f"a model to compare with, such as gpt-5-mini or groq/llama-3.3-70b-versatile; at most {MAX_MODELS} times",
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
    parser.add_argument("--used-model", metavar="MODEL", help="only calls of this model (default: all calls)")
    for name in _FILTERS:
        parser.add_argument(f"--{name}", metavar=name[0].upper(), help=f"only calls of this {name}")
    parser.add_argument(
        "--property",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="only calls with this value of a top-level key of metadata; several must all match",
    )
    parser.add_argument("--include-tests", action="store_true", help="include test calls")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    names = list(dict.fromkeys(arguments.model))
    if len(names) > MAX_MODELS:
        raise SettingError(Message("prices.what_if.too_many_models", limit=MAX_MODELS))
    prices = settings.load().prices
    custom_prices.load(prices)  # an invalid file is reported before any connection
    reader, filters = _open_reader(arguments, now)
    with closing(reader):
        from tracker.reports.costs.what_if import what_if

        with reader.borrow() as connection:
            catalog = load_catalog(connection, reader.database.url.schema, prices)
        models = [find_model(catalog, name, now) for name in names]
        report = what_if(reader, filters, catalog, models, now, time_limit_s=TIME_LIMIT_S)
    if arguments.json:
        print(json.dumps(_document(report, filters), ensure_ascii=False, indent=2))
    else:
        _print(report, arguments.last)
    return 0


def _open_reader(arguments: argparse.Namespace, now: datetime) -> tuple[Reader, Filters]:
    try:
        from tracker.reports import Filters, Reader
        from tracker.reports.explorer.last_range import last_range
    except ImportError as error:
        raise SettingError(
            f"token-tracker what-if needs the extras dashboard and prices ({error.name} is not installed): pip install"
            ' "token-usage-tracker[dashboard,prices]".'
        ) from None
    database = command_setup.locate_database()
    zone = command_setup.check_time_zone(arguments.timezone or database.settings.timezone or "UTC")
    start, end = last_range(arguments.last, zone, now)
    columns = {name: getattr(arguments, name) for name in _FILTERS}
    filters = Filters(
        start=start,
        end=end,
        timezone=zone,
        model=arguments.used_model,
        include_tests=arguments.include_tests,
        include_samples=False,
        properties=tuple(map(parse_pair, arguments.property)),
        **columns,
    )
    return Reader(database), filters


def _print(report: WhatIfReport, length: str) -> None:
    print(f"Calls of the last {length}: {report.calls:,} calls, {report.tokens:,} tokens.")
    for remark in _remarks(report):
        print(remark)
    print(f"\n{'cost of the calls':<44} {'calls':>12} {'USD':>18}")
    print(f"{'as recorded':<44} {report.recorded_calls:>12,} {_usd(report.recorded_usd):>18}")
    print(f"{'at the current prices of their own models':<44} {report.own.calls:>12,} {_usd(report.own.usd):>18}")
    print(f"\n{'model':<34} {'calls':>12} {'USD':>18} {'own, today':>18} {'difference':>18} {'':>8}")
    for entry in report.models:
        compared = entry.repriced
        print(
            f"{_short(entry.model.name):<34} {compared.calls:>12,} {_usd(compared.usd):>18}"
            f" {_usd(compared.own_usd):>18} {_usd(compared.difference_usd):>18} {_change(compared):>8}"
        )
    _print_gaps(report)
    print(
        "\nOther models divide the same text into another number of tokens, and may write longer or shorter outputs:"
        " this is the price of the same token counts."
    )


def _remarks(report: WhatIfReport) -> Sequence[str]:
    remarks = []
    if report.oldest_at is not None:
        remarks.append(
            f"The time limit of {TIME_LIMIT_S:.0f} s ended the comparison: only the newest {report.calls:,} of"
            f" {report.range_calls:,} calls, since {report.oldest_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, are included."
        )
    if report.pruned_calls:
        remarks.append(f"{report.pruned_calls:,} calls were pruned and are not included.")
    return remarks


def _print_gaps(report: WhatIfReport) -> None:
    if uncosted := report.calls - report.recorded_calls:
        print(f"\n{uncosted:,} calls have no recorded cost.")
    lines = [("own model", gap) for gap in report.own.gaps]
    lines += [(entry.model.name, gap) for entry in report.models for gap in entry.priced.gaps]
    if lines:
        print("\nwithout a price, so not compared:")
    for name, (reason, calls, tokens) in lines:
        print(f"{_short(name):<34} {calls:>12,} calls {tokens:>16,} tokens  {terminal_text(reason)}")


def _short(name: str) -> str:
    text = terminal_text(name)
    return text if len(text) <= 34 else text[:33] + "…"


def _usd(amount: Decimal) -> str:
    return f"{amount:,.6f}"


def _change(comparison: Comparison) -> str:
    return "" if comparison.change is None else f"{comparison.change:+.1%}"


def _document(report: WhatIfReport, filters: Filters) -> dict[str, Any]:
    return {
        "start": filters.start.isoformat(),
        "end": filters.end.isoformat(),
        "priced_at": report.at.isoformat(),
        "is_complete": report.is_complete,
        "oldest_compared_at": report.oldest_at.isoformat() if report.oldest_at else None,
        "calls": report.calls,
        "calls_of_range": report.range_calls,
        "pruned_calls": report.pruned_calls,
        "tokens": report.tokens,
        "recorded": {
            "calls": report.recorded_calls,
            "usd": format(report.recorded_usd, "f"),
            "calls_without_cost": report.calls - report.recorded_calls,
        },
        "own_models_today": _priced(report.own),
        "models": [
            {
                "model": entry.model.name,
                **_priced(entry.priced),
                "versus_own_today": _compared(entry.repriced),
                "versus_recorded": _compared(entry.recorded),
            }
            for entry in report.models
        ],
        "note": "Other models count tokens differently; this is the price of the same token counts.",
    }


def _priced(priced: PricedCalls) -> dict[str, Any]:
    gaps = [
        {"calls": calls, "tokens": tokens, "code": reason.code, "reason": reason}
        for reason, calls, tokens in priced.gaps
    ]
    return {"calls": priced.calls, "usd": format(priced.usd, "f"), "not_compared": gaps}


def _compared(comparison: Comparison) -> dict[str, Any]:
    return {
        "calls": comparison.calls,
        "own_usd": format(comparison.own_usd, "f"),
        "usd": format(comparison.usd, "f"),
        "difference_usd": format(comparison.difference_usd, "f"),
        "change": None if comparison.change is None else round(comparison.change, 6),
    }
