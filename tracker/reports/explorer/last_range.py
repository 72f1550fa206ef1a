"""The range of a text such as 7d, which is the same as that of the pages."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from tracker.errors import SettingError
from tracker.messages import Message

_LAST = re.compile(r"([0-9]{1,5})([hdw])")
_MAX_DAYS = 36_500


def last_range(text: str, timezone: str, now: datetime) -> tuple[datetime, datetime]:
    """The start and the end of a range that ends now: `24h`, `7d`, `2w`, `today` or `month`.

    Hours are exact. Days are calendar days of the time zone: `7d` is today and the six days before. Raises
    `SettingError` for another text.
    """
    # Includes calls of the current second.
    end = now.astimezone(UTC) + timedelta(seconds=1)
    today = now.astimezone(ZoneInfo(timezone)).date()
    match = _LAST.fullmatch(text)
    number = int(match[1]) if match else 0
    if match and match[2] == "h" and 0 < number <= 24 * _MAX_DAYS:
        return end - timedelta(hours=number), end
    days = {"today": 1, "month": today.day}.get(text, number * (7 if match and match[2] == "w" else 1))
    if not 0 < days <= _MAX_DAYS or (match and match[2] == "h"):
        raise SettingError(Message("reports.last_invalid", text=repr(text[:60])))
    midnight = datetime.combine(today - timedelta(days=days - 1), time(), ZoneInfo(timezone))
    return midnight.astimezone(UTC), end
