"""Sets costs by the current price list: first a plan, then the changes.

A call without a price gets the reason in `cost_source` (`unpriced <code> <detail>`), so that it is visible and is not
priced again each minute. Inconsistent usage is read again from its raw numbers.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import IO, Any

from tracker.database.connect import Connection
from tracker.database.schema import read_table, require_columns
from tracker.prices.cost_changes import CallChange, CostColumns, apply_changes, read_columns
from tracker.prices.count_corrections import Correction, read_correction
from tracker.prices.custom_prices import FILE_SOURCE, STORED_SOURCE
from tracker.prices.price_catalog import Price, PriceCatalog
from tracker.prices.unpriced_calls import EVERYTHING, START, Cursor, Scope, count_skipped, read_calls
from tracker.prices.unpriced_reasons import Unpriced, unpriced
from tracker.providers.consistency import is_aggregated
from tracker.usage import MAX_COST_USD

ROWS_PER_PROGRESS = 2000
_UNREADABLE = object()


@dataclass(slots=True)
class ModelSums:
    """The sums of one model: calls, calls with a new cost, and the cost in USD before and after.

    A cost is None if no call has one.
    The sums whose names begin with `changed` are those of the calls with a new cost.
    """

    calls: int = 0
    changed: int = 0
    old: Decimal | None = None
    new: Decimal | None = None
    reasons: Counter[Unpriced] = field(default_factory=Counter)
    changed_tokens: int = 0
    changed_old: Decimal = Decimal(0)
    changed_new: Decimal = Decimal(0)

    def add_change(self, row: Mapping[str, Any], old: Decimal | None, new: Decimal | None) -> None:
        """Count a call whose cost changes; None is no cost."""
        self.changed += 1
        self.changed_tokens += row["input_tokens"] + row["output_tokens"]
        self.changed_old += old or 0
        self.changed_new += new or 0

    @property
    def unpriced(self) -> int:
        return self.reasons.total()


@dataclass(slots=True)
class RepricePlan:
    """The planned changes: sums by (provider, model), and the changes in a file, since there may be many.

    `changed` calls get a new cost, `corrected` calls new counts, `explained` calls only a new reason. Calls that are
    `without_time` or `failed` are skipped. Given costs that are not an amount (`unusable_costs`) remain, in no sum.
    """

    changes: IO[str]
    sums: dict[tuple[str, str], ModelSums] = field(default_factory=lambda: defaultdict(ModelSums))
    corrected: int = 0
    explained: int = 0
    read: int = 0
    without_time: int = 0
    failed: int = 0
    unusable_costs: int = 0
    cursor: Cursor = START

    @property
    def changed(self) -> int:
        return sum(sums.changed for sums in self.sums.values())

    @property
    def has_changes(self) -> bool:
        return bool(self.changed or self.corrected or self.explained)

    @property
    def remarks(self) -> list[str]:
        """A sentence for each kind of skipped calls."""
        years = "without a cost are skipped: their created_at is not in the years 1 to 9999. Correct it."
        amount = (
            f"have a given cost that is no amount of USD (NaN, or beyond {MAX_COST_USD:,}): it stays, and no sum"
            " contains it. Correct it, or set it to NULL."
        )
        failed = "are skipped: their price can't be calculated from what is stored."
        kinds = ((self.without_time, years), (self.failed, failed), (self.unusable_costs, amount))
        return [f"{count:,} calls {text}" for count, text in kinds if count]


def plan(
    connection: Connection,
    schema: str | None,
    catalog: PriceCatalog,
    changes: IO[str],
    scope: Scope = EVERYTHING,
    *,
    progress: Callable[[int], None] = lambda _: None,
) -> RepricePlan:
    """Write the planned changes of the scope's calls to the file `changes`; changes no row.

    Costs from a caller or a provider remain, except for a 0 that the price list contradicts. A cost from Token Tracker
    becomes NULL if the list has no price by the current rules. Raises `DatabaseError`.
    """
    reprice_plan = RepricePlan(changes, cursor=scope.since)
    plan_calls(connection, schema, catalog, reprice_plan, scope, progress)
    table = read_table(connection, schema)
    reprice_plan.without_time, reprice_plan.unusable_costs = count_skipped(connection, table, scope)
    return reprice_plan


def plan_calls(
    connection: Connection,
    schema: str | None,
    catalog: PriceCatalog,
    reprice_plan: RepricePlan,
    scope: Scope,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Add the scope's calls to a plan, without the count of skipped calls, which reads the whole table.

    If `progress` or a query raises an exception, the plan contains the calls that were read until then.
    """
    table = require_columns(read_table(connection, schema))
    planner = _Planner(catalog, read_columns(connection, table), reprice_plan)
    for row in read_calls(connection, table, scope):
        planner.add(row)
        if reprice_plan.read % ROWS_PER_PROGRESS == 0:
            progress(reprice_plan.read)


