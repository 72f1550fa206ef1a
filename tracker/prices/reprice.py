"""Sets costs by today's price list: first the plan, then the change.

A call without a price gets the reason in `cost_source` (`unpriced <code> <detail>`), so that it is visible and is not
priced again each minute. Usage that was marked as inconsistent is read again from its stored numbers.
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
from tracker.database.schema import Table, read_table
from tracker.errors import SetupError
from tracker.prices.cost_changes import Change, Columns, apply_changes, read_columns
from tracker.prices.count_corrections import Correction, read_correction
from tracker.prices.price_catalog import OWN, Price, PriceCatalog
from tracker.prices.unpriced_calls import EVERYTHING, START, Cursor, Scope, count_skipped, read_calls
from tracker.prices.unpriced_reasons import Unpriced, unpriced
from tracker.providers.consistency import is_aggregated
from tracker.usage import MAX_COST_USD

ROWS_PER_PROGRESS = 2000
_UNREADABLE = object()


@dataclass(slots=True)
class Sums:
    """One model's calls: how many there are, how many get another cost, and the sums before and after, in USD."""

    calls: int = 0
    changed: int = 0
    old: Decimal = Decimal(0)
    new: Decimal = Decimal(0)
    reasons: Counter[Unpriced] = field(default_factory=Counter)

    @property
    def unpriced(self) -> int:
        return self.reasons.total()


@dataclass(slots=True)
class RepricePlan:
    """What is to change: the sums by (provider, model), and the changes in a file, since there may be many.

    `changed` calls get another cost, `corrected` ones other counts, `explained` ones only another reason. Calls that
    are `without_time` or `failed` are skipped. Given costs that are no amount (`unusable_costs`) stay, without a sum.
    """

    changes: IO[str]
    sums: dict[tuple[str, str], Sums] = field(default_factory=lambda: defaultdict(Sums))
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
        """A sentence for each kind of calls that were skipped."""
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
    book: PriceCatalog,
    changes: IO[str],
    scope: Scope = EVERYTHING,
    *,
    progress: Callable[[int], None] = lambda _: None,
) -> RepricePlan:
    """Write into the file `changes` what each call of the scope costs today; no row is written.

    Costs that a caller or a provider gave stay, except for a 0 that the price list contradicts. A cost of ours becomes
    NULL if the list has no price by today's rules. Raises `DatabaseError`.
    """
    table = _usable(connection, schema)
    planner = _Planner(book, read_columns(connection, table), RepricePlan(changes, cursor=scope.since))
    for row in read_calls(connection, table, scope):
        planner.add(row)
        if planner.found.read % ROWS_PER_PROGRESS == 0:
            progress(planner.found.read)
    planner.found.without_time, planner.found.unusable_costs = count_skipped(connection, table, scope)
    return planner.found


@dataclass(slots=True)
class _Planner:
    """Decides what changes in each call."""

    book: PriceCatalog
    columns: Columns
    found: RepricePlan

    def add(self, row: Mapping[str, Any]) -> None:
        self.found.read += 1
        self.found.cursor = Cursor(row["created_at"].isoformat(), row["id"])
        marked = _parse(row["marked"])
        try:
            correction = read_correction(marked) if isinstance(marked, dict) else None
            price = self._price(row, marked, correction)
        except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError):
            # metadata is any JSON; a shape that nothing else covers costs this call its price, not all calls.
            self.found.failed += 1
            return
        change = Change(row["id"], correction)
        self.found.corrected += correction is not None
        self._plan_cost(row, change, price)
        if change.has_effect:
            self.found.changes.write(json.dumps(change.as_json()) + "\n")

    def _price(self, row: Mapping[str, Any], marked: object, correction: Correction | None) -> Price | Unpriced:
        details, calls = _parse(row["details"]), _parse(row["calls"])
        if marked is not None and correction is None:
            return unpriced("usage_aggregated" if _is_aggregated(marked) else "usage_inconsistent")
        if details is _UNREADABLE:
            return unpriced("usage_inconsistent")
        details = correction.details if correction else details
        return self.book.price(
            row["provider"],
            row["model"],
            row["created_at"],
            correction.counts if correction else row,
            details if isinstance(details, dict) else None,
            calls=calls if type(calls) is int else 1,
            failed=row["failed"],
        )

    def _plan_cost(self, row: Mapping[str, Any], change: Change, price: Price | Unpriced) -> None:
        sums = self.found.sums[row["provider"], row["model"]]
        sums.calls += 1
        old, is_usable = _amount(row["cost"])
        if not is_usable and not _is_ours(row["cost_source"]):
            return
        sums.old += old or 0
        if old is not None and not _may_replace(old, row["cost_source"], price):
            sums.new += old
        elif isinstance(price, Price):
            # A column that an app declared with few digits contains the rounded cost.
            new = self.columns.stored(price.cost)
            sums.new += new
            if old is None or new != self.columns.stored(old):
                sums.changed += 1
                change.set_cost(format(price.cost, "f"), self.columns.fit(price.source))
        else:
            sums.reasons[price] += 1
            source = self.columns.fit(price.source)
            if old is not None or source != row["cost_source"]:
                sums.changed += old is not None
                self.found.explained += old is None
                change.set_cost(None, source)


def _is_aggregated(marked: object) -> bool:
    return isinstance(marked, dict) and is_aggregated(marked["usage_problem"])


def _may_replace(old: Decimal, source: str | None, price: Price | Unpriced) -> bool:
    """Whether a stored cost is ours, or a given 0 of a call that the list has a price for."""
    if source == "provided":
        return old == 0 and isinstance(price, Price) and price.cost > 0
    return _is_ours(source)


def _is_ours(source: str | None) -> bool:
    return source is not None and (source == OWN or source.startswith("genai-prices "))


def _amount(cost: str | None) -> tuple[Decimal | None, bool]:
    """A stored cost in USD, and whether it is one: NaN and what no call can cost count as no cost."""
    if cost is None:
        return None, True
    amount = Decimal(cost)
    is_usable = amount.is_finite() and abs(amount) <= MAX_COST_USD
    return amount if is_usable else None, is_usable


def _parse(text: str | None) -> Any:
    """The JSON value; None for a missing one, `_UNREADABLE` for one beyond Python's limits of digits and depth."""
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return _UNREADABLE


def apply(connection: Connection, schema: str | None, found: RepricePlan) -> int:
    """Write the plan, one transaction for each 2,000 calls; returns the number of written calls.

    Each transaction marks the rollups of the calls that it changes. Raises `DatabaseError`.
    """
    return apply_changes(connection, _usable(connection, schema), found.changes)


def price_unpriced_calls(connection: Connection, schema: str | None, book: PriceCatalog, scope: Scope) -> RepricePlan:
    """Give the calls of the scope that have no cost their cost, or the reason why they have none.

    For a process that runs next to the functions: the dashboard. Raises `DatabaseError`.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as changes:
        found = plan(connection, schema, book, changes, replace(scope, again=False))
        if found.has_changes:
            apply(connection, schema, found)
        return found


def _usable(connection: Connection, schema: str | None) -> Table:
    table = read_table(connection, schema)
    if not table.exists:
        raise SetupError("table_missing", "The table token_usage isn't there.", "Create it: token-tracker migrate.")
    if table.missing_columns:
        missing = ", ".join(table.missing_columns)
        raise SetupError(
            "column_missing", f"token_usage lacks {missing}.", "Add what is missing: token-tracker migrate."
        )
    return table
