"""The debug report: everything that explains why recording does or doesn't work here, as one plain structure.

The same structure stands behind `GET /api/debug/token-tracking`, `token-tracker doctor` and the Environment page. It
needs the core install alone, never takes longer than `LIMIT_S`, and holds no connection afterwards.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tracker.database.driver import elapsed_ms
from tracker.database.pool import PoolStats
from tracker.database.timer import Deadline
from tracker.database.url import DatabaseUrl, clean
from tracker.diagnostics import recommendations
from tracker.diagnostics.flags import policy
from tracker.diagnostics.local import outbox_state
from tracker.diagnostics.server import Server, missing_rights, moment, objections
from tracker.diagnostics.steps import Step, Way
from tracker.diagnostics.variables import environment, hints, shapes
from tracker.errors import DatabaseError, SettingError, TransientError
from tracker.runtime import application_name
from tracker.settings import Settings, load

LIMIT_S = 8.5
LOGIN_S = 4.0
Reserve = Callable[[], AbstractContextManager[None]]


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
            "recommendations": [found.as_dict() for found in self.recommendations],
        }


@dataclass(slots=True)
class _Found:
    """What the database said, filled in as far as it gets."""

    database: dict[str, Any]
    usage: dict[str, Any] = field(default_factory=lambda: {"recent": [], "total": None, "recentUsers": []})
    ledger: dict[str, Any] = field(default_factory=lambda: {"missing": None})
    alerts: list[dict[str, Any]] = field(default_factory=list)


def build(
    env: Mapping[str, str] = os.environ,
    *,
    url: DatabaseUrl | None = None,
    reserve: Reserve = nullcontext,
    pool: PoolStats | None = None,
    clock: Callable[[], float] = time.time,
    limit_s: float = LIMIT_S,
) -> Report:
    """Look at everything and say what explains it; raises nothing for whatever is broken.

    `url` is a database that was found otherwise than through DATABASE_URL (the embedded one). `reserve` makes room
    for the one connection that is opened, where connections are counted; `pool` is the recorder's own.
    """
    started, deadline = time.perf_counter(), time.monotonic() + limit_s
    settings = load(env, strict=False)
    address, trouble = _address(settings, url)
    found_shapes = shapes(env)
    runtime = settings.runtime
    if address is not None:
        found_shapes += hints(address, serverless=runtime.serverless)
    found = _Found(_nothing_yet(address, trouble))
    if address is not None:
        _look(found, address, settings, deadline, reserve, clock)
    variables = [
        {"name": s.variable, "code": s.code, "sentence": s.sentence, "severity": s.severity} for s in found_shapes
    ]
    report = Report(
        generated_at=datetime.fromtimestamp(clock(), UTC).isoformat(timespec="seconds"),
        took_ms=0.0,
        environment=environment(env),
        runtime=_runtime(settings),
        variables=tuple(variables),
        policy=tuple({"name": r.name, "value": r.value, "reason": r.reason} for r in policy(settings, env)),
        database=found.database,
        usage=found.usage,
        ledger=found.ledger,
        alerts=tuple(found.alerts),
        outbox=outbox_state(settings, address, now=time.time()),
        pool=pool._asdict() if pool else None,
    )
    return _judged(report, started)


def _judged(report: Report, started: float) -> Report:
    from dataclasses import replace

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


def _nothing_yet(url: DatabaseUrl | None, trouble: str | None) -> dict[str, Any]:
    target = None
    if url is not None:
        target = {
            "host": url.host,
            "port": url.port,
            "database": url.dbname,
            "user": url.user,
            "schema": url.schema or "public",
            "sslmode": url.params.get("sslmode", "prefer"),
            "notes": list(url.notes),
        }
    return {
        "healthy": False,
        "connectionStatus": "not_configured" if url is None else "failed",
        "tableExists": None,
        "target": target,
        "error": {"code": "database_url_malformed", "sentence": trouble, "remedy": ""} if trouble else None,
        "failedStep": None,
        "steps": [],
        "serverVersion": None,
        "latencyMs": None,
        "clockSkewS": None,
        "slots": None,
        "columnsMissing": None,
        "migrationsPending": None,
        "rightsMissing": None,
        "insertAllowed": None,
        "objections": [],
        "unanswered": {},
    }


def _look(
    found: _Found,
    url: DatabaseUrl,
    settings: Settings,
    deadline: float,
    reserve: Reserve,
    clock: Callable[[], float],
) -> None:
    way = Way(url, deadline - 1.0)
    try:
        if way.network():
            _inside(found, way, settings, deadline, reserve, clock)
    finally:
        if way.connection is not None:
            way.connection.close()
        failed = way.failed
        found.database["steps"] = [
            {"name": s.name, "ok": s.ok, "ms": s.ms, "code": s.code, "detail": s.detail} for s in way.steps
        ]
        if failed is not None:
            found.database["failedStep"] = failed.name
            remedy = way.error.remedy if way.error and way.error.code == failed.code else ""
            found.database["error"] = {"code": failed.code, "sentence": failed.detail, "remedy": remedy}


def _inside(
    found: _Found,
    way: Way,
    settings: Settings,
    deadline: float,
    reserve: Reserve,
    clock: Callable[[], float],
) -> None:
    started = time.perf_counter()
    guard: Deadline | None = None
    try:
        with reserve():
            connection = way.login(application_name(settings.runtime, "token-tracker diagnosis"), LOGIN_S)
            if connection is None:
                return
            started = time.perf_counter()
            guard = Deadline(connection)
            with guard(deadline):
                _questions(found, Server(connection, way.url.schema, deadline), way, settings, clock)
            connection.close()
    except DatabaseError as error:
        found.database["healthy"] = False
        if guard is not None and guard.fired:
            error = _silent(way.url)
        way.fail("query" if way.connection else "login", error, started)


def _silent(url: DatabaseUrl) -> DatabaseError:
    return TransientError(
        "silent_after_login",
        f"The server {url.host}:{url.port} let us in and then fell silent.",
        "Look for a firewall or a pooler that drops connections, and at the server's load.",
    )


def _questions(found: _Found, server: Server, way: Way, settings: Settings, clock: Callable[[], float]) -> None:
    started = time.perf_counter()
    state = found.database
    try:
        state["latencyMs"] = server.latency_ms()
        facts = server.rows("server")[0]
        state["connectionStatus"] = "connected"
        _server_facts(state, facts, clock)
        _table_facts(state, server, settings, in_recovery=facts["in_recovery"], way=way, started=started)
        _usage(found, server)
    finally:
        state["unanswered"] = dict(server.unanswered)
    way.steps.append(Step("query", True, elapsed_ms(started)))


def _server_facts(state: dict[str, Any], facts: Mapping[str, Any], clock: Callable[[], float]) -> None:
    state["serverVersion"] = facts["version"]
    state["schemaMissing"] = facts["schema_missing"]
    state["clockSkewS"] = round(clock() - facts["clock_s"], 1)
    state["readOnly"] = "standby" if facts["in_recovery"] else "default" if facts["read_only_default"] else None
    free = facts["max_connections"] - facts["reserved_connections"] - facts["used_connections"]
    limits = [free]
    for name in ("role", "database"):
        if facts[f"{name}_limit"] is not None:
            limits.append(facts[f"{name}_limit"] - facts[f"{name}_used"])
    state["slots"] = {
        "max": facts["max_connections"],
        "reserved": facts["reserved_connections"],
        "used": facts["used_connections"],
        "free": max(0, min(limits)),
    }


def _table_facts(
    state: dict[str, Any], server: Server, settings: Settings, *, in_recovery: bool, way: Way, started: float
) -> None:
    """What the table lacks, and whether a record could be stored."""
    table = server.table()
    state["tableExists"] = table.exists
    if not table.exists:
        return
    state["createdAtZone"] = table.created_at_zone
    state["columnsMissing"] = list(table.missing_columns)
    state["objections"] = objections(table)
    state["takesNotes"] = table.takes_notes
    state["publicKeyReads"] = table.supabase and not table.row_security
    state["migrationsPending"] = server.pending_migrations()
    rights = server.ask("rights")
    state["rightsMissing"] = missing_rights(rights[0] if rights else None, table.schema)
    if in_recovery:
        state["insertAllowed"] = False
        return
    refused = server.try_insert(table, settings.runtime)
    state["insertAllowed"] = refused is None
    state["healthy"] = refused is None and not table.missing_columns
    if refused is not None:
        way.fail("insert", refused, started)


def _usage(found: _Found, server: Server) -> None:
    """What was recorded, as far as it can be read in time; its absence is no fault of recording."""
    state = found.database
    if not state["tableExists"] or state["columnsMissing"]:
        return
    zone = state["createdAtZone"]
    recent = server.ask("recent") or []
    found.usage["recent"] = [{**row, "created_at": moment(row["created_at"], zone)} for row in recent]
    if total := server.ask("total"):
        found.usage["total"] = total[0]["total"]
    found.usage["recentUsers"] = server.ask("users") or []
    last = server.ask("environments") or []
    found.usage["lastByEnvironment"] = [{**row, "last_at": moment(row["last_at"], zone)} for row in last]
    with suppress(KeyError):
        if state["takesNotes"]:
            if gaps := server.ask("gaps"):
                found.ledger["missing"] = gaps[0]["missing"]
            alerts = server.ask("alerts") or []
            found.alerts = [{**row, "last_at": moment(row["last_at"])} for row in alerts]
