"""Evaluates all budgets and sends each alert once: by the process that inserts the alert's row first."""

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
from tracker.budgets.property_pairs import describe_pairs
from tracker.budgets.spending import read_property_spending, read_spending
from tracker.database.connect import Connection, execute
from tracker.database.schema import quote, read_table
from tracker.database.transactions import read_only_snapshot
from tracker.errors import DatabaseError
from tracker.messages import Message
from tracker.platforms import Runtime
from tracker.redaction import redact

_PROPERTY_TIMEOUT_S = 15
TYPE = "token_budget_reached"
SendAlert = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class BudgetCheck:
    """The states of the budgets, the fullest first; remarks about ignored budgets; the number of sent alerts."""

    states: list[BudgetState]
    remarks: list[str]
    sent: int = 0


def evaluate_budgets(connection: Connection, schema: str | None, now: datetime | None = None) -> BudgetCheck:
    """The states of all budgets, without sending alerts. Raises `DatabaseError`."""
    access = budget_store.read_access(connection, schema)
    return _evaluate(connection, access, now or datetime.now(UTC))


def _evaluate(connection: Connection, access: budget_store.BudgetAccess, now: datetime) -> BudgetCheck:
    budget_list = budget_store.read_budgets(connection, access)
    if not budget_list.budgets:
        return BudgetCheck([], budget_list.remarks)
    table = read_table(connection, access.schema)
    windows = [(budget, budget.window(now)) for budget in budget_list.budgets]
    by_column = [(budget, window) for budget, window in windows if not budget.properties]
    by_property = [(budget, window) for budget, window in windows if budget.properties]
    with read_only_snapshot(connection):
        spending = dict(zip(by_column, read_spending(connection, table, by_column), strict=True))
    for pair in by_property:
        # One transaction for each, so that a slow budget delays and loses no other.
        try:
            with read_only_snapshot(connection, _PROPERTY_TIMEOUT_S):
                spending[pair] = read_property_spending(connection, table, *pair)
        except DatabaseError as error:
            if error.code != "statement_timeout":
                raise
            name = {"name": repr(pair[0].name[:60]), "seconds": _PROPERTY_TIMEOUT_S}
            budget_list.remarks.append(Message("budgets.properties_not_evaluated", **name))
    states = [BudgetState(budget, window, spent, now) for (budget, window), spent in spending.items()]
    return BudgetCheck(sorted(states, key=lambda state: (-state.share, state.budget.name)), budget_list.remarks)


def send_due_alerts(
    connection: Connection,
    schema: str | None,
    runtime: Runtime,
    send_alert: SendAlert,
    now: datetime | None = None,
    *,
    claimers_only: bool = False,
) -> BudgetCheck:
    """Evaluate all budgets and call `send_alert` for each alert that no process has sent. Raises `DatabaseError`.

    An alert is sent at most once for each window and threshold: it is lost if the process ends between the insert and
    the call. A role without the privilege to insert sends none; with `claimers_only`, it doesn't evaluate either.
    """
    access = budget_store.read_access(connection, schema)
    if claimers_only and not access.can_claim:
        return BudgetCheck([], [])
    checked = _evaluate(connection, access, now or datetime.now(UTC))
    if not access.can_claim:
        remarks: list[str] = [Message("budgets.alerts_not_allowed", statement=remedy) for remedy in access.remedies]
        return BudgetCheck(checked.states, checked.remarks + remarks)
    due = _claim_alerts(connection, access.schema, [state for state in checked.states if not state.budget.is_sample])
    for state, reached in due:
        send_alert(build_alert(state, reached, runtime))
    return BudgetCheck(checked.states, checked.remarks, len(due))


def _claim_alerts(connection: Connection, schema: str, states: list[BudgetState]) -> list[tuple[BudgetState, int]]:
    """Insert all reached thresholds in one statement; returns the highest new one of each budget, for its alert.

    All processes insert rows in the same order, so that no deadlock occurs.
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
    # Lower thresholds need no alert of their own.
    return [
        (state, state.reached)
        for state in states
        if state.reached is not None and (state.budget.name, state.budget.period, state.reached) in new
    ]


def build_alert(state: BudgetState, percent: int, runtime: Runtime) -> dict[str, Any]:
    """The alert's document, in the form of alerts about recording; amounts are text, since money is exact."""
    budget = state.budget
    return {
        "type": TYPE,
        "environment": runtime.environment,
        "error": redact(describe_budget(state)),
        "reason": "budget_used_up" if percent >= FULL else "budget_warning",
        "budget": redact(budget.name),
        "scope": budget.scope,
        "subject": redact(describe_pairs(budget.properties) or budget.subject) if budget.subject else None,
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
