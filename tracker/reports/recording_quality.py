"""Does recording work, and what does it cost the caller?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from tracker.reports.engine.query_rollups import figures
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters
from tracker.reports.percentiles import with_percentiles
from tracker.rollups.rollup_tables import LATE_S


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
    answer = figures(reader, "recording", filters, more={"late_s": LATE_S})
    answer = _with_connection_times(reader, filters, answer, ())
    return answer.sort_values(["records", "environment"], ascending=[False, True], ignore_index=True)


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
    answer = figures(reader, "recording", filters, by=("step",), more={"late_s": LATE_S})
    return _with_connection_times(reader, filters, answer, ("step",))


def _with_connection_times(reader: Reader, filters: Filters, answer: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    shown = with_percentiles(
        reader, filters, answer, by, question="recording_exact", key="environment", name="connection"
    )
    return shown.assign(environment=shown["environment"].fillna("unknown"))
