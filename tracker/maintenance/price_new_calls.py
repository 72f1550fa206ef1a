"""Prices new calls once a minute in the dashboard: a recording function has no time to load a price list.

Each call is priced once: a call without a price gets the reason in `cost_source`, and is read again only when the
dashboard starts or its custom prices change, in the file or in the database. One run reads a bounded number of calls.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from tracker.audit.table_rights import read_rights
from tracker.database.connect import Connection
from tracker.database.schema import TABLE
from tracker.errors import SetupError
from tracker.prices import custom_prices
from tracker.prices.custom_prices import CustomPrice
from tracker.prices.price_sources import CustomPrices, read_custom_prices
from tracker.prices.reprice import price_unpriced_calls
from tracker.prices.unpriced_calls import Scope, scope_since
from tracker.reports.engine import current_reader

log = logging.getLogger("tracker.dashboard")
CALLS_PER_RUN = 20_000
# Calls that arrive later are priced by `token-tracker reprice`.
_FIRST_WINDOW = timedelta(days=2)
_WINDOW = timedelta(hours=2)


@dataclass(slots=True)
class _Progress:
    """The progress in the first window; `first` is None when all of its calls are priced."""

    prices: tuple[CustomPrice, ...] | None = None
    database: str | None = None
    first: Scope | None = None
    remarks: list[str] = field(default_factory=list)


_progress = _Progress()


def price_new_calls() -> int:
    """Price the latest calls without a cost; returns the number of priced calls. Raises `TrackerError`."""
    reader = current_reader.reader()
    schema = reader.database.url.schema
    with reader.borrow() as connection:
        prices = _read_prices(connection, reader.table().schema, current_reader.settings().prices)
        catalog = prices.catalog()
        _restart_if_changed(prices.ordered, str(reader.database.url))
        priced = 0
        if _progress.first is not None:
            plan = price_unpriced_calls(connection, schema, catalog, _progress.first)
            priced += plan.changed
            done = plan.read < CALLS_PER_RUN
            _progress.first = None if done else replace(_progress.first, since=plan.cursor)
        recent = scope_since(datetime.now(UTC) - _WINDOW, explained=False, limit=CALLS_PER_RUN)
        plan = price_unpriced_calls(connection, schema, catalog, recent)
        priced += plan.changed
    _log_skipped(plan.remarks)
    return priced


def _read_prices(connection: Connection, schema: str, path: str | None) -> CustomPrices:
    """The custom prices. A role that may not read the stored ones sets no cost, since it may be another one."""
    try:
        return read_custom_prices(connection, schema, path)
    except SetupError:
        if read_rights(connection, schema, [TABLE]).allows(TABLE, ["UPDATE"]):
            raise
        return CustomPrices(custom_prices.load(path))  # this role can't set costs: the error of that names the GRANT


def _log_skipped(remarks: list[str]) -> None:
    """Log skipped calls, once until the remarks change."""
    if remarks != _progress.remarks:
        _progress.remarks = remarks
        for remark in remarks:
            log.warning("New calls: %s", remark)


def _restart_if_changed(prices: tuple[CustomPrice, ...], database: str) -> None:
    """Read the first window again after a start, and when the custom prices or the database changed."""
    if (_progress.prices, _progress.database) != (prices, database):
        _progress.prices, _progress.database = prices, database
        _progress.first = scope_since(datetime.now(UTC) - _FIRST_WINDOW, limit=CALLS_PER_RUN)
