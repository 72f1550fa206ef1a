"""The dashboard's side looks at budgets too: for its Overview, and once a minute to send what is due."""

from __future__ import annotations

import logging
from functools import cache

from tracker.budgets.check import Checked, check, states
from tracker.errors import TrackerError
from tracker.recording.alerts import Alerts
from tracker.reports import source
from tracker.reports.engine import Reader

log = logging.getLogger("tracker.dashboard")
_said: set[str] = set()


def standing(reader: Reader) -> Checked:
    """How the budgets stand, the fullest first; nobody is told. Raises `DatabaseError`."""
    with reader.borrow() as connection:
        return states(connection, reader.database.url.schema)


def check_budgets() -> int:
    """Send each alert about a budget that nobody sent yet; how many. What stands in the way is logged once."""
    try:
        reader = source.reader()
        settings = reader.database.settings
        with reader.borrow() as connection:
            found = check(
                connection,
                reader.database.url.schema,
                settings.runtime,
                _alerts(settings.alert_urls).tell,
                claimers_only=True,
            )
    except TrackerError as error:
        if str(error) not in _said:
            _said.add(str(error))
            log.info("Budgets aren't looked at. %s", error)
        return 0
    return found.told


@cache
def _alerts(urls: tuple[str, ...]) -> Alerts:
    return Alerts(urls, source.settings().runtime, lambda _: None)
