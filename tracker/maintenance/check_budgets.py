"""The dashboard's budget jobs: read the states for the Overview page, and send due alerts once a minute."""

from __future__ import annotations

from functools import cache

from tracker.budgets.evaluate import BudgetCheck, evaluate_budgets, send_due_alerts
from tracker.recording.alerts.failure_alerts import Alerts
from tracker.reports.engine import current_reader
from tracker.reports.engine.reader import Reader


def read_budget_states(reader: Reader) -> BudgetCheck:
    """The states of the budgets, the fullest first, without sending alerts. Raises `DatabaseError`."""
    with reader.borrow() as connection:
        return evaluate_budgets(connection, reader.database.url.schema)


def check_budgets() -> int:
    """Send each budget alert that no process has sent yet; returns their number. Raises `TrackerError`."""
    reader = current_reader.reader()
    settings = reader.database.settings
    with reader.borrow() as connection:
        result = send_due_alerts(
            connection,
            reader.database.url.schema,
            settings.runtime,
            _alerts(settings.alert_urls).log_and_send,
            claimers_only=True,
        )
    return result.sent


@cache
def _alerts(urls: tuple[str, ...]) -> Alerts:
    return Alerts(urls, current_reader.settings().runtime, lambda _: None)
