"""What did we use, and what did it cost?"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal

import pandas as pd

from tracker.reports.engine.frames import every_bucket, frame
from tracker.reports.engine.query_rollups import figures, user_figures
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters


@dataclass(frozen=True, slots=True)
class Totals:
    """A range's figures. `cost_usd` sums the priced calls only (None: there is none); the others are counted beside."""

    calls: int
    failed_calls: int
    total_tokens: int
    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int
    cost_usd: Decimal | None
    unpriced_calls: int
    unpriced_tokens: int
    sample_calls: int

    @property
    def failed_share(self) -> float | None:
        """Failed calls of all, 0 to 1; None without calls."""
        return self.failed_calls / self.calls if self.calls else None


@dataclass(frozen=True, slots=True)
class Extent:
    """When the first and the last call were, over all time; None in an empty table."""

    first_at: datetime | None
    last_at: datetime | None


def totals(reader: Reader, filters: Filters) -> Totals:
    """The range's figures; `users` has the users."""
    answer = figures(reader, "usage", filters)
    found = answer.iloc[0].to_dict() if len(answer) else {}
    counts = {f.name: int(found.get(f.name) or 0) for f in fields(Totals) if f.name != "cost_usd"}
    return Totals(**counts, cost_usd=found.get("cost_usd"))


def users(reader: Reader, filters: Filters) -> int:
    """How many users had at least one call in the range, each counted once however often they called."""
    return int(user_figures(reader, "active_users", filters, steps=False)["users"].sum())


def users_over_time(reader: Reader, filters: Filters) -> pd.Series[float]:
    """The same for every bucket of the range: users of two days are one in the range, and one in each day."""
    answer = user_figures(reader, "active_users", filters, steps=True)
    return answer.set_index("bucket")["users"].reindex(every_bucket(filters)).fillna(0.0).astype(float)


def has_anonymous(reader: Reader, filters: Filters) -> bool:
    """Whether calls of nobody in particular are among the range's: they count as one of its users."""
    return bool(reader.rows("anonymous", filters.parameters())[0]["found"])


def extent(reader: Reader, *, include_tests: bool = False) -> Extent:
    """The time that the table covers, pruned records included."""
    found = Extent(**reader.rows("extent", {"include_tests": include_tests})[0])
    state = reader.rollups()
    if state is None or state.pruned_until is None:
        return found
    pruned = Extent(**reader.rows("pruned_extent", {"include_tests": include_tests})[0])
    moments = [moment for moment in (found.first_at, pruned.first_at) if moment]
    return Extent(min(moments, default=None), found.last_at or pruned.last_at)


def trend(reader: Reader, filters: Filters) -> pd.DataFrame:
    """calls, failed_calls, total_tokens, cost_usd for every bucket of the range, quiet ones as zero."""
    answer = figures(reader, "usage", filters, by=("step",)).set_index("bucket")
    used = answer[["calls", "failed_calls", "total_tokens", "cost_usd"]].astype(float)
    return used.reindex(every_bucket(filters)).fillna(0.0)


def by_model_over_time(reader: Reader, filters: Filters) -> pd.DataFrame:
    """calls, tokens and cost by bucket and model, on the reader's wall clock."""
    answer = figures(reader, "usage", filters, by=("step", "model"))
    answer = answer.assign(model=answer["model"].fillna("unknown"), cost_usd=answer["cost_usd"].astype(float))
    return answer.sort_values(["bucket", "model"], ignore_index=True)


def by_operation(reader: Reader, filters: Filters, count: int = 12) -> pd.DataFrame:
    """calls, tokens, cost and cost per call of the operations that used most."""
    answer = figures(reader, "usage", filters, by=("operation",))
    cost = answer["cost_usd"].astype(float)
    priced = (answer["calls"] - answer["unpriced_calls"]).astype(float)
    answer = answer.assign(
        operation=answer["operation"].fillna("unknown"),
        cost_usd=cost,
        cost_per_call_usd=cost / priced.where(priced > 0),
    )
    return answer.sort_values(["total_tokens", "operation"], ascending=[False, True], ignore_index=True).head(count)


def top_users(reader: Reader, filters: Filters, count: int = 8) -> pd.DataFrame:
    """calls, tokens, cost of the users who used most; `trend` holds each one's tokens by bucket."""
    answer = user_figures(reader, "top_users", filters, steps=False, more={"count": count})
    known = [user for user in answer["user_id"] if user is not None]
    used = user_figures(reader, "user_trend", filters, steps=True, more={"users": known})
    wide = used.pivot_table(index="bucket", columns="user_id", values="total_tokens", aggfunc="sum")
    wide = wide.reindex(index=every_bucket(filters), columns=known).fillna(0).astype(float)
    quiet = [0.0] * len(wide)
    trends = [list(wide[user]) if user is not None else quiet for user in answer["user_id"]]
    return answer.assign(
        user_id=answer["user_id"].fillna("unknown"),
        cost_usd=answer["cost_usd"].astype(float),
        trend=pd.Series(trends, index=answer.index, dtype=object),
    )


def last_records(reader: Reader, filters: Filters, count: int = 20) -> pd.DataFrame:
    """The newest records of the range, newest first."""
    return frame(reader, "last_records", {**filters.parameters(), "count": count})


def record(reader: Reader, record_id: object) -> dict[str, object] | None:
    """One record as it stands in the table; None when it isn't there."""
    found = reader.rows("record", {"id": str(record_id)})
    return found[0] if found else None
