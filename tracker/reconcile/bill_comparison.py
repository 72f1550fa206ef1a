"""Our own sums beside a bill's, and where the two differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise

from tracker import settings
from tracker.budgets.spending import snapshot
from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.database.sql_file import load
from tracker.reconcile.provider_bill import Bill, Key, model_key
from tracker.rollups.range_plan import Segment, epoch_us, plan_range
from tracker.rollups.rollup_state import read_access, read_state

# Half a cent: bills are rounded, ours is exact.
_ROUNDING_USD = Decimal("0.005")
ALL_MODELS = "all models"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a day and a model, on both sides."""

    day: date
    model: str
    figure: str
    theirs: Decimal
    ours: Decimal
    unpriced_calls: int = 0

    @property
    def difference(self) -> Decimal:
        """What we have more."""
        return self.ours - self.theirs

    @property
    def share(self) -> float:
        """The difference, of the larger side."""
        largest = max(abs(self.theirs), abs(self.ours))
        return float(abs(self.difference) / largest) if largest else 0.0

    def agrees(self, tolerance: float) -> bool:
        """Whether the two are the same within a share, 0.01 for 1 %."""
        rounding = _ROUNDING_USD if self.figure == "cost" else Decimal(0)
        return abs(self.difference) <= rounding or self.share <= tolerance


def compare(connection: Connection, table: Table, bill: Bill, zone: str, provider: str | None) -> list[Figure]:
    """Every figure of the bill's days, the largest differences first. Raises `DatabaseError`.

    With a `provider` the other ones' calls are left out, but for those without a provider whose model the bill has.
    Where no line of the bill names a model, days are compared as a whole.
    """
    days = bill.days
    if not days:
        return []
    every = [days[0] + timedelta(days=number) for number in range((days[-1] - days[0]).days + 1)]
    by_model = any(bill.names.values())
    ours = _ours(connection, table, every, zone, set(bill.names), provider, by_model=by_model)
    names = {**{key: key for _, key in ours}, **bill.names}
    found = [
        Figure(
            day,
            names.get(key) or ("no model" if by_model else ALL_MODELS),
            figure,
            bill.sums.get((day, key), {}).get(figure, Decimal(0)),
            ours.get((day, key), {}).get(figure, Decimal(0)),
            int(ours.get((day, key), {}).get("unpriced_calls", 0)) if figure == "cost" else 0,
        )
        for day, key in {*bill.sums, *ours}
        for figure in bill.figures
    ]
    return sorted(found, key=lambda one: (-one.share, one.day, one.model, one.figure))


def _ours(
    connection: Connection,
    table: Table,
    days: list[date],
    zone: str,
    known: set[str],
    provider: str | None,
    *,
    by_model: bool,
) -> dict[Key, dict[str, Decimal]]:
    sums: dict[Key, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for step, whose, model, *figures in _ask(connection, table, days, zone):
        key = model_key(str(model or ""))
        if provider and not (whose.lower() == provider.lower() if whose else key in known or not by_model):
            continue
        for name, figure in zip(
            ("calls", "input_tokens", "output_tokens", "cost", "unpriced_calls"), figures, strict=True
        ):
            sums[days[step], key if by_model else ""][name] += figure
    return sums


def _ask(
    connection: Connection, table: Table, days: list[date], zone: str
) -> list[tuple[int, str | None, str, Decimal]]:
    query = load("tracker.reconcile.sql", "daily")
    edges = [_midnight(day, zone) for day in (*days, days[-1] + timedelta(days=1))]
    segments = [Segment(start, until, step) for step, (start, until) in enumerate(pairwise(edges)) if start < until]
    with snapshot(connection):
        state = read_state(connection, table) if read_access(connection, table).reads else None
        given: Mapping[str, object] = {
            **plan_range(segments, state).parameters(),
            "created_at_zone": table.created_at_zone,
        }
        return execute(connection, (query if state else query.rows_only).for_driver(table), given)[1]


def _midnight(day: date, zone: str) -> int:
    return epoch_us(datetime.combine(day, time(), settings.zone(zone)).astimezone(UTC))
