"""Parsers of settings' texts. Each raises `ValueError` for a text that is not allowed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal, InvalidOperation
from typing import Literal, NamedTuple

from tracker.currencies import CODES
from tracker.messages import Message
from tracker.platforms import PLATFORMS, Platform

MAX_PROPERTIES = 5
"""The number of keys of metadata that can be indexed."""
MAX_PROPERTY_LENGTH = 200


class CurrencySetting(NamedTuple):
    """The currency of TRACKER_CURRENCY: its code, units for one US dollar, and the day of this rate."""

    code: str
    rate: Decimal | None = None
    day: date | None = None


def require_plain_number(text: str) -> str:
    """The text. Raises `ValueError` for underscores and non-ASCII digits, which Python's parsers accept."""
    if "_" in text or not text.isascii():
        raise ValueError
    return text


def number(unit: str, low: float, high: float) -> tuple[Message, Callable[[str], float]]:
    """The allowed values and the parser of a number in this unit."""

    def parse(text: str) -> float:
        value = float(require_plain_number(text))
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError
        return value

    return allowed(unit, low=low, high=high), parse


def integer(unit: str, low: int, high: int) -> tuple[Message, Callable[[str], int]]:
    """The allowed values and the parser of a whole number in this unit."""

    def parse(text: str) -> int:
        value = int(require_plain_number(text))
        if not low <= value <= high:
            raise ValueError
        return value

    return allowed(unit, low=low, high=high), parse


def seconds_or_none(low: float, high: float) -> tuple[Message, Callable[[str], float | None]]:
    _, parse_seconds = number("seconds", low, high)

    def parse(text: str) -> float | None:
        return None if text.lower() == "none" else parse_seconds(text)

    return allowed("seconds_or_none", low=low, high=high), parse


def allowed(name: str, **params: object) -> Message:
    return Message(f"settings.allowed.{name}", **params)


def parse_boolean(text: str) -> bool:
    values = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    if text.lower() not in values:
        raise ValueError
    return values[text.lower()]


def parse_mode(text: str) -> str:
    if text not in {"direct", "background"}:
        raise ValueError
    return text


def parse_urls(text: str) -> tuple[str, ...]:
    urls = tuple(text.split())
    if not all("://" in url and not url.startswith("://") for url in urls):
        raise ValueError
    return urls


def parse_users(text: str) -> tuple[str, ...]:
    users = tuple(text.lower().replace(",", " ").split())
    if not users or not all(re.fullmatch(r"[^@\s]*@[^@\s]+", user) for user in users):
        raise ValueError
    return users


def parse_attribute_names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.replace(",", " ").split()))
    if not names or "*" in names or any("*" in name[:-1] for name in names):
        raise ValueError
    return names


def is_property_key(text: str) -> bool:
    """Whether a text can be an indexed key of metadata; another key can still be grouped and filtered by."""
    return 0 < len(text) <= MAX_PROPERTY_LENGTH and text == text.strip() and text.isprintable()


def parse_properties(text: str) -> tuple[str, ...]:
    keys = tuple(dict.fromkeys(key for part in text.split(",") if (key := part.strip())))
    if not 0 < len(keys) <= MAX_PROPERTIES or not all(map(is_property_key, keys)):
        raise ValueError
    return keys


def parse_token(text: str) -> str:
    if not text.isprintable() and not any("\udc80" <= char <= "\udcff" for char in text):
        raise ValueError  # not allowed in a header
    return text


_API_TOKEN = re.compile(r"[\w.-]{1,60}:[0-9a-f]{64}(:(user|metadata\.[^=\s:]+)=\S+)?")
MIN_SIGNING_KEY_CHARS = 32


def parse_api_tokens(text: str) -> tuple[str, ...]:
    entries = tuple(text.split())
    if not all(map(_API_TOKEN.fullmatch, entries)):
        raise ValueError
    return entries


def parse_signing_key(text: str) -> str:
    if len(parse_token(text)) < MIN_SIGNING_KEY_CHARS:
        raise ValueError
    return text


def parse_postgres_url(text: str) -> str:
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError
    return text


def parse_platform(text: str) -> Platform:
    if text not in PLATFORMS:
        raise ValueError
    return text


def parse_currency(text: str) -> CurrencySetting:
    code, *numbers = text.split()
    if code.upper() not in CODES or len(numbers) > 2:
        raise ValueError
    if not numbers:
        return CurrencySetting(code.upper())
    try:
        rate = Decimal(require_plain_number(numbers[0]))
    except InvalidOperation:
        raise ValueError from None
    if not (rate.is_finite() and 0 < rate <= 10**9):
        raise ValueError
    return CurrencySetting(code.upper(), rate, date.fromisoformat(numbers[1]) if len(numbers) == 2 else None)


class DigestTime(NamedTuple):
    """When digests are sent: each day or each Monday at a local time, in a language."""

    period: Literal["day", "week"]
    at: time
    language: str


_DIGEST_TIME = re.compile(r"(daily|weekly) ([01]\d|2[0-3]):([0-5]\d)(?: (en|ko))?")


def parse_digest_time(text: str) -> DigestTime:
    if (match := _DIGEST_TIME.fullmatch(" ".join(text.lower().split()))) is None:
        raise ValueError
    name, hour, minute, language = match.groups()
    return DigestTime("day" if name == "daily" else "week", time(int(hour), int(minute)), language or "en")
