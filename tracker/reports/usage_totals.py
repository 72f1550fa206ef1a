"""Calls, tokens, cost and users: totals, over time, and by model, operation and user."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal

import pandas as pd

from tracker.reports.engine.query_rollups import query_frame, query_rollups, query_user_rollups
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters
from tracker.reports.time_buckets import bucket_labels

_COSTS = ("cost_usd", "cost_local")


@dataclass(frozen=True, slots=True)
class Totals:
    """The totals of a range. `cost_usd` is the sum of the priced calls (None: there are none).

    `cost_local` is the same sum in the currency of the filters.
    """

    calls: int
    failed_calls: int
    total_tokens: int
    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int
    cost_usd: Decimal | None
    cost_local: Decimal | None
    unpriced_calls: int
    unpriced_tokens: int
    sample_calls: int

    @property
    def failed_share(self) -> float | None:
        """The share of failed calls, 0 to 1; None without calls."""
        return self.failed_calls / self.calls if self.calls else None


@dataclass(frozen=True, slots=True)
class Extent:
    """The time of the first and the last call in the table; None in an empty table."""

    first_at: datetime | None
    last_at: datetime | None


def totals(reader: Reader, filters: Filters) -> Totals:
    """The totals of the range; `users` counts the users."""
    frame = query_rollups(reader, "usage", filters)
    row = frame.iloc[0].to_dict() if len(frame) else {}
    counts = {field.name: int(row.get(field.name) or 0) for field in fields(Totals) if field.name not in _COSTS}
    return Totals(**counts, cost_usd=row.get("cost_usd"), cost_local=row.get("cost_local"))


def users(reader: Reader, filters: Filters) -> int:
    """The number of distinct users with a call in the range."""
    return int(query_user_rollups(reader, "active_users", filters, by_bucket=False)["users"].sum())


def users_over_time(reader: Reader, filters: Filters) -> pd.Series[float]:
    """The number of distinct users by time bucket; buckets without calls have 0."""
    frame = query_user_rollups(reader, "active_users", filters, by_bucket=True)
    return frame.set_index("bucket")["users"].reindex(bucket_labels(filters)).fillna(0.0).astype(float)


def has_anonymous(reader: Reader, filters: Filters) -> bool:
    """Whether the range has calls of the user `anonymous`, which counts as one user."""
    return bool(reader.rows("has_anonymous_calls", filters.parameters())[0]["has_anonymous_calls"])


def extent(reader: Reader, *, include_tests: bool = False) -> Extent:
    """The time of the first and the last call, pruned calls included."""
    rows = Extent(**reader.rows("extent", {"include_tests": include_tests})[0])
    state = reader.rollup_state()
    if state is None or state.pruned_until is None:
        return rows
    pruned = Extent(**reader.rows("pruned_extent", {"include_tests": include_tests})[0])
    first_times = [time for time in (rows.first_at, pruned.first_at) if time]
    return Extent(min(first_times, default=None), rows.last_at or pruned.last_at)


def trend(reader: Reader, filters: Filters) -> pd.DataFrame:
    """calls, failed_calls, total_tokens, cost_usd and cost_local by time bucket; buckets without calls have 0."""
    frame = query_rollups(reader, "usage", filters, by=("step",)).set_index("bucket")
    totals_by_bucket = frame[["calls", "failed_calls", "total_tokens", *_COSTS]].astype(float)
    return totals_by_bucket.reindex(bucket_labels(filters)).fillna(0.0)


def by_model_over_time(reader: Reader, filters: Filters) -> pd.DataFrame:
    """calls, tokens and cost by time bucket and model."""
    frame = query_rollups(reader, "usage", filters, by=("step", "model"))
    frame = frame.assign(model=frame["model"].fillna("unknown"), **_float_costs(frame))
    return frame.sort_values(["bucket", "model"], ignore_index=True)


def by_operation(reader: Reader, filters: Filters, count: int = 12) -> pd.DataFrame:
    """calls, tokens, cost and cost per call of the operations with the most tokens."""
    frame = query_rollups(reader, "usage", filters, by=("operation",))
    costs = _float_costs(frame)
    priced = (frame["calls"] - frame["unpriced_calls"]).astype(float)
    frame = frame.assign(
        operation=frame["operation"].fillna("unknown"),
        **costs,
        cost_per_call_usd=costs["cost_usd"] / priced.where(priced > 0),
        cost_per_call_local=costs["cost_local"] / priced.where(priced > 0),
    )
    return frame.sort_values(["total_tokens", "operation"], ascending=[False, True], ignore_index=True).head(count)


def top_users(reader: Reader, filters: Filters, count: int = 8) -> pd.DataFrame:
    """calls, tokens and cost of the users with the most tokens; `trend` is a list of tokens by time bucket."""
    frame = query_user_rollups(reader, "top_users", filters, by_bucket=False, more={"count": count})
    user_ids = [user for user in frame["user_id"] if user is not None]
    tokens = query_user_rollups(reader, "user_trend", filters, by_bucket=True, more={"users": user_ids})
    # A pivot table of these few rows takes 8 ms of CPU.
    amounts = dict(zip(zip(tokens["user_id"], tokens["bucket"], strict=True), tokens["total_tokens"], strict=True))
    labels = bucket_labels(filters)
    trends = [[float(amounts.get((user, label), 0)) for label in labels] for user in frame["user_id"]]
    return frame.assign(
        user_id=frame["user_id"].fillna("unknown"),
        **_float_costs(frame),
        trend=pd.Series(trends, index=frame.index, dtype=object),
    )


def _float_costs(frame: pd.DataFrame) -> dict[str, pd.Series[float]]:
    return {name: frame[name].astype(float) for name in _COSTS}


def last_records(reader: Reader, filters: Filters, count: int = 20) -> pd.DataFrame:
    """The newest records of the range, newest first."""
    return query_frame(reader, "last_records", {**filters.parameters(), "count": count})


def record(reader: Reader, record_id: object) -> dict[str, object] | None:
    """The row of a record; None if there is none."""
    rows = reader.rows("record", {"id": str(record_id)})
    return rows[0] if rows else None
