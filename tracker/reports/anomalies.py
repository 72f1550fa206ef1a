"""Is anything odd today? What lies far outside its own usual range for this weekday, up to this time of the day."""

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
_WORTH = 0.05  # of the day's whole: an eightfold trifle is a trifle
# Nobody is to be called for less: US dollars, tokens, failed calls.
_LEAST: Mapping[str, float] = {"cost": 1.0, "tokens": 100_000.0, "errors": 5.0}
_FEWEST_CALLS = 20
Measure = Literal["cost", "tokens", "errors"]


@dataclass(frozen=True, slots=True)
class Unusual:
    """A model's cost (US dollars) or tokens, or all failed calls, today and usually; who is behind most of it."""

    measure: Measure
    model: str | None
    today: float
    usual: float
    users: tuple[str, ...] = ()

    @property
    def times(self) -> float:
        return self.today / self.usual


def unusual(reader: Reader, filters: Filters, now: datetime) -> Unusual | None:
    """The one thing that stands out most today; None on a day like others, or where too little was before to say.

    The range of `filters` doesn't matter, its other filters and its time zone do. Raises `DatabaseError`.
    """
    zone = ZoneInfo(filters.timezone)
    local = now.astimezone(zone)
    midnight = datetime.combine(local.date(), time(), zone)
    today = replace(filters, start=midnight, end=local + timedelta(seconds=1))
    figures = [_figures(reader, _weeks_before(today, weeks)) for weeks in range(WEEKS + 1)]
    found = stands_out(figures[0], figures[1:])
    if found is None or found.model is None:
        return found
    users = usage_totals.top_users(reader, replace(today, model=found.model), count=2)
    return replace(found, users=tuple(str(user) for user in users["user_id"]))


def _weeks_before(day: Filters, weeks: int) -> Filters:
    shift = timedelta(weeks=weeks)
    return replace(day, start=day.start - shift, end=day.end - shift)


def _figures(reader: Reader, day: Filters) -> Mapping[tuple[Measure, str | None], float]:
    models = usage_totals.by_model_over_time(reader, day)
    found: dict[tuple[Measure, str | None], float] = {}
    for model, group in models.groupby("model"):
        found["cost", str(model)] = float(group["cost_usd"].fillna(0).sum())
        found["tokens", str(model)] = float(group["total_tokens"].sum())
    if len(models) and int(models["calls"].sum()) >= _FEWEST_CALLS:
        found["errors", None] = float(usage_totals.totals(reader, day).failed_calls)
    return found


def stands_out(
    today: Mapping[tuple[Measure, str | None], float], before: Sequence[Mapping[tuple[Measure, str | None], float]]
) -> Unusual | None:
    """The figure that is the largest multiple of its usual one, if any is far outside."""
    whole = {measure: sum(v for (m, _), v in today.items() if m == measure) for measure in ("cost", "tokens", "errors")}
    found: list[Unusual] = []
    for (measure, model), value in today.items():
        usual = [day[measure, model] for day in before if (measure, model) in day]
        if len(usual) < 2 or value < max(_LEAST[measure], _WORTH * whole[measure]):
            continue
        mean, spread = statistics.fmean(usual), statistics.pstdev(usual)
        if mean > 0 and value >= FACTOR * mean and value > mean + _SIGMAS * spread:
            found.append(Unusual(measure, model, value, mean))
    # The same calls cost and count: money is what people ask about first.
    return max(found, key=lambda one: (one.times, one.measure == "cost"), default=None)
