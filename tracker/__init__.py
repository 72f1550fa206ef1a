"""Token Tracker: records each AI call's token usage in your own Postgres, once, and returns the outcome."""

from tracker.errors import DatabaseError, SettingError, TrackerError, UsageError, UsageTypeError
from tracker.outcome import Outcome
from tracker.recording.tracker import Tracker, shared
from tracker.usage import TokenUsage

__all__ = [
    "DatabaseError",
    "Outcome",
    "SettingError",
    "TokenUsage",
    "Tracker",
    "TrackerError",
    "UsageError",
    "UsageTypeError",
    "shared",
]
