"""The rollups: which tables there are, what tells their rows apart, and of what they are made."""

from __future__ import annotations

from dataclasses import dataclass

from tracker.database.schema import Table, quote

GRAINS_MINUTES = (15, 60, 1440)
"""How long a bucket is, all of UTC. Every time zone in use is whole quarters of an hour away from UTC, so that
quarters make exact days anywhere; hours and days, made of them, keep long ranges short."""
QUARTER_S = 900
DAY_S = 86_400
LATE_S = 10
"""A record is late when it reached the database this many seconds after its call ended: a direct write's deadline."""


@dataclass(frozen=True, slots=True)
class Rollup:
    """A rollup in three grains. `question` makes its quarters of rows, `parts` its hours and days of those."""

    table: str
    question: str
    parts: str
    key: tuple[str, ...]
    figures: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return ("minutes", "bucket", "generation", *self.key, *self.figures)


USAGE = Rollup(
    "token_tracker_usage_rollup",
    "usage",
    "usage_parts",
    ("is_test", "provider", "model", "operation", "environment"),
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
    "unpriced",
    "unpriced_parts",
    ("is_test", "provider", "model", "operation", "environment", "usage_problem", "usage_source", "reason"),
    ("calls", "total_tokens", "unpriced_calls", "unpriced_tokens"),
)
"""Calls without a cost or with inconsistent usage, by the reason: a small part of all calls."""
LATENCY = Rollup(
    "token_tracker_latency_rollup",
    "latency",
    "latency_parts",
    ("is_test", "provider", "model"),
    ("calls", "max_ms", "slots", "counts"),
)
RECORDING = Rollup(
    "token_tracker_recording_rollup",
    "recording",
    "recording_parts",
    ("is_test", "environment"),
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

USERS = "token_tracker_user_rollup"
USER_COLUMNS = (
    "day",
    "generation",
    "is_test",
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
TOUCHED = "token_tracker_rollup_touched"
ALL = (*(rollup.table for rollup in ROLLUPS), USERS, USER_DAYS, STATE, TOUCHED)


def qualified(table: Table, name: str) -> str:
    """A table of ours with its schema, as SQL."""
    return f"{quote(table.schema)}.{name}"
