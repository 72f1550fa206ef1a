"""The dashboard's side gives new calls their cost, since a function that records has no time for prices."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from tracker.errors import TrackerError
from tracker.prices import own, reprice
from tracker.prices.book import PriceBook
from tracker.reports import source

log = logging.getLogger("tracker.dashboard")
# What came late is priced by `token-tracker reprice`.
_FIRST_LOOK_BACK = timedelta(days=2)
_LOOK_BACK = timedelta(hours=2)
_said: set[str] = set()
_looked = False


def price_new_calls() -> int:
    """Price the last calls that have no cost; how many got one. What stands in the way is logged once."""
    global _looked
    try:
        book = PriceBook(own.load(source.settings().prices))
        reader = source.reader()
        since = datetime.now(UTC) - (_LOOK_BACK if _looked else _FIRST_LOOK_BACK)
        with reader.borrow() as connection:
            priced = reprice.fill(connection, reader.database.url.schema, book, since)
    except TrackerError as error:
        if str(error) not in _said:
            _said.add(str(error))
            log.info("New calls aren't priced. %s", error)
        return 0
    _looked = True
    return priced
