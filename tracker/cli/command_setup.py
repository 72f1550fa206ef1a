"""Shared by the commands: the database to use, option parsers, and progress on a terminal."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from tracker import settings
from tracker.budgets.evaluate import BudgetCheck, evaluate_budgets, send_due_alerts
from tracker.cli.terminal import show_progress
from tracker.database.connect import Connection
from tracker.database.locate import Database, locate
from tracker.database.schema import Table, read_table, require_columns
from tracker.errors import SettingError
from tracker.recording.alerts.channels import send
from tracker.setting_parsers import require_plain_number

_NO_ALERT_URL = (
    "No alert was sent, because TRACKER_ALERT_URLS is not set. Set it to the https:// or apprise URL of a channel."
)


def locate_database() -> Database:
    """The database to use; prints a line if it is the embedded one. Raises `SettingError`, `DatabaseError`."""
    database = locate(settings.load())
    if database.embedded:
        print(f"DATABASE_URL is not set: using the embedded database in {database.url.host}.", file=sys.stderr)
    return database


def parse_int(text: str) -> int:
    """The whole number of an option. Raises `argparse.ArgumentTypeError`."""
    try:
        return int(require_plain_number(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is not a whole number") from None


def parse_float(text: str) -> float:
    """The number of an option. Raises `argparse.ArgumentTypeError`."""
    try:
        return float(require_plain_number(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is not a number") from None


def check_time_zone(name: str) -> str:
    """The name unchanged if it is an IANA time zone. Raises `SettingError`."""
    try:
        settings.load_time_zone(name)
    except ValueError:
        raise SettingError(f"--timezone is {name[:60]!r}; use an IANA time zone such as Asia/Seoul.") from None
    return name


def read_usage_table(connection: Connection, schema: str | None) -> Table:
    """The table token_usage. Raises `DatabaseError`, and `SetupError` if the table or a column is missing."""
    return require_columns(read_table(connection, schema))


def check_budgets(connection: Connection, database: Database) -> BudgetCheck:
    """Evaluate the budgets and send each alert that is due and not sent yet. Raises `DatabaseError`.

    Without an alert URL no alert counts as sent: it stays due until a process sends it.
    """
    if not database.settings.alert_urls:
        checked = evaluate_budgets(connection, database.url.schema)
        is_due = any(state.reached is not None and not state.budget.is_sample for state in checked.states)
        return BudgetCheck(checked.states, checked.remarks + ([_NO_ALERT_URL] if is_due else []))

    def send_alert(alert: dict[str, Any]) -> None:
        for url in database.settings.alert_urls:
            send(url, alert)

    return send_due_alerts(connection, database.url.schema, database.settings.runtime, send_alert)


class ProgressBar:
    """A progress bar on a terminal; prints nothing if standard error is not a terminal."""

    _WIDTH = 40

    def __init__(self, label: str) -> None:
        self._label = label
        self._is_visible = sys.stderr.isatty()
        self._has_output = False

    def show(self, share: float) -> None:
        """Draw the bar; `share` is the completed part, from 0 to 1."""
        if self._is_visible:
            filled = round(share * self._WIDTH)
            bar = "█" * filled + "░" * (self._WIDTH - filled)
            show_progress(f"\r{bar} {share:4.0%} {self._label}")
            self._has_output = True

    def end(self) -> None:
        if self._has_output:
            print(file=sys.stderr)


class ProgressCounter:
    """A counter on a terminal; prints nothing if standard error is not a terminal."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._is_visible = sys.stderr.isatty()

    def show(self, count: int) -> None:
        if self._is_visible:
            show_progress(f"\r{count:,} {self._label}")

    def end(self) -> None:
        if self._is_visible:
            print(file=sys.stderr)
