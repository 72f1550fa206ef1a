"""Parses times of files: ISO 8601, digits alone (epoch, compact dates), and Excel's serial numbers."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Day 0 of Excel's calendar; its wrong leap day in 1900 is before the first day that is parsed here.
_EXCEL_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001  a serial number has the time zone of the file
_FIRST_YEAR, _LAST_YEAR = 2000, 2100
_FIRST_SERIAL, _LAST_SERIAL = 36_526, 73_050  # 2000-01-01 and 2099-12-31
_COMPACT_FORMATS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
# Microseconds in one unit of an epoch number, by its number of digits.
_EPOCH_UNIT_US = {10: Decimal(1_000_000), 13: Decimal(1000), 16: Decimal(1), 19: Decimal("0.001")}
_DIGITS = re.compile(r"(\d+)(\.\d+)?\s*(Z|UTC|GMT|[+-]\d\d:?\d\d)?", re.ASCII | re.IGNORECASE)
_UTC_NAME = re.compile(r"\s*(?:UTC|GMT)\Z", re.IGNORECASE)


def parse_time(text: str, zone: str) -> datetime:
    """The time in UTC; one without a time zone is read in `zone`. Raises `ValueError` for anything else.

    Digits alone are read by their number: 8 are YYYYMMDD, 12 and 14 a compact date and time, 10 epoch seconds,
    13 milliseconds, 16 microseconds, 19 nanoseconds, and a number from 36526 to 73050 is an Excel serial. The result
    must be in the years 2000 to 2100; any other number of digits is ambiguous and refused.
    """
    text = text.strip()
    if match := _DIGITS.fullmatch(text):
        time = _of_digits(match[1], match[2], match[3], zone)
        if not _FIRST_YEAR <= time.year <= _LAST_YEAR:
            raise ValueError
        return time
    return _in_utc(datetime.fromisoformat(_UTC_NAME.sub("+00:00", text)), zone)


def _of_digits(digits: str, fraction: str | None, offset: str | None, zone: str) -> datetime:
    if (compact := _COMPACT_FORMATS.get(len(digits))) and not (fraction and len(digits) != 14):
        time = datetime.strptime(digits, compact)  # noqa: DTZ007  the zone follows
        time += timedelta(microseconds=int(Decimal(fraction or 0) * 1_000_000))
        if offset and offset[0] in "+-":
            time = datetime.fromisoformat(time.isoformat() + offset)
        return time.replace(tzinfo=UTC) if offset and time.tzinfo is None else _in_utc(time, zone)
    if offset:
        raise ValueError
    if len(digits) == 5 and _FIRST_SERIAL <= int(digits) <= _LAST_SERIAL:
        # Excel stores times as binary fractions of a day: digits below a millisecond are rounding errors.
        milliseconds = round(Decimal(digits + (fraction or "")) * 86_400_000)
        return _in_utc(_EXCEL_EPOCH + timedelta(milliseconds=milliseconds), zone)
    unit_us = _EPOCH_UNIT_US.get(len(digits))
    if unit_us is None:
        raise ValueError
    return _EPOCH + timedelta(microseconds=int(Decimal(digits + (fraction or "")) * unit_us))


def _in_utc(time: datetime, zone: str) -> datetime:
    return (time if time.tzinfo else time.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
