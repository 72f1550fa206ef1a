"""token-tracker reconcile: compare a provider's bill with the recorded sums, by day and model."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from tracker.cli import command_setup
from tracker.cli.commands.import_file import parse_pairs
from tracker.cli.terminal import print_error, terminal_text
from tracker.errors import SettingError
from tracker.importing.input_file import InputFile
from tracker.importing.metadata_rules import property_key
from tracker.importing.profile import Profile, bundled_profiles, find_profile
from tracker.importing.profile_rules import ColumnRule
from tracker.reconcile.bill_comparison import ComparedTotal, compare_bill
from tracker.reconcile.provider_bill import COLUMNS, Bill, model_key, read_bill

_MAX_PRINTED = 200


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "reconcile", help="compare a provider's bill with the recorded sums and print the differences"
    )
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "--profile",
        metavar="NAME",
        help="format of the file: " + ", ".join(bundled_profiles()) + ", or a saved profile",
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="COLUMN=HEADER",
        help="read COLUMN from the file's column HEADER; COLUMN is metadata.KEY or one of: " + ", ".join(COLUMNS),
    )
    parser.add_argument("--timezone", metavar="ZONE", help="time zone of the bill's days (default UTC)")
    parser.add_argument(
        "--provider", metavar="NAME", help="compare only calls of this provider (default the profile's)"
    )
    parser.add_argument(
        "--alias", action="append", default=[], metavar="THEIRS=OURS", help="a model with another name on the bill"
    )
    parser.add_argument(
        "--tolerance", type=float, default=1.0, metavar="PERCENT", help="difference to ignore (default 1)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if not 0 <= arguments.tolerance <= 100:
        raise SettingError(f"--tolerance is {arguments.tolerance}; use a percentage from 0 to 100.")
    profile = _profile(arguments)
    aliases = {model_key(theirs): model_key(ours) for theirs, ours in parse_pairs("--alias", arguments.alias).items()}
    with InputFile(arguments.file, newline="") as file:
        bill = read_bill(file, profile, aliases, frozenset(parse_pairs("--map", arguments.map)))
    database = command_setup.locate_database()
    with closing(database.connect()) as connection:
        table = command_setup.read_usage_table(connection, database.url.schema)
        provider = arguments.provider or profile.constants.get("provider")
        totals = compare_bill(connection, table, bill, profile.timezone, provider)
    differing = [total for total in totals if not total.agrees(arguments.tolerance / 100)]
    if arguments.json:
        _print_json(arguments, profile, bill, totals, differing)
    else:
        _print(arguments, bill, totals, differing)
    for line, reason in bill.rejected[:_MAX_PRINTED]:
        print_error(f"line {line}: {reason}")
    return 1 if differing or bill.rejected else 0


def _profile(arguments: argparse.Namespace) -> Profile:
    profile = find_profile(arguments.profile) if arguments.profile else Profile("")
    mapping = parse_pairs("--map", arguments.map)
    if unknown := next((column for column in mapping if column not in COLUMNS and not property_key(column)), None):
        raise SettingError(f"A bill has no column {unknown[:60]!r}; it may have: {', '.join(COLUMNS)}, metadata.KEY.")
    given = {column: ColumnRule(first=(header,)) for column, header in mapping.items()}
    zone = command_setup.check_time_zone(arguments.timezone or profile.timezone)
    return replace(profile, mapping={**profile.mapping, **given}, timezone=zone)


def _print(
    arguments: argparse.Namespace, bill: Bill, totals: list[ComparedTotal], differing: list[ComparedTotal]
) -> None:
    if differing:
        print(f"{'day':<10} {'model':<34} {'figure':<13} {'bill':>18} {'ours':>18} {'ours − bill':>18} {'':>7}")
    for total in differing[:_MAX_PRINTED]:
        note = "".join(f"  {key}={terminal_text(value)}" for key, value in total.properties.items())
        note += f"  {total.unpriced_calls:,} calls without a price" if total.unpriced_calls else ""
        print(
            f"{total.day} {terminal_text(total.model)[:34]:<34} {total.measure:<13} {_number(total.billed):>18}"
            f" {_number(total.recorded):>18} {_number(total.difference):>18} {total.share:>7.1%}{note}"
        )
    if len(differing) > _MAX_PRINTED:
        print(f"… and {len(differing) - _MAX_PRINTED} more (--json has all)")
    for name in bill.measures:
        theirs, ours = _total(totals, name)
        print(f"{name}: {_number(theirs)} on the bill, {_number(ours)} here.")
    agreeing = len(totals) - len(differing)
    print(f"{agreeing} of {len(totals)} figures agree within {arguments.tolerance:g} %.")


def _print_json(
    arguments: argparse.Namespace,
    profile: Profile,
    bill: Bill,
    totals: list[ComparedTotal],
    differing: list[ComparedTotal],
) -> None:
    days = bill.days
    document = {
        "timezone": profile.timezone,
        "first_day": str(days[0]) if days else None,
        "last_day": str(days[-1]) if days else None,
        "tolerance_percent": arguments.tolerance,
        "differences": [
            {
                "day": str(total.day),
                "model": total.model,
                **({"properties": dict(total.properties)} if total.properties else {}),
                "figure": total.measure,
                "bill": format(total.billed, "f"),
                "ours": format(total.recorded, "f"),
                "difference": format(total.difference, "f"),
                "share": round(total.share, 6),
                "unpriced_calls": total.unpriced_calls,
            }
            for total in differing
        ],
        "agreeing": len(totals) - len(differing),
        "totals": {
            name: dict(zip(("bill", "ours"), (format(total, "f") for total in _total(totals, name)), strict=True))
            for name in bill.measures
        },
        "rejected": [{"line": line, "reason": reason} for line, reason in bill.rejected],
    }
    print(json.dumps(document, ensure_ascii=False, indent=2))


def _total(totals: list[ComparedTotal], name: str) -> tuple[Decimal, Decimal]:
    selected = [total for total in totals if total.measure == name]
    return sum((one.billed for one in selected), Decimal(0)), sum((one.recorded for one in selected), Decimal(0))


def _number(value: Decimal) -> str:
    return f"{value:,.0f}" if value == value.to_integral_value() else f"{value:,.6f}"