@dataclass(slots=True)
class _Planner:
    """Decides what changes in each call."""

    catalog: PriceCatalog
    columns: CostColumns
    plan: RepricePlan

    def add(self, row: Mapping[str, Any]) -> None:
        self.plan.read += 1
        self.plan.cursor = Cursor(row["created_at"].isoformat(), row["id"])
        marked = _parse(row["marked"])
        try:
            correction = read_correction(marked) if isinstance(marked, dict) else None
            price = self._price(row, marked, correction)
        except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError):
            # metadata may be any JSON; an unexpected structure must fail only this call.
            self.plan.failed += 1
            return
        change = CallChange(row["id"], correction)
        self.plan.corrected += correction is not None
        self._plan_cost(row, change, price)
        if change.has_effect:
            self.plan.changes.write(json.dumps(change.as_json()) + "\n")

    def _price(self, row: Mapping[str, Any], marked: object, correction: Correction | None) -> Price | Unpriced:
        details, calls = _parse(row["details"]), _parse(row["calls"])
        if marked is not None and correction is None:
            return unpriced("usage_aggregated" if _is_aggregated(marked) else "usage_inconsistent")
        if details is _UNREADABLE:
            return unpriced("usage_inconsistent")
        details = correction.details if correction else details
        return self.catalog.price(
            row["provider"],
            row["model"],
            row["created_at"],
            correction.counts if correction else row,
            details if isinstance(details, dict) else None,
            calls=calls if type(calls) is int else 1,
            failed=row["failed"],
        )

    def _plan_cost(self, row: Mapping[str, Any], change: CallChange, price: Price | Unpriced) -> None:
        sums = self.plan.sums[row["provider"], row["model"]]
        sums.calls += 1
        old, is_usable = _amount(row["cost"])
        if not is_usable and not _is_calculated(row["cost_source"]):
            return
        sums.old = _add(sums.old, old)
        if old is not None and not _may_replace(old, row["cost_source"], price):
            sums.new = _add(sums.new, old)
        elif isinstance(price, Price):
            # An app's column with few digits contains the rounded cost.
            new = self.columns.round_cost(price.cost)
            sums.new = _add(sums.new, new)
            if old is None or new != self.columns.round_cost(old):
                sums.add_change(row, old, new)
                change.set_cost(format(price.cost, "f"), self.columns.truncate_source(price.source))
        else:
            sums.reasons[price] += 1
            source = self.columns.truncate_source(price.source)
            if old is not None or source != row["cost_source"]:
                if old is not None:
                    sums.add_change(row, old, None)
                self.plan.explained += old is None
                change.set_cost(None, source)


def _add(total: Decimal | None, cost: Decimal | None) -> Decimal | None:
    """The total with a cost; None if both are unknown."""
    return total if cost is None else cost + (total or 0)


def _is_aggregated(marked: object) -> bool:
    return isinstance(marked, dict) and is_aggregated(marked["usage_problem"])


def _may_replace(old: Decimal, source: str | None, price: Price | Unpriced) -> bool:
    """Whether a stored cost is from Token Tracker, or a given 0 although the list has a price."""
    if source == "provided":
        return old == 0 and isinstance(price, Price) and price.cost > 0
    return _is_calculated(source)


def _is_calculated(source: str | None) -> bool:
    return source is not None and (source in {FILE_SOURCE, STORED_SOURCE} or source.startswith("genai-prices "))


def _amount(cost: str | None) -> tuple[Decimal | None, bool]:
    """A stored cost in USD, and whether it is usable; NaN and impossible amounts are not."""
    if cost is None:
        return None, True
    amount = Decimal(cost)
    is_usable = amount.is_finite() and abs(amount) <= MAX_COST_USD
    return amount if is_usable else None, is_usable


def _parse(text: str | None) -> Any:
    """The JSON value; None if missing, `_UNREADABLE` if it exceeds Python's limits of digits and depth."""
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return _UNREADABLE


def apply(connection: Connection, schema: str | None, plan: RepricePlan) -> int:
    """Write the plan, one transaction for each 2,000 calls; returns the number of written calls.

    Each transaction marks the rollups of the calls that it changes. Raises `DatabaseError`.
    """
    return apply_changes(connection, require_columns(read_table(connection, schema)), plan.changes)


def price_unpriced_calls(
    connection: Connection, schema: str | None, catalog: PriceCatalog, scope: Scope
) -> RepricePlan:
    """Set the cost, or the reason why there is none, of the scope's calls without a cost.

    For the dashboard, which runs separately from the recording functions. Raises `DatabaseError`.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as changes:
        reprice_plan = plan(connection, schema, catalog, changes, replace(scope, include_priced=False))
        if reprice_plan.has_changes:
            apply(connection, schema, reprice_plan)
        return reprice_plan
