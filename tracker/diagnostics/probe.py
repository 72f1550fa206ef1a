"""The way into the database and what it says there, as far as it gets: the report's middle part."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from tracker.database import constraint_check
from tracker.database.connect import Connection, connect, elapsed_ms
from tracker.database.indexes import duplicates
from tracker.database.schema import Table
from tracker.database.url import DatabaseUrl
from tracker.database.watchdog import Deadline
from tracker.diagnostics.connection_probe import Step, Way
from tracker.diagnostics.server_queries import Server, missing_rights, moment, objections, only_reads
from tracker.errors import DatabaseError, TransientError
from tracker.platforms import application_name
from tracker.settings import Settings

LOGIN_S = 4.0
ReserveConnection = Callable[[], AbstractContextManager[None]]


@dataclass(slots=True)
class Found:
    """What the database said, filled in as far as it gets."""

    database: dict[str, Any]
    usage: dict[str, Any] = field(default_factory=lambda: {"recent": [], "total": None, "recentUsers": []})
    ledger: dict[str, Any] = field(default_factory=lambda: {"missing": None})
    alerts: list[dict[str, Any]] = field(default_factory=list)


def nothing_yet(url: DatabaseUrl | None, trouble: str | None) -> dict[str, Any]:
    """The report's part on the database before anything was asked; None is what isn't known."""
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


def look(
    found: Found,
    url: DatabaseUrl,
    settings: Settings,
    deadline: float,
    reserve: ReserveConnection,
    clock: Callable[[], float],
) -> None:
    """Walk the steps and ask the questions until `deadline` (`time.monotonic`); the connection is closed at the end."""
    way = Way(url, deadline - 1.0)
    try:
        if way.network():
            _inside(found, way, settings, deadline, reserve, clock)
    finally:
        way.close()
        failed = way.failed
        found.database["steps"] = [
            {"name": s.name, "ok": s.ok, "ms": s.ms, "code": s.code, "detail": s.detail} for s in way.steps
        ]
        if failed is not None:
            found.database["failedStep"] = failed.name
            remedy = way.error.remedy if way.error and way.error.code == failed.code else ""
            found.database["error"] = {"code": failed.code, "sentence": failed.detail, "remedy": remedy}


def _inside(
    found: Found,
    way: Way,
    settings: Settings,
    deadline: float,
    reserve: ReserveConnection,
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
                server = Server(connection, way.url.schema, deadline, lambda: _again(way, settings, deadline))
                _questions(found, server, way, settings, clock)
            way.close()
    except DatabaseError as refused:
        found.database["healthy"] = False
        hung = guard is not None and guard.fired
        way.fail("query" if way.connection else "login", _silent(way.url) if hung else refused, started)


def _again(way: Way, settings: Settings, deadline: float) -> Connection:
    """Another connection in the place of the one that a pooler ended."""
    way.close()
    name = application_name(settings.runtime, "token-tracker diagnosis")
    left_s = max(0.1, deadline - time.monotonic())
    way.connection = connect(way.url, timeout_s=min(LOGIN_S, left_s), application_name=name)
    Deadline(way.connection)(deadline)
    return way.connection


def _silent(url: DatabaseUrl) -> DatabaseError:
    return TransientError(
        "silent_after_login",
        f"The server {url.host}:{url.port} let us in and then fell silent.",
        "Look for a firewall or a pooler that drops connections, and at the server's load.",
    )


def _questions(found: Found, server: Server, way: Way, settings: Settings, clock: Callable[[], float]) -> None:
    started = time.perf_counter()
    state = found.database
    try:
        state["latencyMs"] = server.latency_ms()
        table = server.table()
        state["target"]["schema"] = table.schema
        facts = server.rows("server")[0]
        state["connectionStatus"] = "connected"
        _server_facts(state, facts, clock)
        _table_facts(state, server, table, settings, in_recovery=facts["in_recovery"], way=way, started=started)
        if way.failed is None or way.failed.code != "locked":  # each further question would wait for the same lock
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
    limits += [
        facts[f"{name}_limit"] - facts[f"{name}_used"]
        for name in ("role", "database")
        if facts[f"{name}_limit"] is not None
    ]
    state["slots"] = {
        "max": facts["max_connections"],
        "reserved": facts["reserved_connections"],
        "used": facts["used_connections"],
        "free": max(0, min(limits)),
    }


def _table_facts(
    state: dict[str, Any],
    server: Server,
    table: Table,
    settings: Settings,
    *,
    in_recovery: bool,
    way: Way,
    started: float,
) -> None:
    """What the table lacks, and whether a record could be stored."""
    state["tableExists"] = table.exists
    state["otherSchemas"] = list(table.other_schemas)
    if not table.exists:
        return
    state["createdAtZone"] = table.created_at_zone
    state["columnsMissing"] = list(table.missing_columns)
    state["objections"] = objections(table)
    state["takesNotes"] = table.takes_notes
    state["duplicateIndexes"] = duplicates(table)
    state["synchronousCommit"] = table.synchronous_commit
    state["costIsNeverUnknown"] = "cost" in table.defaulted
    state["publicKeyReads"] = table.supabase and not table.row_security
    state["migrationsPending"] = server.pending_migrations()
    rights = server.ask("rights")
    state["rightsMissing"] = missing_rights(rights[0] if rights else None, table.schema)
    state["onlyReads"] = only_reads(state["rightsMissing"])
    state["seesNoRows"] = table.sees_no_rows
    if in_recovery:
        state["insertAllowed"] = False
        return
    refused = server.try_insert(table, settings.runtime)
    state["refusedDefaults"] = constraint_check.refused_defaults(server.answer, table)
    state["replicaIdentities"] = server.missing_identities()
    state["undatedRows"] = constraint_check.undated(server.answer, table)
    if server.refused_default is not None and refused is None and not state["refusedDefaults"]:
        state["refusedDefaults"] = [server.refused_default.sentence]
    state["statementMode"] = server.statement_mode
    state["insertAllowed"] = refused is None
    state["healthy"] = refused is None and not table.missing_columns
    if refused is not None:
        way.fail("insert", refused, started)


def _usage(found: Found, server: Server) -> None:
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
    if state["takesNotes"]:
        if gaps := server.ask("gaps"):
            found.ledger["missing"] = gaps[0]["missing"]
        alerts = server.ask("alerts") or []
        found.alerts = [{**row, "last_at": moment(row["last_at"])} for row in alerts]
