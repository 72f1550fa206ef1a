"""A budget: a limit of tokens or USD per day or month for all calls, a user, a model, an operation or properties."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tracker import settings
from tracker.budgets.property_pairs import Pairs, from_subject
from tracker.errors import SettingError
from tracker.messages import Message

SCOPES = ("everybody", "user", "model", "operation", "property")
PERIODS = ("day", "month")
MEASURES = ("tokens", "usd")
ALERT_PERCENT = 80
FULL = 100
_MAX_AMOUNT = Decimal(10) ** 15
_MAX_NAME_CHARS = 200


@dataclass(frozen=True, slots=True)
class BudgetWindow:
    """A day or month of a budget's time zone; `start` and `end` are UTC."""

    start: datetime
    end: datetime

    def elapsed_share(self, now: datetime) -> float:
        """The elapsed share of the window, 0 to 1."""
        return min(1.0, max(0.0, (now - self.start) / (self.end - self.start)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """At most `amount` of `measure` in each `period` of `timezone` (IANA).

    The first alert is sent at `alert_percent`, the second one at 100; None disables both. `own` is False for a limit in
    the app's own table. A sample budget counts the sample calls only, and sends no alert. The subject of the scope
    `property` is a JSON list of pairs of a key and a value, all of which a call must match. Raises `SettingError` (a
    ValueError) for invalid values.
    """

    name: str
    scope: str = "everybody"
    subject: str | None = None
    period: str
    measure: str
    amount: Decimal
    alert_percent: int | None = ALERT_PERCENT
    timezone: str = "UTC"
    own: bool = True
    is_sample: bool = False

    def __post_init__(self) -> None:
        for field, value, allowed in (
            ("scope", self.scope, SCOPES),
            ("period", self.period, PERIODS),
            ("measure", self.measure, MEASURES),
        ):
            if value not in allowed:
                values = {"field": field, "value": repr(value[:60]), "allowed": ", ".join(allowed)}
                raise SettingError(Message("budgets.value_invalid", **values))
        if not self.name.strip() or not self.name.isprintable() or (self.own and len(self.name) > _MAX_NAME_CHARS):
            raise SettingError(Message("budgets.name_invalid", max_chars=_MAX_NAME_CHARS))
        if self.scope == "everybody" and self.subject is not None:
            raise SettingError(Message("budgets.subject_for_everybody"))
        if self.scope != "everybody" and not self.subject:
            raise SettingError(Message("budgets.subject_missing", scope=self.scope))
        if self.scope == "property":
            from_subject(self.subject or "")
        if not self.amount.is_finite() or not 0 < self.amount <= _MAX_AMOUNT:
            amount = str(self.amount)[:40]
            raise SettingError(Message("budgets.amount_invalid", amount=amount, max_amount=f"{_MAX_AMOUNT:,}"))
        if self.alert_percent is not None and not 1 <= self.alert_percent <= FULL:
            raise SettingError(Message("budgets.alert_percent_invalid", percent=self.alert_percent))
        self._load_time_zone()

    def _load_time_zone(self) -> object:
        try:
            return settings.load_time_zone(self.timezone)
        except ValueError:
            raise SettingError(Message("reports.time_zone_unknown", name=repr(self.timezone[:60]))) from None

    @property
    def properties(self) -> Pairs:
        """The pairs of a property and its value to which the budget applies; empty for another scope."""
        return from_subject(self.subject or "") if self.scope == "property" else ()

    def window(self, now: datetime) -> BudgetWindow:
        """The day or month that contains `now` (aware)."""
        return period_window(self.period, self.timezone, now)

    @property
    def thresholds(self) -> tuple[int, ...]:
        """The percentages at which alerts are sent, the highest first; empty if alerts are disabled."""
        return () if self.alert_percent is None else tuple(sorted({FULL, self.alert_percent}, reverse=True))


def period_window(period: str, timezone: str, now: datetime) -> BudgetWindow:
    """The day or month of a time zone that contains `now` (aware).

    If midnight occurs twice, the window starts at the first one; if a clock change skips it, at the change.
    """
    zone = settings.load_time_zone(timezone)
    today = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0, tzinfo=None)
    first_day = today if period == "day" else today.replace(day=1)
    end_day = first_day + timedelta(days=1 if period == "day" else 32)
    if period == "month":
        end_day = end_day.replace(day=1)
    start, end = (midnight.replace(tzinfo=zone).astimezone(UTC) for midnight in (first_day, end_day))
    return BudgetWindow(start, end)
