"""Reads the query parameters of the usage routes into filters, and refuses what it does not know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from tracker.api.problems import ProblemError
from tracker.auth.api_tokens import Binding
from tracker.errors import SettingError
from tracker.property_names import key_of, value_from_text
from tracker.reports.explorer.last_range import last_range
from tracker.reports.filters import Filters

COLUMN_FILTERS = ("model", "provider", "operation", "user", "environment")
RANGE_PARAMETERS = ("start", "end", "timezone")
_DEFAULT_RANGE = "30d"
_DEFAULT_LENGTH = timedelta(days=30)
_MAX_QUERY_CHARS = 8_000
FIRST_TIME, LAST_TIME = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
"""The times that a range can have, in every time zone."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a request by name, each given once."""

    values: Mapping[str, str]

    def get_list(self, name: str, max_count: int) -> tuple[str, ...]:
        """The names in a list separated by commas, each once. Raises `ProblemError` above `max_count`."""
        names = tuple(dict.fromkeys(part.strip() for part in self.values.get(name, "").split(",") if part.strip()))
        if len(names) > max_count:
            raise ProblemError(400, "too many values", f"{name} takes at most {max_count} values.")
        return names

    def get_integer(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number. Raises `ProblemError` if it is not one from `low` to `high`."""
        text = self.values.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and low <= int(text) <= high):
            raise ProblemError(400, "invalid value", f"{name} is a whole number from {low} to {high}.")
        return int(text)


def read_parameters(query: bytes, known: Iterable[str]) -> Parameters:
    """The parameters of a query string; `metadata.KEY` is always known. Raises `ProblemError`."""
    known = tuple(known)
    if len(query) > _MAX_QUERY_CHARS:
        raise ProblemError(414, "address too long", f"The address has more than {_MAX_QUERY_CHARS} characters.")
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise ProblemError(
            400, "invalid query string", "The query string is not UTF-8, encoded with percent signs."
        ) from None
    values: dict[str, str] = {}
    for name, value in pairs:
        if name not in known and not key_of(name):
            names = ", ".join((*known, "metadata.KEY"))
            raise ProblemError(400, "unknown parameter", f"There is no parameter {name[:60]!r}; there are: {names}.")
        if name in values:
            raise ProblemError(400, "repeated parameter", f"{name[:60]} is given twice.")
        values[name] = value
    return Parameters(values)


def read_filters(parameters: Parameters, binding: Binding | None, now: datetime) -> Filters:
    """The filters of a request, with the token's binding, which parameters can only narrow.

    Raises `ProblemError`: 400 for an invalid value, 403 for calls that the token does not read.
    """
    values = parameters.values
    columns = {name: values[name] for name in COLUMN_FILTERS if name in values}
    properties = {key: value_from_text(value) for name, value in values.items() if (key := key_of(name))}
    if binding is not None:
        _bind(columns, properties, binding)
    zone = values.get("timezone", "UTC")
    try:
        check = Filters(start=now, end=now, timezone=zone)
        start, end = _range(values.get("start"), values.get("end"), check.timezone, now)
        return Filters(
            start=start,
            end=end,
            timezone=zone,
            include_samples=False,
            properties=tuple(properties.items()),
            model=columns.get("model"),
            provider=columns.get("provider"),
            operation=columns.get("operation"),
            user=columns.get("user"),
            environment=columns.get("environment"),
        )
    except SettingError as error:
        raise ProblemError(400, "invalid value", str(error)) from None


def _bind(columns: dict[str, str], properties: dict[str, str | None], binding: Binding) -> None:
    own_key = key_of(binding.dimension)
    if any(key != own_key for key in properties):
        raise ProblemError(403, "not allowed", "This token reads no property, except the one that it is limited to.")
    given = properties.get(own_key, binding.value) if own_key else columns.get(binding.dimension, binding.value)
    if given != binding.value:
        raise ProblemError(403, "not allowed", f"This token reads the calls of one {binding.dimension} only.")
    if own_key:
        properties[own_key] = binding.value
    else:
        columns[binding.dimension] = binding.value


def check_names(names: Iterable[str], binding: Binding | None) -> None:
    """Raise `ProblemError` if a token with a limit asks for a property other than its own."""
    own = None if binding is None else binding.dimension
    if binding is not None and any(key_of(name) and name != own for name in names):
        raise ProblemError(403, "not allowed", "This token reads no property, except the one that it is limited to.")


def _range(start_text: str | None, end_text: str | None, timezone: str, now: datetime) -> tuple[datetime, datetime]:
    if start_text is None and end_text is None:
        return last_range(_DEFAULT_RANGE, timezone, now)
    # Includes calls of the current second.
    end = now + timedelta(seconds=1) if end_text is None else _time("end", end_text, timezone)
    start = max(end - _DEFAULT_LENGTH, FIRST_TIME) if start_text is None else _time("start", start_text, timezone)
    if start > end:
        raise ProblemError(400, "invalid range", "end is before start.")
    return start, end


def _time(name: str, text: str, timezone: str) -> datetime:
    """A date (its midnight) or a time; without an offset it is in the time zone."""
    try:
        if len(text) == len("2026-11-27"):
            parsed = datetime.combine(date.fromisoformat(text), time())
        else:
            parsed = datetime.fromisoformat(text.replace(" ", "+"))  # an unencoded + arrives as a space
        aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=ZoneInfo(timezone))
        return min(max(aware.astimezone(UTC), FIRST_TIME), LAST_TIME)
    except (ValueError, OverflowError):
        detail = f"{name} is {text[:40]!r}; use a date such as 2026-11-27, or a time such as 2026-11-27T09:00:00Z."
        raise ProblemError(400, "invalid value", detail) from None
