"""token-tracker budget: set limits per day or month, list their state, and check them from cron."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from decimal import Decimal, InvalidOperation
from typing import Any

from tracker.budgets import budget_store
from tracker.budgets.budget import ALERT_PERCENT, PERIODS, SCOPES, Budget
from tracker.budgets.evaluate import BudgetCheck, evaluate_budgets
from tracker.budgets.progress import BudgetState, describe_budget
from tracker.budgets.property_pairs import parse_pair, to_subject
from tracker.cli import command_setup
from tracker.cli.terminal import print_error, terminal_text
from tracker.errors import SettingError


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("budget", help="limits per day or month: set, list, check, remove")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_set(actions)
    listed = actions.add_parser("list", help="list the state of each budget; sends no alert")
    checked = actions.add_parser("check", help="for cron: send due alerts, exit 1 if a limit is reached")
    for action, run in ((listed, _list), (checked, _check)):
        action.add_argument("--json", action="store_true", help="one JSON document on standard output")
        action.set_defaults(run=run)
    removed = actions.add_parser("remove", help="remove a budget")
    removed.add_argument("name", metavar="NAME")
    removed.set_defaults(run=_remove)


def _add_set(actions: Any) -> None:
    parser = actions.add_parser("set", help="set a budget, or change the budget with this name")
    parser.add_argument("name", metavar="NAME")
    limit = parser.add_mutually_exclusive_group(required=True)
    limit.add_argument("--tokens", metavar="N", help="at most this many tokens")
    limit.add_argument("--usd", metavar="AMOUNT", help="at most this many US dollars")
    parser.add_argument("--per", required=True, choices=PERIODS, help="a day, or a calendar month")
    scope_group = parser.add_mutually_exclusive_group()
    for scope in ("user", "model", "operation"):
        scope_group.add_argument(f"--{scope}", metavar=scope[0].upper(), help=f"only this {scope} (default: all calls)")
    scope_group.add_argument(
        "--property",
        action="append",
        metavar="KEY=VALUE",
        help="only calls with this property (a key of metadata); repeatable: all of them must match",
    )
    parser.add_argument(
        "--alert-at",
        type=command_setup.parse_int,
        default=ALERT_PERCENT,
        metavar="PERCENT",
        help=f"send the first alert at this share of the limit (default {ALERT_PERCENT}); the second is sent at 100",
    )
    parser.add_argument(
        "--timezone", default="UTC", metavar="ZONE", help="time zone of the days and months (default UTC)"
    )
    parser.set_defaults(run=_set)


def _set(arguments: argparse.Namespace) -> int:
    scope = next((scope for scope in SCOPES[1:] if getattr(arguments, scope) is not None), "everybody")
    subject = None if scope == "everybody" else getattr(arguments, scope)
    if scope == "property":
        subject = to_subject(map(parse_pair, arguments.property))
    measure = "usd" if arguments.tokens is None else "tokens"
    budget = Budget(
        name=arguments.name,
        scope=scope,
        subject=subject,
        period=arguments.per,
        measure=measure,
        amount=_amount(measure, getattr(arguments, measure)),
        alert_percent=arguments.alert_at,
        timezone=command_setup.check_time_zone(arguments.timezone),
    )
    database = command_setup.locate_database()
    with closing(database.connect()) as connection:
        access = budget_store.read_access(connection, database.url.schema)
        budget_store.require_readable(access)
        new = budget_store.save(connection, access, budget)
    print(f"{'Set' if new else 'Changed'} budget {budget.name!r}.")
    return 0


def _amount(measure: str, text: str) -> Decimal:
    plain = text.replace(",", "").replace("_", "")
    try:
        return Decimal(int(plain)) if measure == "tokens" else Decimal(plain)
    except (ValueError, InvalidOperation):
        kind = "a whole number" if measure == "tokens" else "a number"
        raise SettingError(f"--{measure} is {text[:60]!r}; use {kind} such as 1000000.") from None


def _remove(arguments: argparse.Namespace) -> int:
    database = command_setup.locate_database()
    with closing(database.connect()) as connection:
        access = budget_store.read_access(connection, database.url.schema)
        budget_store.require_readable(access)
        was_removed = budget_store.remove(connection, access, arguments.name)
    if not was_removed:
        print_error(f"There is no budget {arguments.name!r}.")
        return 1
    print(f"Removed budget {arguments.name!r}.")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    database = command_setup.locate_database()
    with closing(database.connect()) as connection:
        budget_store.require_readable(budget_store.read_access(connection, database.url.schema))
        checked = evaluate_budgets(connection, database.url.schema)
    _show(checked, as_json=arguments.json)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    database = command_setup.locate_database()
    with closing(database.connect()) as connection:
        budget_store.require_readable(budget_store.read_access(connection, database.url.schema))
        checked = command_setup.check_budgets(connection, database)
    _show(checked, as_json=arguments.json)
    return 1 if any(state.full and not state.budget.is_sample for state in checked.states) else 0


def _show(checked: BudgetCheck, *, as_json: bool) -> None:
    if as_json:
        document = {"budgets": [_document(state) for state in checked.states], "remarks": checked.remarks}
        print(json.dumps({**document, "alerts_sent": checked.sent}, ensure_ascii=False, indent=2))
        return
    for state in checked.states:
        print(terminal_text(describe_budget(state)))
    if not checked.states:
        print("There is no budget. Set one: token-tracker budget set NAME --usd 100 --per month.")
    if checked.sent:
        print(f"Alerts sent: {checked.sent}.")
    for remark in checked.remarks:
        print_error(remark)


def _document(state: BudgetState) -> dict[str, Any]:
    budget, forecast = state.budget, state.forecast
    return {
        "name": budget.name,
        "scope": budget.scope,
        "subject": None if budget.properties else budget.subject,
        "properties": [{"key": key, "value": value} for key, value in budget.properties],
        "period": budget.period,
        "timezone": budget.timezone,
        "measure": budget.measure,
        "limit": format(budget.amount, "f"),
        "used": format(state.used, "f"),
        "share": round(state.share, 6),
        "forecast": None if forecast is None else format(round(forecast, 6), "f"),
        "reached_percent": state.reached,
        "unpriced_calls": state.spent.unpriced_calls,
        "window_start": state.window.start.isoformat(),
        "window_end": state.window.end.isoformat(),
        "from_usage_thresholds": not budget.own,
        "is_sample": budget.is_sample,
    }
