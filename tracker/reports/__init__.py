"""The reports of the dashboard, one module per report; the queries are in `sql/`. Needs the extra `[dashboard]`."""

from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters

__all__ = ["Filters", "Reader"]
