"""When a digest is due, and which days it covers: the last complete local day, or the last Monday to Sunday."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from tracker.setting_parsers import DigestTime

Period = Literal["day", "week"]
PERIODS: tuple[Period, ...] = ("day", "week")
CATCH_UP = timedelta(hours=6)
"""A digest that no process could send at its time is sent up to this much later."""
_DAYS = {"day": 1, "week": 7}


@dataclass(frozen=True, slots=True)
class DigestDays:
    """The local days of a digest; `start`, `end` and the start of the period before, `previous_start`, are UTC."""

    period: Period
    first_day: date
    timezone: str

    @property
    def last_day(self) -> date:
        return self.first_day + timedelta(days=_DAYS[self.period] - 1)

    @property
    def start(self) -> datetime:
        return self._midnight(self.first_day)

    @property
    def end(self) -> datetime:
        return self._midnight(self.last_day + timedelta(days=1))

    @property
    def previous_start(self) -> datetime:
        return self._midnight(self.first_day - timedelta(days=_DAYS[self.period]))

    @property
    def day_ends(self) -> tuple[datetime, ...]:
        """The last second of each local day."""
        days = (self.last_day - self.first_day).days + 1
        midnights = (self._midnight(self.first_day + timedelta(days=number + 1)) for number in range(days))
        return tuple(midnight - timedelta(seconds=1) for midnight in midnights)

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), ZoneInfo(self.timezone)).astimezone(UTC)


def last_complete_days(period: Period, timezone: str, now: datetime) -> DigestDays:
    """The last complete day, or week from Monday to Sunday, before `now` in this time zone."""
    today = now.astimezone(ZoneInfo(timezone)).date()
    if period == "day":
        return DigestDays("day", today - timedelta(days=1), timezone)
    return DigestDays("week", today - timedelta(days=today.weekday() + 7), timezone)


def due_days(schedule: DigestTime, timezone: str, now: datetime) -> DigestDays | None:
    """The days whose digest is due at `now`; None before its time, and when it was due more than six hours ago."""
    zone = ZoneInfo(timezone)
    local_day = now.astimezone(zone).date()
    for day in (local_day, local_day - timedelta(days=1)):  # a time late in the evening can be caught up after midnight
        if schedule.period == "week" and day.weekday() != 0:
            continue
        due_at = datetime.combine(day, schedule.at, zone).astimezone(UTC)
        if due_at <= now.astimezone(UTC) <= due_at + CATCH_UP:
            return last_complete_days(schedule.period, timezone, due_at)
    return None
