"""What did we use, and what did it cost?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import pandas as pd

from tracker.reports.engine import Reader
from tracker.reports.filters import Filters
from tracker.reports.frames import every_bucket, frame, with_local_time


@dataclass(frozen=True, slots=True)
class Totals:
    """A range's figures. `cost_usd` sums the priced calls only (None: there is none); the others are counted beside."""

    calls: int
    failed_calls: int
    users: int
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
    """The range's figures."""
    return Totals(**reader.rows("totals", filters.parameters())[0])


def extent(reader: Reader, *, include_tests: bool = False) -> Extent:
    """The time that the table covers."""
    return Extent(**reader.rows("extent", {"include_tests": include_tests})[0])


def trend(reader: Reader, filters: Filters) -> pd.DataFrame:
    """calls, failed_calls, users, total_tokens, cost_usd for every bucket of the range, quiet ones as zero."""
    answer = with_local_time(frame(reader, "trend", filters.parameters()), "bucket", filters.timezone)
    # A wall-clock hour comes twice when the clocks go back: it is one bucket to the reader.
    return answer.groupby("bucket").sum().astype(float).reindex(every_bucket(filters), fill_value=0.0)


def by_model_over_time(reader: Reader, filters: Filters) -> pd.DataFrame:
    """calls, tokens and cost by bucket and model, on the reader's wall clock."""
    return with_local_time(frame(reader, "by_model_over_time", filters.parameters()), "bucket", filters.timezone)


def by_operation(reader: Reader, filters: Filters, count: int = 12) -> pd.DataFrame:
    """calls, tokens, cost and cost per call of the operations that used most."""
    return frame(reader, "by_operation", {**filters.parameters(), "count": count})


def top_users(reader: Reader, filters: Filters, count: int = 8) -> pd.DataFrame:
    """calls, tokens, cost of the users who used most; `trend` holds each one's tokens by bucket."""
    answer = frame(reader, "top_users", {**filters.parameters(), "count": count})
    buckets = every_bucket(filters)
    trends = [_on_buckets(used, buckets, filters.timezone) for used in answer.pop("tokens_by_bucket")]
    return answer.assign(trend=pd.Series(trends, index=answer.index, dtype=object))


def _on_buckets(used: dict[str, int], buckets: pd.DatetimeIndex, timezone: str) -> list[float]:
    at = pd.to_datetime([int(second) for second in used], unit="s", utc=True).tz_convert(timezone).tz_localize(None)
    series = pd.Series(list(used.values()), index=at, dtype=float)
    return [float(value) for value in series.groupby(level=0).sum().reindex(buckets, fill_value=0.0)]


def last_records(reader: Reader, filters: Filters, count: int = 20) -> pd.DataFrame:
    """The newest records of the range, newest first."""
    return frame(reader, "last_records", {**filters.parameters(), "count": count})


def record(reader: Reader, record_id: object) -> dict[str, object] | None:
    """One record as it stands in the table; None when it isn't there."""
    found = reader.rows("record", {"id": str(record_id)})
    return found[0] if found else None
