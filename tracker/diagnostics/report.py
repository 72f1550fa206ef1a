"""The debug report: everything that explains why recording does or doesn't work here, as one plain structure.

The same structure stands behind `GET /api/debug/token-tracking`, `token-tracker doctor` and the Environment page. It
needs the core install alone, never takes longer than `LIMIT_S`, and holds no connection afterwards.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from tracker.background_tasks import background_tasks
from tracker.database.connect import elapsed_ms
from tracker.database.url import DatabaseUrl, clean
from tracker.diagnostics import recommendations
from tracker.diagnostics.environment_flags import connection_policy
from tracker.diagnostics.environment_variables import environment, hints, shapes
from tracker.diagnostics.local_outboxes import outbox_state
from tracker.diagnostics.probe import Found, ReserveConnection, look, nothing_yet
from tracker.errors import SettingError
from tracker.platforms import application_name
from tracker.recording.tracker import shared_pool
from tracker.settings import Settings, load

LIMIT_S = 8.5


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. `as_dict()` is its JSON form; the keys of the user-facing part are a contract."""

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
    recommendations: tuple[recommendations.Recommendation, ...] = ()

    @property
    def healthy(self) -> bool:
        """Database reached, required columns there, INSERT allowed; warnings don't matter."""
        return bool(self.database["healthy"])

    def as_dict(self, *, users: bool = True) -> dict[str, Any]:
        """The report as JSON types; without `users` no user's id is in it."""
        usage = dict(self.usage)
        if not users and usage.get("recentUsers"):
            usage["recentUsers"] = [{**user, "user_id": None} for user in usage["recentUsers"]]
        return {
            "healthy": self.healthy,
            "generatedAt": self.generated_at,
            "tookMs": self.took_ms,
            "environment": dict(self.environment),
            "runtime": dict(self.runtime),
            "variables": [dict(shape) for shape in self.variables],
            "policy": [dict(rule) for rule in self.policy],
            "database": dict(self.database),
            "tokenUsage": usage,
            "ledger": dict(self.ledger),
            "alerts": [dict(alert) for alert in self.alerts],
            "outbox": dict(self.outbox),
            "pool": dict(self.pool) if self.pool else None,
            "backgroundTasks": [dict(task) for task in self.background_tasks],
            "recommendations": [found.as_dict() for found in self.recommendations],
        }


def build_report(
    env: Mapping[str, str] = os.environ,
    *,
    url: DatabaseUrl | None = None,
    reserve: ReserveConnection = nullcontext,
    clock: Callable[[], float] = time.time,
    limit_s: float = LIMIT_S,
) -> Report:
    """Look at everything and say what explains it; raises nothing for whatever is broken.

    `url` is a database that was found otherwise than through DATABASE_URL (the embedded one). `reserve` makes room
    for the one connection that is opened, where connections are counted.
    """
    started, deadline = time.perf_counter(), time.monotonic() + limit_s
    settings = load(env, strict=False)
    address, trouble = _address(settings, url)
    found_shapes = shapes(env)
    runtime = settings.runtime
    if address is not None:
        found_shapes += hints(address, serverless=runtime.serverless)
    found = Found(nothing_yet(address, trouble))
    if address is not None:
        look(found, address, settings, deadline, reserve, clock)
    variables = [
        {"name": s.variable, "code": s.code, "sentence": s.sentence, "severity": s.severity} for s in found_shapes
    ]
    report = Report(
        generated_at=datetime.fromtimestamp(clock(), UTC).isoformat(timespec="seconds"),
        took_ms=0.0,
        environment=environment(env),
        runtime=_runtime(settings),
        variables=tuple(variables),
        policy=tuple({"name": r.name, "value": r.value, "reason": r.reason} for r in connection_policy(settings, env)),
        database=found.database,
        usage=found.usage,
        ledger=found.ledger,
        alerts=tuple(found.alerts),
        outbox=outbox_state(settings, address, now=time.time()),
        pool=pool._asdict() if (pool := shared_pool()) else None,
        background_tasks=tuple(background_tasks.states()),
    )
    return _judged(report, started)


def _judged(report: Report, started: float) -> Report:
    advice = recommendations.recommend(report.as_dict())
    return replace(report, recommendations=advice, took_ms=elapsed_ms(started))


def _address(settings: Settings, url: DatabaseUrl | None) -> tuple[DatabaseUrl | None, str | None]:
    if url is not None:
        return url, None
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
