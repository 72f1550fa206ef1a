"""Compares the recorded totals with a bill, by day, model and properties."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise

from tracker import settings
from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.database.sql_file import load
from tracker.database.transactions import read_only_snapshot
from tracker.reconcile.provider_bill import Bill, Key, model_key
from tracker.rollups.range_plan import Segment, epoch_us, plan_range
from tracker.rollups.rollup_state import read_access, read_state

# Half a cent: bills are rounded, recorded costs are exact.
_ROUNDING_USD = Decimal("0.005")
ALL_MODELS = "all models"


@dataclass(frozen=True, slots=True)
class ComparedTotal:
    """One measure of a day, a model and values of properties: the billed and the recorded total."""

    day: date
    model: str
    measure: str
    billed: Decimal
    recorded: Decimal
    unpriced_calls: int = 0
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def difference(self) -> Decimal:
        """Recorded minus billed."""
        return self.recorded - self.billed

    @property
    def share(self) -> float:
        """The difference as a share of the larger total."""
        largest = max(abs(self.billed), abs(self.recorded))
        return float(abs(self.difference) / largest) if largest else 0.0

    def agrees(self, tolerance: float) -> bool:
        """Whether the totals differ by at most a share, 0.01 for 1 %."""
        rounding = _ROUNDING_USD if self.measure == "cost" else Decimal(0)
        return abs(self.difference) <= rounding or self.share <= tolerance


def compare_bill(
    connection: Connection, table: Table, bill: Bill, zone: str, provider: str | None
) -> list[ComparedTotal]:
    """The totals of the bill's days, the largest differences first. Raises `DatabaseError`.

    A `provider` excludes calls of other providers; calls without a provider count if the bill has their model.
    If no line of the bill names a model, whole days are compared.
    """
    days = bill.days
    if not days:
        return []
    all_days = [days[0] + timedelta(days=number) for number in range((days[-1] - days[0]).days + 1)]
    by_model = any(bill.names.values())
    recorded = _read_recorded(connection, table, all_days, zone, bill, provider, by_model=by_model)
    names = {**{key: key for _, key, _ in recorded}, **bill.names}
    totals = [
        ComparedTotal(
            day,
            names.get(key) or ("no model" if by_model else ALL_MODELS),
            measure,
            bill.sums.get((day, key, values), {}).get(measure, Decimal(0)),
            recorded.get((day, key, values), {}).get(measure, Decimal(0)),
            int(recorded.get((day, key, values), {}).get("unpriced_calls", 0)) if measure == "cost" else 0,
            dict(zip(bill.properties, values, strict=True)),
        )
        for day, key, values in {*bill.sums, *recorded}
        for measure in bill.measures
    ]
    return sorted(
        totals, key=lambda total: (-total.share, total.day, total.model, *total.properties.values(), total.measure)
    )


def _read_recorded(
    connection: Connection,
    table: Table,
    days: list[date],
    zone: str,
    bill: Bill,
    provider: str | None,
    *,
    by_model: bool,
) -> dict[Key, dict[str, Decimal]]:
    sums: dict[Key, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for step, call_provider, model, properties, *values in _query(connection, table, days, zone, bill.properties):
        key = model_key(str(model or ""))
        in_bill = key in bill.names or not by_model
        if provider and not (call_provider.lower() == provider.lower() if call_provider else in_bill):
            continue
        for name, value in zip(
            ("calls", "input_tokens", "output_tokens", "cost", "unpriced_calls"), values, strict=True
        ):
            sums[days[step], key if by_model else "", tuple(properties or ())][name] += value
    return sums


def _query(
    connection: Connection, table: Table, days: list[date], zone: str, properties: tuple[str, ...]
) -> list[tuple[int, str | None, str, list[str] | None, Decimal]]:
    """The recorded sums; from rows if the bill has properties, which the rollups do not have."""
    query = load("tracker.reconcile.sql", "daily")
    edges = [_midnight_us(day, zone) for day in (*days, days[-1] + timedelta(days=1))]
    segments = [Segment(start, until, step) for step, (start, until) in enumerate(pairwise(edges)) if start < until]
    with read_only_snapshot(connection):
        reads_rollups = not properties and read_access(connection, table).reads
        state = read_state(connection, table) if reads_rollups else None
        given: Mapping[str, object] = {
            **plan_range(segments, state).parameters(),
            "created_at_zone": table.created_at_zone,
            "compared_keys": list(properties) or None,
        }
        return execute(connection, (query if state else query.rows_only).for_driver(table), given)[1]


def _midnight_us(day: date, zone: str) -> int:
    return epoch_us(datetime.combine(day, time(), settings.load_time_zone(zone)).astimezone(UTC))
