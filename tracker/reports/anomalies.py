"""Finds what is far above the usual value of this weekday up to this time of the day: cost, tokens or failed calls."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from tracker.reports import usage_totals
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters

WEEKS = 4
FACTOR = 2.0
_SIGMAS = 3.0
_MIN_SHARE_OF_DAY = 0.05
_MIN_VALUES: Mapping[str, float] = {"cost": 1.0, "tokens": 100_000.0, "errors": 5.0}
"""Smaller values are never an anomaly: US dollars, tokens, failed calls."""
_MIN_CALLS = 20
Measure = Literal["cost", "tokens", "errors"]
_Values = Mapping[tuple[Measure, str | None], float]
"""The value of each measure and model; None for all models."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """The cost (US dollars) or tokens of a model, or all failed calls, today and usually; the model's top users."""

    measure: Measure
    model: str | None
    today: float
    usual: float
    users: tuple[str, ...] = ()

    @property
    def ratio(self) -> float:
        return self.today / self.usual


def find_anomaly(reader: Reader, filters: Filters, now: datetime) -> Anomaly | None:
    """The largest anomaly of today; None without one, or without enough data of earlier weeks.

    Uses the filters and the time zone of `filters`, not its range. Raises `DatabaseError`.
    """
    zone = ZoneInfo(filters.timezone)
    local = now.astimezone(zone)
    midnight = datetime.combine(local.date(), time(), zone)
    today = replace(filters, start=midnight, end=local + timedelta(seconds=1))
    values = [_values(reader, _shift_weeks(today, weeks)) for weeks in range(WEEKS + 1)]
    anomaly = largest_anomaly(values[0], values[1:])
    if anomaly is None or anomaly.model is None:
        return anomaly
    users = usage_totals.top_users(reader, replace(today, model=anomaly.model), count=2)
    return replace(anomaly, users=tuple(str(user) for user in users["user_id"]))


def _shift_weeks(day: Filters, weeks: int) -> Filters:
    shift = timedelta(weeks=weeks)
    return replace(day, start=day.start - shift, end=day.end - shift)


def _values(reader: Reader, day: Filters) -> _Values:
    models = usage_totals.by_model_over_time(reader, day)
    values: dict[tuple[Measure, str | None], float] = {}
    for model, group in models.groupby("model"):
        values["cost", str(model)] = float(group["cost_usd"].fillna(0).sum())
        values["tokens", str(model)] = float(group["total_tokens"].sum())
    if len(models) and int(models["calls"].sum()) >= _MIN_CALLS:
        values["errors", None] = float(usage_totals.totals(reader, day).failed_calls)
    return values


def largest_anomaly(today: _Values, earlier_days: Sequence[_Values]) -> Anomaly | None:
    """The anomaly with the largest ratio to its usual value, if there is any."""
    day_totals = {
        measure: sum(v for (m, _), v in today.items() if m == measure) for measure in ("cost", "tokens", "errors")
    }
    anomalies: list[Anomaly] = []
    for (measure, model), value in today.items():
        usual = [day[measure, model] for day in earlier_days if (measure, model) in day]
        if len(usual) < 2 or value < max(_MIN_VALUES[measure], _MIN_SHARE_OF_DAY * day_totals[measure]):
            continue
        mean, spread = statistics.fmean(usual), statistics.pstdev(usual)
        if mean > 0 and value >= FACTOR * mean and value > mean + _SIGMAS * spread:
            anomalies.append(Anomaly(measure, model, value, mean))
    # The cost and the tokens of the same calls can have the same ratio: prefer the cost.
    return max(anomalies, key=lambda anomaly: (anomaly.ratio, anomaly.measure == "cost"), default=None)
