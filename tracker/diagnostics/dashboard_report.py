"""The dashboard's own report: of the database that its pages show, within the connections that it may hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tracker.database.url import DatabaseUrl
from tracker.diagnostics import report
from tracker.diagnostics.report import Report
from tracker.errors import TrackerError
from tracker.reports.engine import current_reader


def here() -> Report:
    """The debug report of this process; raises nothing for whatever is broken."""
    try:
        reader = current_reader.reader()
    except TrackerError:
        return report.build()
    return report.build(url=reader.database.url, reserve=reader.reserve_connection)


@contextmanager
def two_places() -> Iterator[None]:
    """Room for the self-test's two connections among those of the pages. Raises `DatabaseError`, `SettingError`."""
    reader = current_reader.reader()
    with reader.reserve_connection(), reader.reserve_connection():
        yield


def url() -> DatabaseUrl | None:
    """The address that the pages read from; None when there is none that can be used."""
    try:
        return current_reader.reader().database.url
    except TrackerError:
        return None
