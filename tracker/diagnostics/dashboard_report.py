"""The dashboard's debug report: of the database that the pages read, within the pages' connection limit.

The reader needs the `dashboard` extra, so each function imports it: other diagnostics run with the core install.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tracker.database.url import DatabaseUrl
from tracker.diagnostics import report
from tracker.diagnostics.report import Report
from tracker.errors import TrackerError


def build_dashboard_report() -> Report:
    """The debug report of this process. Failures become part of the report and are not raised."""
    from tracker.reports.engine import current_reader

    try:
        reader = current_reader.reader()
    except TrackerError:
        return report.build_report()
    return report.build_report(url=reader.database.url, reserve=reader.reserve_connection)


@contextmanager
def reserve_two_connections() -> Iterator[None]:
    """Make room in the pages' pool for the self-test's two connections. Raises `DatabaseError`, `SettingError`."""
    from tracker.reports.engine import current_reader

    reader = current_reader.reader()
    with reader.reserve_connection(), reader.reserve_connection():
        yield


def dashboard_database_url() -> DatabaseUrl | None:
    """The URL that the pages read from; None when no usable one is configured."""
    from tracker.reports.engine import current_reader

    try:
        return current_reader.reader().database.url
    except TrackerError:
        return None
