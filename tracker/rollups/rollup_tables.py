"""The rollup tables: their names, key columns, total columns, and the queries that fill them."""

from __future__ import annotations

from dataclasses import dataclass

from tracker.database.schema import Table, quote

BUCKET_MINUTES = (15, 60, 1440)
"""The bucket sizes, in UTC. The UTC offset of each time zone in use is a multiple of 15 minutes, so local days consist
of 15-minute buckets. Hours and days reduce the number of rows that a long range reads."""
INTERVAL_15M_S = 900
DAY_S = 86_400
LATE_S = 10
"""A record is late if it is inserted this many seconds after its call ended, the deadline of a direct write."""


@dataclass(frozen=True, slots=True)
class Rollup:
    """A rollup table with three bucket sizes.

    `query_from_rows` computes the 15-minute buckets; `query_from_buckets` computes hours and days from smaller buckets.
    """

    table: str
    query_from_rows: str
    query_from_buckets: str
    key: tuple[str, ...]
    totals: tuple[str, ...]
    condition: str = ""
    """A condition that limits which rows of a bucket a refresh replaces, with the driver's placeholders."""

    @property
    def columns(self) -> tuple[str, ...]:
        return ("minutes", "bucket", "generation", *self.key, *self.totals)


USAGE = Rollup(
    "token_tracker_usage_rollup",
    "usage_from_rows",
    "usage_from_buckets",
    ("is_test", "is_sample", "provider", "model", "operation", "environment"),
    (
        "calls",
        "failed_calls",
        "input_tokens",
        "output_tokens",
        "total_tokens",
        "cache_read_input_tokens",
        "cache_write_input_tokens",
        "reasoning_output_tokens",
        "cost",
        "unpriced_calls",
        "unpriced_tokens",
        "sample_calls",
    ),
)
UNPRICED = Rollup(
    "token_tracker_unpriced_rollup",
    "unpriced_from_rows",
    "unpriced_from_buckets",
    (
        "is_test",
        "is_sample",
        "provider",
        "model",
        "operation",
        "environment",
        "usage_problem",
        "usage_source",
        "reason",
    ),
    ("calls", "total_tokens", "unpriced_calls", "unpriced_tokens"),
)
"""Calls without a cost or with inconsistent usage by reason, a small part of all calls."""
LATENCY = Rollup(
    "token_tracker_latency_rollup",
    "latency_from_rows",
    "latency_from_buckets",
    ("is_test", "is_sample", "provider", "model"),
    ("calls", "max_ms", "slots", "counts"),
)
RECORDING = Rollup(
    "token_tracker_recording_rollup",
    "recording_from_rows",
    "recording_from_buckets",
    ("is_test", "is_sample", "environment"),
    (
        "records",
        "retried_records",
        "retries",
        "late_records",
        "worst_lag_s",
        "connection_max_ms",
        "slots",
        "counts",
    ),
)
ROLLUPS = (USAGE, UNPRICED, LATENCY, RECORDING)
PROPERTY = Rollup(
    "token_tracker_property_rollup",
    "property_from_rows",
    "property_from_buckets",
    ("is_test", "is_sample", "property", "is_overflow", "value", "provider", "model"),
    ("calls", "calls_once", *USAGE.totals[1:]),
    condition=" AND property = ANY (CAST(%(properties)s AS text[]))",
)
"""Usage by the values of the indexed properties; computed only if there is one."""
PROPERTIES = "token_tracker_properties"
"""The indexed properties, and how far the backfill of each is."""
MAX_VALUES = 1000
"""A bucket with more values of a property stores a mark instead, and reports read it from the rows."""
MAX_VALUE_LENGTH = 1000
"""A bucket with a longer value stores a mark, too."""

USERS = "token_tracker_user_rollup"
USER_COLUMNS = (
    "day",
    "generation",
    "is_test",
    "is_sample",
    "first_slot",
    "last_slot",
    "user_id",
    "calls",
    "total_tokens",
    "cost",
    "unpriced_calls",
    "slots",
    "slot_calls",
    "slot_tokens",
    "slot_costs",
    "slot_unpriced",
)
USER_DAYS = "token_tracker_user_day_rollup"
USER_DAY_COLUMNS = tuple(column for column in USER_COLUMNS if not column.startswith("slot_"))
STATE = "token_tracker_rollup_state"
DIRTY_BUCKETS = "token_tracker_rollup_touched"
DEPLOYMENTS = "token_tracker_deployments"
"""The first call of each deployment; optional."""
ALL = (*(rollup.table for rollup in (*ROLLUPS, PROPERTY)), USERS, USER_DAYS, PROPERTIES, STATE, DIRTY_BUCKETS)


def qualified(table: Table, name: str) -> str:
    """A tracker table as SQL, with its schema."""
    return f"{quote(table.schema)}.{name}"
