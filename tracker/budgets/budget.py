"""A budget: so many tokens or dollars a day or a month, for everybody, a user, a model or an operation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tracker import settings
from tracker.errors import SettingError

SCOPES = ("everybody", "user", "model", "operation")
PERIODS = ("day", "month")
MEASURES = ("tokens", "usd")
ALERT_PERCENT = 80
FULL = 100
_MOST = Decimal(10) ** 15
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Window:
    """The day or month that a moment lies in, of a budget's own time zone, as moments of UTC."""

    start: datetime
    end: datetime

    def passed(self, now: datetime) -> float:
        """How much of it is over, 0 to 1."""
        return min(1.0, max(0.0, (now - self.start) / (self.end - self.start)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """At most `amount` of `measure` in each `period` of `timezone` (IANA).

    `alert_percent` is where the first alert goes out, None where none shall; the second one goes out at 100. `own` is
    False for a row of the app's own table. Raises `SettingError` (a ValueError) for what can't be right.
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

    def __post_init__(self) -> None:
        for what, value, known in (
            ("scope", self.scope, SCOPES),
            ("period", self.period, PERIODS),
            ("measure", self.measure, MEASURES),
        ):
            if value not in known:
                raise SettingError(f"A budget's {what} is {value[:60]!r}; it may be {', '.join(known)}.")
        if not self.name.strip() or not self.name.isprintable() or (self.own and len(self.name) > _LONGEST):
            raise SettingError(f"A budget's name is one line of at most {_LONGEST} characters.")
        if self.scope == "everybody" and self.subject is not None:
            raise SettingError("A budget for everybody names nobody.")
        if self.scope != "everybody" and not self.subject:
            raise SettingError(f"A budget for one {self.scope} must name it.")
        if not self.amount.is_finite() or not 0 < self.amount <= _MOST:
            raise SettingError(f"A budget's limit is {str(self.amount)[:40]}; it must be above 0, to {_MOST:,}.")
        if self.alert_percent is not None and not 1 <= self.alert_percent <= FULL:
            raise SettingError(f"A budget's alert goes out at 1 to 100 per cent, not at {self.alert_percent}.")
        self._zone()

    def _zone(self) -> object:
        try:
            return settings.load_time_zone(self.timezone)
        except ValueError:
            raise SettingError(
                f"There is no time zone {self.timezone[:60]!r}; use an IANA name such as Asia/Seoul."
            ) from None

    def window(self, now: datetime) -> Window:
        """The day or month of this moment (aware).

        Where midnight comes twice the first one counts, where it is left out the moment of the jump.
        """
        zone = settings.load_time_zone(self.timezone)
        today = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0, tzinfo=None)
        first = today if self.period == "day" else today.replace(day=1)
        after = first + timedelta(days=1) if self.period == "day" else (first + timedelta(days=32)).replace(day=1)
        start, end = (moment.replace(tzinfo=zone).astimezone(UTC) for moment in (first, after))
        return Window(start, end)

    @property
    def thresholds(self) -> tuple[int, ...]:
        """The per cent at which alerts go out, the highest first; none where they are switched off."""
        return () if self.alert_percent is None else tuple(sorted({FULL, self.alert_percent}, reverse=True))
