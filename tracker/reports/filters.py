"""The filters of a report: its time range and the calls that it counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from tracker.errors import SettingError
from tracker.messages import Message
from tracker.property_names import dimension_of
from tracker.reports.explorer.local_clock import Interval, selected_hours
from tracker.rollups.range_plan import timestamptz_array_us
from tracker.usage import replace_unstorable

Bucket = Literal["minute", "hour", "day", "week", "month"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """The calls from `start` to before `end` (aware datetimes), with days of the time zone `timezone` (an IANA name).

    None: the column is not filtered. `properties` are pairs of a top-level key of `metadata` and its value as text
    (None: it is missing or null): a call must match all of them, and a list matches each of its elements. `weekday` (0
    is Monday) and `hour_of_day` (0 to 23) are those of `timezone`. Test records are excluded without `include_tests`.
    Raises `SettingError` (a ValueError) for an unknown time zone, a time without one, an end before the start, or a
    weekday or hour that does not exist.
    """

    start: datetime
    end: datetime
    timezone: str = "UTC"
    model: str | None = None
    provider: str | None = None
    operation: str | None = None
    user: str | None = None
    environment: str | None = None
    weekday: int | None = None
    hour_of_day: int | None = None
    include_tests: bool = False
    properties: tuple[tuple[str, str | None], ...] = ()

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise SettingError(Message("reports.range_without_zone"))
        # The recorder stores text without NUL characters, which the driver refuses.
        for name in ("model", "provider", "operation", "user", "environment"):
            if (text := getattr(self, name)) is not None:
                object.__setattr__(self, name, replace_unstorable(text))
        pairs = ((replace_unstorable(key), value and replace_unstorable(value)) for key, value in self.properties)
        object.__setattr__(self, "properties", tuple(pairs))
        # In UTC: Python compares two datetimes of one zone by local time, which can occur twice.
        if self.end.astimezone(UTC) < self.start.astimezone(UTC):
            raise SettingError(Message("reports.range_reversed"))
        if self.weekday not in {None, *range(7)}:
            raise SettingError(Message("reports.weekday_invalid", weekday=self.weekday))
        if self.hour_of_day not in {None, *range(24)}:
            raise SettingError(Message("reports.hour_invalid", hour=self.hour_of_day))
        try:
            ZoneInfo(self.timezone)
        except (OSError, ValueError, KeyError):
            raise SettingError(Message("reports.time_zone_unknown", name=repr(self.timezone[:60]))) from None

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

    @property
    def selected_intervals(self) -> tuple[Interval, ...] | None:
        """The intervals of the range that the weekday and the hour of the day select; None if both are not filtered."""
        if self.weekday is None and self.hour_of_day is None:
            return None
        return selected_hours(self.start, self.end, self.timezone, self.weekday, self.hour_of_day)

    def uses_only(self, *columns: str) -> bool:
        """Whether no other column or property (`metadata.KEY`) is filtered.

        A filter on a column or property that a rollup lacks needs the rows.
        """
        others = {"model", "provider", "operation", "user", "environment"} - set(columns)
        return all(getattr(self, column) is None for column in others) and all(
            dimension_of(key) in columns for key, _ in self.properties
        )

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
            "property_keys": [key for key, _ in self.properties] or None,
            "property_values": [value for _, value in self.properties] or None,
            "intervals": interval_array(self.selected_intervals),
        }


def interval_array(intervals: Iterable[Interval] | None) -> str | None:
    """Intervals as a PostgreSQL array of alternating starts and ends.

    A time is in one of them if `width_bucket` of it and the array is odd.
    """
    return None if intervals is None else timestamptz_array_us(edge for interval in intervals for edge in interval)
