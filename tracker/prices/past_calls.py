"""Prices the past calls of a model: a preview within a time limit, and bounded batches that change the costs."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from tracker.database.connect import Connection
from tracker.database.transactions import read_only_snapshot
from tracker.errors import DatabaseError
from tracker.prices.price_catalog import PriceCatalog
from tracker.prices.reprice import RepricePlan, apply, plan_calls
from tracker.prices.unpriced_calls import Scope

BATCH_CALLS = 2000


@dataclass(slots=True)
class PastCallsTotals:
    """The calls that were read, and those whose cost changes: their tokens, and their cost in USD before and after.

    `unpriced` calls stay without a cost or lose it. `until` is the time of the last call that was read, None for none.
    """

    read: int = 0
    changed: int = 0
    tokens: int = 0
    old_usd: Decimal = Decimal(0)
    new_usd: Decimal = Decimal(0)
    unpriced: int = 0
    until: datetime | None = None

    def add(self, plan: RepricePlan) -> None:
        """Add the calls of a plan."""
        self.read += plan.read
        for sums in plan.sums.values():
            self.changed += sums.changed
            self.tokens += sums.changed_tokens
            self.old_usd += sums.changed_old
            self.new_usd += sums.changed_new
            self.unpriced += sums.unpriced
        if plan.read:
            self.until = datetime.fromisoformat(plan.cursor.time)


@dataclass(frozen=True, slots=True)
class PastCallsPreview:
    """What pricing would change. Unless `is_complete`, the time limit ended it, and later calls were not read."""

    totals: PastCallsTotals
    is_complete: bool


class _TimeLimitError(Exception):
    """The time of a preview is over."""


def preview_past_calls(
    connection: Connection,
    schema: str | None,
    catalog: PriceCatalog,
    scope: Scope,
    time_limit_s: int,
    clock: Callable[[], float] = time.monotonic,
) -> PastCallsPreview:
    """What `price_batch` would change in the calls of the scope, oldest first. Raises `DatabaseError`."""
    ends_at = clock() + time_limit_s

    def stop_at_limit(_: int) -> None:
        if clock() >= ends_at:
            raise _TimeLimitError

    totals = PastCallsTotals()
    is_complete = True
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        plan = RepricePlan(nowhere, cursor=scope.since)
        try:
            with read_only_snapshot(connection, timeout_s=time_limit_s):
                plan_calls(connection, schema, catalog, plan, scope, stop_at_limit)
        except _TimeLimitError:
            is_complete = False
        except DatabaseError as error:
            if error.code != "statement_timeout":
                raise
            is_complete = False
    totals.add(plan)
    return PastCallsPreview(totals, is_complete)


def price_batch(connection: Connection, schema: str | None, catalog: PriceCatalog, scope: Scope) -> RepricePlan:
    """Set the costs of at most `BATCH_CALLS` calls of the scope, in one transaction.

    The next batch starts after the plan's `cursor`; there is none if it read fewer calls. Raises `DatabaseError`.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as changes:
        plan = RepricePlan(changes, cursor=scope.since)
        plan_calls(connection, schema, catalog, plan, replace(scope, limit=BATCH_CALLS))
        if plan.has_changes:
            apply(connection, schema, plan)
        return plan
