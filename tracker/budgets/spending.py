"""Reads the usage of budgets from rollups, and from rows where the rollups are not up to date."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tracker.budgets.budget import Budget, BudgetWindow
from tracker.budgets.progress import Spent
from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.database.sql_file import load
from tracker.rollups import user_range_plan
from tracker.rollups.range_plan import RangePlan, Segment, epoch_us, plan_range
from tracker.rollups.rollup_state import RollupState, read_access, read_state

_QUERIES = "tracker.budgets.sql"
_Calls = tuple[BudgetWindow, bool]
"""The calls that a budget counts: its window, and whether it counts the sample calls instead of the app's."""


def read_spending(connection: Connection, table: Table, windows: Sequence[tuple[Budget, BudgetWindow]]) -> list[Spent]:
    """The usage of each budget in its window, with one or two queries per window. Raises `DatabaseError`."""
    state = read_state(connection, table) if read_access(connection, table).reads else None
    by_call: dict[_Calls, list[tuple[Any, Any, Spent]]] = {}
    by_user: dict[_Calls, dict[str, Spent]] = {}
    for counted in {(window, budget.is_sample) for budget, window in windows}:
        budgets = [budget for budget, window in windows if (window, budget.is_sample) == counted]
        if any(budget.scope != "user" for budget in budgets):
            by_call[counted] = list(_by_call(connection, table, counted, state))
        if users := sorted({budget.subject or "" for budget in budgets if budget.scope == "user"}):
            by_user[counted] = _by_user(connection, table, counted, state, users)
    return [
        by_user[window, budget.is_sample].get(budget.subject or "", Spent())
        if budget.scope == "user"
        else _sum_for(budget, by_call.get((window, budget.is_sample), []))
        for budget, window in windows
    ]


def read_property_spending(connection: Connection, table: Table, budget: Budget, window: BudgetWindow) -> Spent:
    """The usage of the calls with the properties of a budget, from the rows. Raises `DatabaseError`."""
    given = {
        "start": window.start,
        "end": window.end,
        "samples": budget.is_sample,
        "property_keys": [key for key, _ in budget.properties],
        "property_values": [value for _, value in budget.properties],
    }
    ((tokens, usd, unpriced_calls),) = _query(connection, table, "spent_by_properties", None, given)
    return Spent(tokens, usd, unpriced_calls)


def _sum_for(budget: Budget, spending: Iterable[tuple[Any, Any, Spent]]) -> Spent:
    """The sum of the rows (model, operation, spent) that count for the budget."""
    key = {"model": 0, "operation": 1}.get(budget.scope)
    matching = (row[2] for row in spending if key is None or row[key] == budget.subject)
    return sum(matching, start=Spent())


def _plan(window: BudgetWindow, state: RollupState | None) -> RangePlan:
    return plan_range([Segment(epoch_us(window.start), epoch_us(window.end), 0)], state)


def _by_call(
    connection: Connection, table: Table, counted: _Calls, state: RollupState | None
) -> Iterator[tuple[Any, Any, Spent]]:
    given = {**_plan(counted[0], state).parameters(), "samples": counted[1]}
    for model, operation, *totals in _query(connection, table, "spent", state, given):
        yield model, operation, Spent(*totals)


def _by_user(
    connection: Connection, table: Table, counted: _Calls, state: RollupState | None, users: list[str]
) -> dict[str, Spent]:
    window, samples = counted
    given = {**user_range_plan.parameters(_plan(window, state)), "users": users, "samples": samples}
    return {user: Spent(*totals) for user, *totals in _query(connection, table, "spent_by_user", state, given)}


def _query(
    connection: Connection, table: Table, name: str, state: RollupState | None, given: dict[str, Any]
) -> list[tuple[Any, ...]]:
    query = load(_QUERIES, name)
    text = (query if state else query.rows_only).for_driver(table)
    return execute(connection, text, {**given, "created_at_zone": table.created_at_zone})[1]
