"""The read side: one question a file, its SQL beside it. Needs the extra `[dashboard]`."""

from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters

__all__ = ["Filters", "Reader"]
