"""Retries, lateness and connection time of recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from tracker.reports.engine.query_rollups import query_rollups
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters
from tracker.reports.percentiles import with_percentiles
from tracker.rollups.rollup_tables import LATE_S


@dataclass(frozen=True, slots=True)
class RecordingTotals:
    """The records of a range, with their retries and lag. Imported and sample rows are not counted."""

    records: int
    retried_records: int
    retries: int
    late_records: int
    worst_lag_s: float | None


def by_environment(reader: Reader, filters: Filters) -> pd.DataFrame:
    """Records, retries, late records and connection-time percentiles (ms) of each environment, most records first."""
    frame = query_rollups(reader, "recording", filters, more={"late_s": LATE_S})
    frame = _with_connection_times(reader, filters, frame, ())
    return frame.sort_values(["records", "environment"], ascending=[False, True], ignore_index=True)


def totals(quality: pd.DataFrame) -> RecordingTotals:
    """The totals of all environments of `by_environment`."""
    worst = quality["worst_lag_s"].dropna()
    return RecordingTotals(
        records=int(quality["records"].sum()),
        retried_records=int(quality["retried_records"].sum()),
        retries=int(quality["retries"].sum()),
        late_records=int(quality["late_records"].sum()),
        worst_lag_s=float(worst.max()) if len(worst) else None,
    )


def connection_time(reader: Reader, filters: Filters) -> pd.DataFrame:
    """p50 and p95 of the time to get a connection (ms) by bucket and environment, in local time."""
    frame = query_rollups(reader, "recording", filters, by=("step",), more={"late_s": LATE_S})
    return _with_connection_times(reader, filters, frame, ("step",))


def _with_connection_times(reader: Reader, filters: Filters, frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    frame = with_percentiles(reader, filters, frame, by, query="recording_exact", key="environment", name="connection")
    return frame.assign(environment=frame["environment"].fillna("unknown"))
