"""Look at every budget, and tell once what was reached: by whoever is first to enter it in the database."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tracker.budgets import budget_store
from tracker.budgets.budget import FULL
from tracker.budgets.budget_store import ALERTS
from tracker.budgets.progress import BudgetState, describe_budget
from tracker.budgets.spending import snapshot, spent
from tracker.database.connect import Connection, execute
from tracker.database.schema import quote, read_table
from tracker.platforms import Runtime
from tracker.redaction import redact

TYPE = "token_budget_reached"
Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class BudgetCheck:
    """How the budgets stand, the fullest first, and what kept others from being looked at."""

    states: list[BudgetState]
    remarks: list[str]
    sent: int = 0


def evaluate_budgets(connection: Connection, schema: str | None, now: datetime | None = None) -> BudgetCheck:
    """How all budgets stand, without telling anybody. Raises `DatabaseError`."""
    access = budget_store.read_access(connection, schema)
    return _states(connection, access, now or datetime.now(UTC))


def _states(connection: Connection, access: budget_store.BudgetAccess, now: datetime) -> BudgetCheck:
    found = budget_store.read(connection, access)
    if not found.budgets:
        return BudgetCheck([], found.remarks)
    table = read_table(connection, access.schema)
    asked = [(budget, budget.window(now)) for budget in found.budgets]
    with snapshot(connection):
        used = spent(connection, table, asked)
    states = [BudgetState(budget, window, what, now) for (budget, window), what in zip(asked, used, strict=True)]
    return BudgetCheck(sorted(states, key=lambda state: -state.share), found.remarks)


def send_due_alerts(
    connection: Connection,
    schema: str | None,
    runtime: Runtime,
    tell: Tell,
    now: datetime | None = None,
    *,
    claimers_only: bool = False,
) -> BudgetCheck:
    """Look at all budgets and `tell` each alert that nobody has told yet. Raises `DatabaseError`.

    An alert is told at most once a window and threshold: a process that ends between entering and telling it takes it
    along. A role that may not enter it tells nothing, since others may have; with `claimers_only` it doesn't look.
    """
    access = budget_store.read_access(connection, schema)
    if claimers_only and not access.claims:
        return BudgetCheck([], [])
    checked = _states(connection, access, now or datetime.now(UTC))
    if not access.claims:
        remarks = [f"No alert can go out from here: {remedy}" for remedy in access.remedies]
        return BudgetCheck(checked.states, checked.remarks + remarks)
    due = _claimed(connection, access.schema, checked.states)
    for state, reached in due:
        tell(alert(state, reached, runtime))
    return BudgetCheck(checked.states, checked.remarks, len(due))


def _claimed(connection: Connection, schema: str, states: list[BudgetState]) -> list[tuple[BudgetState, int]]:
    """Enter all that is reached, in one statement; what is ours to tell: of each budget the highest that is new.

    Whoever enters the same rows at once does so in the same order, so that nobody waits in a circle.
    """
    entries = [
        {
            "budget": state.budget.name,
            "period": state.budget.period,
            "window_start": state.window.start.isoformat(),
            "percent": percent,
            "amount": str(state.budget.amount),
            "used": format(state.used, "f"),
        }
        for state in states
        for percent in state.budget.thresholds
        if percent <= (state.reached or 0)
    ]
    if not entries:
        return []
    columns = "budget, period, window_start, percent, amount, used"
    _, rows = execute(
        connection,
        f"INSERT INTO {quote(schema)}.{ALERTS} ({columns}) SELECT {columns} FROM json_to_recordset(%s) AS entry"  # noqa: S608
        " (budget text, period text, window_start timestamptz, percent smallint, amount numeric, used numeric)"
        " ORDER BY budget, period, percent ON CONFLICT DO NOTHING RETURNING budget, period, percent",
        (json.dumps(entries),),
    )
    new = set(rows)
    # The lower ones needn't be told any more.
    return [
        (state, state.reached)
        for state in states
        if state.reached is not None and (state.budget.name, state.budget.period, state.reached) in new
    ]


def alert(state: BudgetState, percent: int, runtime: Runtime) -> dict[str, Any]:
    """What is told, in the form of the alerts about recording; amounts as text, since money is exact."""
    budget = state.budget
    return {
        "type": TYPE,
        "environment": runtime.environment,
        "error": redact(describe_budget(state)),
        "reason": "budget_used_up" if percent >= FULL else "budget_warning",
        "budget": redact(budget.name),
        "scope": budget.scope,
        "subject": redact(budget.subject) if budget.subject else None,
        "period": budget.period,
        "measure": budget.measure,
        "used": format(state.used, "f"),
        "limit": format(budget.amount, "f"),
        "percent": percent,
        "window_start": state.window.start.isoformat(),
        "window_end": state.window.end.isoformat(),
        "platform": runtime.platform,
        "region": runtime.region,
        "deployment": runtime.deployment,
        "raised_at": state.at.isoformat(),
    }
