"""Does recording work, and what does it cost the caller?"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from tracker.reports.engine import Reader
from tracker.reports.filters import Filters
from tracker.reports.frames import frame, with_local_time

LATE_S = 10
"""A record is late when it reached the database this many seconds after its call ended: a direct write's deadline."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the range's records arrived; imported and sample rows aren't recordings and don't count."""

    records: int
    retried_records: int
    retries: int
    late_records: int
    worst_lag_s: float | None


def by_environment(reader: Reader, filters: Filters) -> pd.DataFrame:
    """Records, retries, lateness and connection-time percentiles (ms) of each environment, largest first."""
    return frame(reader, "recording_quality", {**filters.parameters(), "late_s": LATE_S})


def verdict(quality: pd.DataFrame) -> Verdict:
    """The environments' figures, of `by_environment`, together."""
    worst = quality["worst_lag_s"].dropna()
    return Verdict(
        records=int(quality["records"].sum()),
        retried_records=int(quality["retried_records"].sum()),
        retries=int(quality["retries"].sum()),
        late_records=int(quality["late_records"].sum()),
        worst_lag_s=float(worst.max()) if len(worst) else None,
    )


def connection_time(reader: Reader, filters: Filters) -> pd.DataFrame:
    """p50 and p95 of the time to get a connection (ms) by bucket and environment, on the reader's wall clock."""
    return with_local_time(frame(reader, "connection_time_trend", filters.parameters()), "bucket", filters.timezone)
