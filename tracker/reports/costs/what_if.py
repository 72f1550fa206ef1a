"""What the calls of a range cost at the current list prices of other models.

The rows are read, since a price depends on what the rollups do not contain: the size of each prompt, the service tier,
and units such as audio. The newest calls are read first; a report that reached its time limit states how far it got.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from tracker.errors import SettingError
from tracker.messages import Message
from tracker.prices.currency_rates import Rates
from tracker.prices.price_catalog import PriceCatalog
from tracker.prices.price_shapes import (
    CACHE_READ,
    CACHE_WRITE,
    COMPONENTS,
    PLAIN_INPUT,
    PLAIN_OUTPUT,
    REASONING,
    CallShape,
    divide_details,
    narrow_tiers,
    shape_call,
    tier_starts,
)
from tracker.prices.shape_prices import ShapePrices
from tracker.prices.unpriced_reasons import Unpriced, describe_reason
from tracker.prices.what_if_models import MAX_MODELS, WhatIfModel, makes_text
from tracker.providers.consistency import is_aggregated
from tracker.reports import usage_totals
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters

TIME_LIMIT_S = 6.0
_FIRST_SCAN_ROWS, _MAX_SCAN_ROWS = 5_000, 160_000
_FAST_S, _SLOW_S = 0.4, 1.5
_DIFFERS = Unpriced("operation_differs")
_UNREADABLE = Unpriced("usage_inconsistent")
Row = Mapping[str, Any]


@dataclass(slots=True)
class Comparison:
    """The calls that have both costs: their own cost and the cost at the other model.

    `own_local` and `local` are in the currency of the filters, each call at the rate of its day.
    """

    calls: int = 0
    own_usd: Decimal = Decimal(0)
    usd: Decimal = Decimal(0)
    own_local: Decimal = Decimal(0)
    local: Decimal = Decimal(0)

    def add(self, calls: int, own: Decimal, other: Decimal, rate: Decimal) -> None:
        self.calls += calls
        self.own_usd += own
        self.usd += other
        self.own_local += own * rate
        self.local += other * rate

    @property
    def difference_usd(self) -> Decimal:
        """The cost at the other model minus the own cost."""
        return self.usd - self.own_usd

    @property
    def change(self) -> float | None:
        """The difference as a share of the own cost; None if there is none."""
        return float(self.difference_usd / self.own_usd) if self.own_usd else None


@dataclass(slots=True)
class PricedCalls:
    """The calls that have a price, its sum, and the calls and tokens without one by reason."""

    calls: int = 0
    usd: Decimal = Decimal(0)
    local: Decimal = Decimal(0)
    missing_calls: Counter[Unpriced] = field(default_factory=Counter)
    missing_tokens: Counter[Unpriced] = field(default_factory=Counter)

    def add(self, price: Decimal | Unpriced, calls: int, tokens: int, rate: Decimal) -> None:
        if isinstance(price, Unpriced):
            self.missing_calls[price] += calls
            self.missing_tokens[price] += tokens
        else:
            self.calls += calls
            self.usd += price
            self.local += price * rate

    @property
    def gaps(self) -> list[tuple[Message, int, int]]:
        """The reason, the calls and the tokens of the calls without a price, the most tokens first."""
        ordered = sorted(self.missing_calls, key=lambda reason: (-self.missing_tokens[reason], reason.source))
        return [(_describe(reason), self.missing_calls[reason], self.missing_tokens[reason]) for reason in ordered]


@dataclass(slots=True)
class WhatIfCost:
    """The cost of the calls at one model, and its comparison with the recorded cost and with today's own prices."""

    model: WhatIfModel
    priced: PricedCalls = field(default_factory=PricedCalls)
    recorded: Comparison = field(default_factory=Comparison)
    repriced: Comparison = field(default_factory=Comparison)


