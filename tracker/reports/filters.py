"""The filters of a report: its time range and the calls that it counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from tracker.errors import SettingError
from tracker.usage import replace_unstorable

Bucket = Literal["minute", "hour", "day", "week", "month"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """The calls from `start` to before `end` (aware datetimes), with days of the time zone `timezone` (an IANA name).

    None: the column is not filtered. Test records are excluded without `include_tests`. Raises `SettingError` (a
    ValueError) for an unknown time zone, a time without one, or an end before the start.
    """

    start: datetime
    end: datetime
    timezone: str = "UTC"
    model: str | None = None
    provider: str | None = None
    operation: str | None = None
    user: str | None = None
    environment: str | None = None
    include_tests: bool = False

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise SettingError("A report's range needs times with a zone; give its start and end a tzinfo.")
        # The recorder stores text without NUL characters, which the driver refuses.
        for name in ("model", "provider", "operation", "user", "environment"):
            if (text := getattr(self, name)) is not None:
                object.__setattr__(self, name, replace_unstorable(text))
        # In UTC: Python compares two datetimes of one zone by local time, which can occur twice.
        if self.end.astimezone(UTC) < self.start.astimezone(UTC):
            raise SettingError("A report's range must not end before it starts; exchange the two.")
        try:
            ZoneInfo(self.timezone)
        except (OSError, ValueError, KeyError):
            raise SettingError(
                f"There is no time zone {self.timezone[:60]!r}; use an IANA name such as Asia/Seoul."
            ) from None

    @property
    def bucket(self) -> Bucket:
        """The bucket size with which a chart of this range has about 20 to 120 points."""
        hours = (self.end.astimezone(UTC) - self.start.astimezone(UTC)).total_seconds() / 3600
        max_hours: tuple[tuple[float, Bucket], ...] = (
            (2.5, "minute"),
            (80, "hour"),
            (24 * 130, "day"),
            (24 * 900, "week"),
        )
        return next((bucket for limit, bucket in max_hours if hours <= limit), "month")

    def uses_only(self, *columns: str) -> bool:
        """Whether no other column is filtered. A filter on a column that a rollup lacks needs the rows."""
        filtered = {"model", "provider", "operation", "user", "environment"} - set(columns)
        return all(getattr(self, column) is None for column in filtered)

    def parameters(self) -> dict[str, object]:
        """The bound parameters of the queries."""
        return {
            "start": self.start,
            "end": self.end,
            "model": self.model,
            "provider": self.provider,
            "operation": self.operation,
            "user": self.user,
            "environment": self.environment,
            "include_tests": self.include_tests,
        }
