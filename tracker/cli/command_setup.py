"""What the commands share: the database they work on, and progress on a terminal."""

from __future__ import annotations

import sys
from typing import Any

from tracker import settings
from tracker.budgets.evaluate import BudgetCheck, send_due_alerts
from tracker.cli.terminal import show_progress
from tracker.database.connect import Connection
from tracker.database.locate import Database, locate
from tracker.database.schema import Table, read_table
from tracker.errors import SettingError, SetupError
from tracker.recording.alerts.channels import send


def database() -> Database:
    """The database to work on; says so when it is the embedded one. Raises `SettingError`, `DatabaseError`."""
    found = locate(settings.load())
    if found.embedded:
        print(f"DATABASE_URL is not set: using the embedded database in {found.url.host}.", file=sys.stderr)
    return found


def whole(text: str) -> int:
    """An option's whole number. Raises `ValueError`."""
    return int(settings.require_plain_number(text))


def number(text: str) -> float:
    """An option's number. Raises `ValueError`."""
    return float(settings.require_plain_number(text))


def zone(name: str) -> str:
    """An IANA time zone's name, checked. Raises `SettingError`."""
    try:
        settings.load_time_zone(name)
    except ValueError:
        raise SettingError(
            f"--timezone holds {name[:60]!r}; it may hold an IANA time zone such as Asia/Seoul."
        ) from None
    return name


def table(connection: Connection, schema: str | None) -> Table:
    """The table to work on. Raises `DatabaseError`, `SetupError` when it isn't there or lacks columns."""
    found = read_table(connection, schema)
    if not found.exists:
        raise SetupError("table_missing", "The table token_usage isn't there.", "Create it: token-tracker migrate.")
    if found.missing_columns:
        names = ", ".join(found.missing_columns)
        raise SetupError("column_missing", f"The table token_usage lacks: {names}.", "Add it: token-tracker migrate.")
    return found


def check_budgets(connection: Connection, database: Database) -> BudgetCheck:
    """Look at the budgets; each alert that nobody sent yet goes out before this returns. Raises `DatabaseError`."""

    def tell(alert: dict[str, Any]) -> None:
        for url in database.settings.alert_urls:
            send(url, alert)

    return send_due_alerts(connection, database.url.schema, database.settings.runtime, tell)


class Bar:
    """A bar that fills on a terminal, and nothing elsewhere."""

    _WIDTH = 40

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = sys.stderr.isatty()
        self._drawn = False

    def show(self, share: float) -> None:
        """`share` is what is done, 0 to 1."""
        if self._shown:
            filled = round(share * self._WIDTH)
            bar = "█" * filled + "░" * (self._WIDTH - filled)
            show_progress(f"\r{bar} {share:4.0%} {self._what}")
            self._drawn = True

    def end(self) -> None:
        if self._drawn:
            print(file=sys.stderr)


class Progress:
    """A line that counts up on a terminal, and nothing elsewhere."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = sys.stderr.isatty()

    def show(self, count: int) -> None:
        if self._shown:
            show_progress(f"\r{count:,} {self._what}")

    def end(self) -> None:
        if self._shown:
            print(file=sys.stderr)