@dataclass(slots=True)
class WhatIfReport:
    """The recorded cost of the calls, their cost at today's prices of their own models, and at other models.

    `calls` were compared. `oldest_at` is the time of the oldest one if the time limit ended the report, so that some of
    the `range_calls` are not compared. `pruned_calls` have no rows any more.
    """

    at: datetime
    models: list[WhatIfCost]
    calls: int = 0
    tokens: int = 0
    recorded_calls: int = 0
    recorded_usd: Decimal = Decimal(0)
    recorded_local: Decimal = Decimal(0)
    own: PricedCalls = field(default_factory=PricedCalls)
    oldest_at: datetime | None = None
    range_calls: int = 0
    pruned_calls: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether all calls of the range with a row were compared."""
        return self.oldest_at is None


def what_if(
    reader: Reader,
    filters: Filters,
    catalog: PriceCatalog,
    models: Sequence[WhatIfModel],
    at: datetime,
    *,
    time_limit_s: float = TIME_LIMIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> WhatIfReport:
    """The report for the calls of the filters at the prices of `at`. Raises `DatabaseError`."""
    if len(models) > MAX_MODELS:
        raise SettingError(Message("prices.what_if.too_many_models", limit=MAX_MODELS))
    report = WhatIfReport(at, [WhatIfCost(model) for model in models])
    pricing = _Pricing(report, catalog, filters.rates)
    for rows, oldest_at in _scan(reader, filters, clock() + time_limit_s, clock):
        for row in rows:
            pricing.add(row)
        report.oldest_at = oldest_at
    pricing.finish()
    report.range_calls = max(usage_totals.totals(reader, filters).calls, report.calls)
    if report.is_complete:
        # Calls that were recorded meanwhile are not pruned ones.
        detail_from = reader.freshness().detail_from
        is_pruned = detail_from is not None and filters.start < detail_from
        report.pruned_calls = report.range_calls - report.calls if is_pruned else 0
        report.range_calls = report.calls + report.pruned_calls
    return report


def _scan(
    reader: Reader, filters: Filters, ends_at: float, clock: Callable[[], float]
) -> Iterator[tuple[list[Row], datetime | None]]:
    """The rows of each statement, and the time of its oldest call; None after the last call of the range."""
    parameters: dict[str, object] = {
        **filters.parameters(),
        "before": None,
        "before_id": None,
        "tier_starts": _array(tier_starts()),
        "narrow_tiers": _array(narrow_tiers()),
    }
    scan_rows = _FIRST_SCAN_ROWS
    while True:
        started = clock()
        rows = reader.rows("what_if", {**parameters, "scan_rows": scan_rows})
        last = next((row for row in rows if row["scanned"] is not None), None)
        is_last = last is None or last["scanned"] < scan_rows
        yield [row for row in rows if row["scanned"] is None], None if is_last or last is None else last["last_at"]
        if is_last or last is None or clock() >= ends_at:
            return
        parameters |= {"before": last["last_at"], "before_id": last["last_id"]}
        # The caller prices the rows before it asks for more.
        duration_s = clock() - started
        if duration_s < _FAST_S:
            scan_rows = min(2 * scan_rows, _MAX_SCAN_ROWS)
        elif duration_s > _SLOW_S:
            scan_rows = max(scan_rows // 2, _FIRST_SCAN_ROWS // 5)


def _array(numbers: Sequence[int]) -> str:
    """Numbers as a PostgreSQL array."""
    return "{" + ",".join(map(str, numbers)) + "}"


@dataclass(slots=True)
class _ShapeGroup:
    """Calls of one shape, model and operation, added up."""

    calls: int = 0
    tokens: int = 0
    cost_usd: Decimal | None = None
    amounts: Counter[str] = field(default_factory=Counter)


class _Pricing:
    """Adds rows to the report: calls of one shape are priced together at the end, the others one by one."""

    def __init__(self, report: WhatIfReport, catalog: PriceCatalog, rates: Rates) -> None:
        self._rates = [rate for _, rate in rates] or [Decimal(1)]
        self._report = report
        self._catalog = catalog
        self._prices = ShapePrices(catalog, report.at)
        self._groups: dict[tuple[str, str, str, bool, int, CallShape], _ShapeGroup] = defaultdict(_ShapeGroup)
        self._kinds: dict[tuple[str, str, str], bool | None] = {}

    def add(self, row: Row) -> None:
        details, batch = _parse(row["details"]), _parse(row["batch"])
        report = self._report
        report.calls += row["calls"]
        report.tokens += row["total_tokens"]
        if row["has_cost"]:
            report.recorded_calls += row["calls"]
            report.recorded_usd += row["cost_usd"]
            report.recorded_local += row["cost_usd"] * self._rates[row["rate_number"]]
        if row["problem"] is not None or details is _UNREADABLE:
            code = "usage_aggregated" if is_aggregated(row["problem"]) else "usage_inconsistent"
            reason = Unpriced(code)
            self._compare(row, row["calls"], row["total_tokens"], row["cost_usd"], lambda *_: reason)
            return
        details = details if isinstance(details, dict) else {}
        calls = batch if type(batch) is int else 1
        shaped = None if calls != 1 else _shape(row, details)
        if shaped is None:
            self._compare(row, row["calls"], row["total_tokens"], row["cost_usd"], self._single(row, details, calls))
            return
        shape, amounts = shaped
        names = row["provider"], row["model"], row["operation"]
        group = self._groups[*names, row["has_cost"], row["rate_number"], shape]
        group.calls += row["calls"]
        group.tokens += row["total_tokens"]
        if row["has_cost"]:
            group.cost_usd = (group.cost_usd or Decimal(0)) + row["cost_usd"]
        group.amounts.update(amounts)

    def _single(self, row: Row, details: Mapping[str, Any], calls: int) -> Callable[[str, str], Decimal | Unpriced]:
        def price(provider: str, model: str) -> Decimal | Unpriced:
            found = self._catalog.price(
                provider, model, self._report.at, row, details, calls=calls, failed=row["failed"]
            )
            return found if isinstance(found, Unpriced) else found.cost

        return price

    def finish(self) -> None:
        """Price the calls that were added up."""
        for (provider, model, operation, _, rate_number, shape), group in self._groups.items():
            row = {"provider": provider, "model": model, "operation": operation, "rate_number": rate_number}

            def price(
                provider: str, model: str, shape: CallShape = shape, group: _ShapeGroup = group
            ) -> Decimal | Unpriced:
                return self._prices.cost(provider, model, shape, group.amounts, group.calls)

            self._compare(row, group.calls, group.tokens, group.cost_usd, price)

    def _compare(
        self,
        row: Row,
        calls: int,
        tokens: int,
        recorded: Decimal | None,
        price: Callable[[str, str], Decimal | Unpriced],
    ) -> None:
        own = price(row["provider"], row["model"])
        rate = self._rates[row["rate_number"]]
        self._report.own.add(own, calls, tokens, rate)
        own_kind = self._kind(row["provider"], row["model"], row["operation"])
        for entry in self._report.models:
            target_kind = self._kind(entry.model.provider, entry.model.model)
            differs = None not in {own_kind, target_kind} and own_kind != target_kind
            other = price(entry.model.provider, entry.model.model)
            # A reason that concerns the call is more exact than the kind of the model.
            is_unread = isinstance(other, Unpriced) and other.code.startswith("usage_")
            other = _DIFFERS if differs and not is_unread else other
            entry.priced.add(other, calls, tokens, rate)
            if isinstance(other, Unpriced):
                continue
            if recorded is not None:
                entry.recorded.add(calls, recorded, other, rate)
            if not isinstance(own, Unpriced):
                entry.repriced.add(calls, own, other, rate)

    def _kind(self, provider: str, model: str, operation: str = "") -> bool | None:
        key = provider, model, operation
        if key not in self._kinds:
            self._kinds[key] = makes_text(self._catalog, provider, model, self._report.at, operation)
        return self._kinds[key]


def _shape(row: Row, details: Mapping[str, Any]) -> tuple[CallShape, Mapping[str, int]] | None:
    """The shape of a row and its amounts; None if its calls must be priced alone."""
    if row["is_single"]:
        return shape_call({name: row[name] for name in COMPONENTS}, details, failed=row["failed"])
    divided = divide_details(details)
    if divided is None:
        return None
    has = {
        PLAIN_INPUT: row["has_input"],
        PLAIN_OUTPUT: row["has_output"],
        CACHE_READ: row["has_cache_read"],
        CACHE_WRITE: row["has_cache_write"],
        REASONING: row["has_reasoning"],
    }
    amounts = {name: row[name] for name in COMPONENTS}
    amounts[PLAIN_INPUT] -= amounts[CACHE_READ] + amounts[CACHE_WRITE]
    amounts[PLAIN_OUTPUT] -= amounts[REASONING]
    shape = CallShape(frozenset(name for name in COMPONENTS if has[name]), divided[0], row["tier"], row["failed"])
    return shape, {name: amount for name, amount in amounts.items() if amount}


def _describe(reason: Unpriced) -> Message:
    if reason.code == "operation_differs":
        return Message("prices.what_if.operation_differs")
    if reason.code == "tier_not_priced":
        return Message("prices.what_if.tier_not_priced", detail=reason.detail)
    return describe_reason(reason)


def _parse(text: str | None) -> Any:
    """The JSON value; None if missing, `_UNREADABLE` if it exceeds Python's limits of digits and depth."""
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return _UNREADABLE
