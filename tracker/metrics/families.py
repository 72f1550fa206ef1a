"""The metric families of GET /metrics; no label contains a user.

Names follow OpenTelemetry's conventions for GenAI, db.client and postgresql, in the form that Prometheus requires
(https://prometheus.io/docs/practices/naming/).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from tracker.budgets.progress import BudgetState
from tracker.metrics.growing_totals import LabelSet, Totals
from tracker.reports.connections.sessions import Slots
from tracker.reports.engine.reader import PoolUse

CALL_LABELS = (
    "gen_ai_provider_name",
    "gen_ai_request_model",
    "gen_ai_operation_name",
    "deployment_environment_name",
)
# The cached and reasoning tokens are part of the input and output tokens, so they have a family of their own: a sum of
# all types of one family counts each token once.
_TOKEN_FAMILIES = (
    (
        "gen_ai_client_token_usage",
        "Tokens of the recorded calls.",
        {"input": "input_tokens", "output": "output_tokens"},
    ),
    (
        "token_tracker_token_details",
        "Tokens of the recorded calls that are part of the input or output tokens.",
        {
            "cache_read.input": "cache_read_input_tokens",
            "cache_write.input": "cache_write_input_tokens",
            "reasoning.output": "reasoning_output_tokens",
        },
    ),
)
_CALL_FAMILIES = (
    ("token_tracker_calls", "Recorded calls.", "calls"),
    ("token_tracker_failed_calls", "Recorded calls that failed.", "failed_calls"),
    ("token_tracker_unpriced_calls", "Recorded calls without a known cost.", "unpriced_calls"),
    ("token_tracker_cost_usd", "Cost of the recorded calls with a known cost, in USD.", "cost_usd"),
)


def call_families(totals: Totals) -> Iterator[Metric]:
    """Calls, tokens and cost by provider, model, operation and environment; test and sample calls are not counted."""
    for name, description, types in _TOKEN_FAMILIES:
        tokens = CounterMetricFamily(name, description, labels=(*CALL_LABELS, "gen_ai_token_type"))
        for label_set, total in totals.items():
            for token_type, measure in types.items():
                tokens.add_metric((*_labels(label_set), token_type), float(total.exported[measure]))
        yield tokens
    for name, description, measure in _CALL_FAMILIES:
        family = CounterMetricFamily(name, description, labels=CALL_LABELS)
        for label_set, total in totals.items():
            family.add_metric(_labels(label_set), float(total.exported[measure]))
        yield family


def _labels(label_set: LabelSet) -> tuple[str, str, str, str]:
    return label_set.provider, label_set.model, label_set.operation, label_set.environment


def pool_families(pool: PoolUse) -> Iterator[Metric]:
    """The connections of this dashboard's own pool."""
    yield _gauge(
        "db_client_connection_count",
        "Connections of the dashboard's pool by state.",
        {("token-tracker dashboard", "used"): pool.used, ("token-tracker dashboard", "idle"): pool.idle},
        ("db_client_connection_pool_name", "db_client_connection_state"),
    )
    yield _gauge(
        "db_client_connection_max",
        "The most connections that the dashboard's pool opens.",
        {("token-tracker dashboard",): pool.max},
        ("db_client_connection_pool_name",),
    )


def server_families(states: Mapping[str, int], slots: Slots) -> Iterator[Metric]:
    """The sessions of the server from pg_stat_activity, and its connection limits."""
    by_state: dict[tuple[str, ...], float] = {(state,): count for state, count in states.items()}
    yield _gauge("postgresql_sessions", "Client sessions of the server by state.", by_state, ("state",))
    limits = (
        ("postgresql_connection_max", "The server's max_connections.", slots.max),
        ("postgresql_connection_reserved", "Connections that only privileged roles can use.", slots.reserved),
        ("postgresql_connection_headroom", "Connections that can still be opened.", slots.free),
    )
    for name, description, value in limits:
        yield _gauge(name, description, {(): value})


def outbox_families(outbox: Mapping[str, Any]) -> Iterator[Metric]:
    """The records that wait in outbox files on the dashboard's machine."""
    yield _gauge(
        "token_tracker_outbox_records",
        "Records in the outbox files of the dashboard's machine.",
        {("waiting",): outbox["waiting"], ("dead_letter",): outbox["setAside"]},
        ("state",),
    )
    yield _gauge(
        "token_tracker_outbox_oldest_age_seconds",
        "The age of the oldest waiting record; 0 without one.",
        {(): outbox["oldestAgeS"] or 0},
    )


def recording_families(records: Mapping[str, int], alerts: Mapping[str, int]) -> Iterator[Metric]:
    """The records of the last 24 hours by result, and the alerts about recording by reason."""
    yield _gauge(
        "token_tracker_records_24h",
        "Records of the last 24 hours: all stored ones, those stored late, and those that are missing or in flight.",
        {(result,): count for result, count in records.items()},
        ("result",),
    )
    yield _gauge(
        "token_tracker_alerts_24h",
        "Alerts about recording in the last 24 hours by reason.",
        {(reason,): count for reason, count in alerts.items()},
        ("reason",),
    )


def budget_families(states: Sequence[BudgetState]) -> Iterator[Metric]:
    """The use of the budgets that are not for one user."""
    shared = [state for state in states if state.budget.scope != "user" and not state.budget.is_sample]
    yield _gauge(
        "token_tracker_budget_used_ratio",
        "The used share of a budget in its current window; 1 is the limit.",
        {(state.budget.name, state.budget.period, state.budget.measure): state.share for state in shared},
        ("budget", "period", "measure"),
    )


def up_family(name: str, description: str, *, is_up: bool) -> Metric:
    return _gauge(name, description, {(): int(is_up)})


def age_family(ages_s: Mapping[str, float]) -> Metric:
    """The age of the values that are not read at each scrape."""
    return _gauge(
        "token_tracker_values_age_seconds",
        "The age of values that a scrape does not read itself.",
        {(name,): age_s for name, age_s in ages_s.items()},
        ("values",),
    )


def _gauge(
    name: str, description: str, values: Mapping[tuple[str, ...], float], labels: Iterable[str] = ()
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, description, labels=tuple(labels))
    for label_values, value in values.items():
        family.add_metric(label_values, value)
    return family
