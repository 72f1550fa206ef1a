"""Builds the debug report: environment, connection, database, outbox, and recommendations.

`GET /api/debug/token-tracking`, `token-tracker doctor` and the Environment page show the same report. It needs only
the core install, takes `LIMIT_S` at most, and leaves no connection open.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from tracker.background_tasks import background_tasks
from tracker.database.connect import elapsed_ms
from tracker.database.url import DatabaseUrl, clean
from tracker.diagnostics import recommendations
from tracker.diagnostics.environment_flags import connection_policy
from tracker.diagnostics.environment_variables import find_url_problems, find_variable_problems, read_environment
from tracker.diagnostics.installed_distributions import find_name_conflicts
from tracker.diagnostics.local_outboxes import outbox_state
from tracker.diagnostics.probe import ProbeResult, ReserveConnection, initial_database_state, probe_database
from tracker.errors import SettingError
from tracker.messages import with_messages
from tracker.platforms import application_name
from tracker.recording.tracker import shared_pool
from tracker.settings import Settings, load

LIMIT_S = 8.5


@dataclass(frozen=True, slots=True)
class Report:
    """A debug report. `as_dict()` is its JSON form, whose keys are a contract."""

    generated_at: str
    took_ms: float
    environment: Mapping[str, Any]
    runtime: Mapping[str, Any]
    variables: tuple[Mapping[str, Any], ...]
    policy: tuple[Mapping[str, Any], ...]
    database: Mapping[str, Any]
    usage: Mapping[str, Any]
    ledger: Mapping[str, Any]
    alerts: tuple[Mapping[str, Any], ...]
    outbox: Mapping[str, Any]
    pool: Mapping[str, Any] | None = None
    background_tasks: tuple[Mapping[str, Any], ...] = ()
    name_conflicts: tuple[Mapping[str, Any], ...] = ()
    recommendations: tuple[recommendations.Recommendation, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether the database answers, has the required columns, and allows INSERT; warnings don't matter."""
        return bool(self.database["healthy"])

    def as_dict(self, *, users: bool = True) -> dict[str, Any]:
        """The report as JSON types. If `users` is false, the report contains no user ids."""
        usage = dict(self.usage)
        if not users and usage.get("recentUsers"):
            usage["recentUsers"] = [{**user, "user_id": None} for user in usage["recentUsers"]]
        return {
            "healthy": self.healthy,
            "generatedAt": self.generated_at,
            "tookMs": self.took_ms,
            "environment": dict(self.environment),
            "runtime": dict(self.runtime),
            "variables": [dict(problem) for problem in self.variables],
            "policy": [dict(rule) for rule in self.policy],
            "database": dict(self.database),
            "tokenUsage": usage,
            "ledger": dict(self.ledger),
            "alerts": [dict(alert) for alert in self.alerts],
            "outbox": dict(self.outbox),
            "pool": dict(self.pool) if self.pool else None,
            "backgroundTasks": [dict(task) for task in self.background_tasks],
            "nameConflicts": [dict(conflict) for conflict in self.name_conflicts],
            "recommendations": [recommendation.as_dict() for recommendation in self.recommendations],
        }


def build_report(
    env: Mapping[str, str] = os.environ,
    *,
    url: DatabaseUrl | None = None,
    reserve: ReserveConnection = nullcontext,
    clock: Callable[[], float] = time.time,
    limit_s: float = LIMIT_S,
) -> Report:
    """Build the debug report. Failures become part of the report and are not raised.

    `url` overrides DATABASE_URL (for the embedded database). `reserve` makes room in a limited pool for the one
    connection that the report opens.
    """
    started, deadline = time.perf_counter(), time.monotonic() + limit_s
    settings = load(env, strict=False)
    runtime = settings.runtime
    database_url, url_error = _database_url(settings, url)
    problems = find_variable_problems(env)
    result = ProbeResult(initial_database_state(database_url, url_error))
    if database_url is not None:
        problems += find_url_problems(database_url, serverless=runtime.serverless)
        probe_database(result, database_url, settings, deadline, reserve, clock)
    report = Report(
        generated_at=datetime.fromtimestamp(clock(), UTC).isoformat(timespec="seconds"),
        took_ms=0.0,
        environment=read_environment(env),
        runtime=_runtime(settings),
        variables=tuple(problem.as_dict() for problem in problems),
        policy=tuple(with_messages(asdict(rule)) for rule in connection_policy(settings, env)),
        database=with_messages(result.database),
        usage=result.usage,
        ledger=result.ledger,
        alerts=tuple(result.alerts),
        outbox=outbox_state(settings, database_url, now=time.time()),
        pool=pool._asdict() if (pool := shared_pool()) else None,
        background_tasks=tuple(background_tasks.states()),
        name_conflicts=find_name_conflicts(),
    )
    recommended = recommendations.recommend(report.as_dict())
    return replace(report, recommendations=recommended, took_ms=elapsed_ms(started))


def _database_url(settings: Settings, override: DatabaseUrl | None) -> tuple[DatabaseUrl | None, str | None]:
    """The URL to probe, or the error that makes the configured one unusable; (None, None) when none is configured."""
    if override is not None:
        return override, None
    if not settings.database_url:
        return None, None
    try:
        return clean(settings.database_url, settings.database_url_variable), None
    except SettingError as error:
        return None, str(error)


def _runtime(settings: Settings) -> dict[str, Any]:
    runtime = settings.runtime
    return {
        "platform": runtime.platform,
        "environment": runtime.environment,
        "region": runtime.region,
        "deployment": runtime.deployment,
        "serverless": runtime.serverless,
        "deployed": runtime.deployed,
        "mode": settings.mode,
        "poolSize": settings.pool_size,
        "applicationName": application_name(runtime),
        "python": platform.python_version(),
    }
