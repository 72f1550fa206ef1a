"""What was used in windows of time, of rollups and rows together: right however far a refresh got."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tracker.budgets.budget import Budget, Window
from tracker.budgets.progress import Spent
from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.database.sql_file import load
from tracker.rollups import user_range_plan
from tracker.rollups.range_plan import RangePlan, Segment, epoch_us, plan_range
from tracker.rollups.rollup_state import RollupState, read_access, read_state

_QUERIES = "tracker.budgets.sql"
_TIMEOUT_S = 15


@contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """A transaction that only reads and sees one moment; its limits end with it, behind a transaction pooler too."""
    execute(
        connection,
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
        f" SET LOCAL statement_timeout = '{_TIMEOUT_S}s'; SET LOCAL jit = off",
    )
    try:
        yield
    finally:
        if not connection.closed:
            execute(connection, "ROLLBACK")


def spent(connection: Connection, table: Table, asked: Sequence[tuple[Budget, Window]]) -> list[Spent]:
    """What was used of each budget in its window, one question a window. Raises `DatabaseError`."""
    state = read_state(connection, table) if read_access(connection, table).reads else None
    by_call: dict[Window, list[tuple[Any, Any, Spent]]] = {}
    by_user: dict[Window, dict[str, Spent]] = {}
    for window in {window for _, window in asked}:
        here = [budget for budget, its in asked if its == window]
        if any(budget.scope != "user" for budget in here):
            by_call[window] = list(_by_call(connection, table, window, state))
        if users := sorted({budget.subject or "" for budget in here if budget.scope == "user"}):
            by_user[window] = _by_user(connection, table, window, state, users)
    return [
        by_user[window].get(budget.subject or "", Spent())
        if budget.scope == "user"
        else _of(budget, by_call.get(window, []))
        for budget, window in asked
    ]


def _of(budget: Budget, used: Iterable[tuple[Any, Any, Spent]]) -> Spent:
    place = {"model": 0, "operation": 1}.get(budget.scope)
    fitting = (found[2] for found in used if place is None or found[place] == budget.subject)
    return sum(fitting, start=Spent())


def _plan(window: Window, state: RollupState | None) -> RangePlan:
    return plan_range([Segment(epoch_us(window.start), epoch_us(window.end), 0)], state)


def _by_call(
    connection: Connection, table: Table, window: Window, state: RollupState | None
) -> Iterator[tuple[Any, Any, Spent]]:
    given = _plan(window, state).parameters()
    for model, operation, *figures in _ask(connection, table, "spent", state, given):
        yield model, operation, Spent(*figures)


def _by_user(
    connection: Connection, table: Table, window: Window, state: RollupState | None, users: list[str]
) -> dict[str, Spent]:
    given = {**user_range_plan.parameters(_plan(window, state)), "users": users}
    return {user: Spent(*figures) for user, *figures in _ask(connection, table, "spent_by_user", state, given)}


def _ask(
    connection: Connection, table: Table, question: str, state: RollupState | None, given: dict[str, Any]
) -> list[tuple[Any, ...]]:
    query = load(_QUERIES, question)
    text = (query if state else query.rows_only).for_driver(table)
    return execute(connection, text, {**given, "created_at_zone": table.created_at_zone})[1]
