"""Probes the database for the report: the connection's steps, then the server, the table, and its recent use."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from tracker.database import adoption, constraint_check
from tracker.database.connect import Connection, connect
from tracker.database.indexes import duplicates
from tracker.database.schema import Table
from tracker.database.url import DatabaseUrl
from tracker.database.watchdog import Deadline
from tracker.diagnostics.connection_probe import ConnectionProbe
from tracker.diagnostics.server_queries import ServerQueries, is_read_only_role, missing_rights, to_utc
from tracker.errors import DatabaseError, TransientError
from tracker.messages import Message, with_messages
from tracker.platforms import application_name
from tracker.settings import Settings

LOGIN_TIMEOUT_S = 4.0
ReserveConnection = Callable[[], AbstractContextManager[None]]
"""Makes room for one connection in a limited pool, for as long as its context is open."""


@dataclass(slots=True)
class ProbeResult:
    """The database part of the report. The probe fills it in until a step fails."""

    database: dict[str, Any]
    usage: dict[str, Any] = field(default_factory=lambda: {"recent": [], "total": None, "recentUsers": []})
    ledger: dict[str, Any] = field(default_factory=lambda: {"missing": None})
    alerts: list[dict[str, Any]] = field(default_factory=list)


def initial_database_state(url: DatabaseUrl | None, url_error: str | None) -> dict[str, Any]:
    """The report's `database` part before the probe; None means unknown."""
    target = None
    if url is not None:
        target = with_messages(
            {
                "host": url.host,
                "port": url.port,
                "database": url.dbname,
                "user": url.user,
                "schema": url.schema or "public",
                "sslmode": url.params.get("sslmode", "prefer"),
                "notes": list(url.notes),
            }
        )
    return {
        "healthy": False,
        "connectionStatus": "not_configured" if url is None else "failed",
        "tableExists": None,
        "target": target,
        "error": with_messages({"code": "database_url_malformed", "sentence": url_error, "remedy": ""})
        if url_error
        else None,
        "failedStep": None,
        "steps": [],
        "serverVersion": None,
        "latencyMs": None,
        "clockSkewS": None,
        "slots": None,
        "columnsMissing": None,
        "optionalColumnsMissing": None,
        "migrationsPending": None,
        "rightsMissing": None,
        "insertAllowed": None,
        "objections": [],
        "unanswered": {},
    }


def probe_database(
    result: ProbeResult,
    url: DatabaseUrl,
    settings: Settings,
    deadline: float,
    reserve: ReserveConnection,
    clock: Callable[[], float],
) -> None:
    """Probe the database until `deadline` (`time.monotonic`) and fill in `result`; no connection stays open."""
    probe = ConnectionProbe(url, deadline - 1.0)
    try:
        if probe.probe_network():
            _log_in_and_query(result, probe, settings, deadline, reserve, clock)
    finally:
        probe.close()
        failed = probe.failed_step
        result.database["steps"] = [step.as_dict() for step in probe.steps]
        if failed is not None:
            result.database["failedStep"] = failed.name
            result.database["error"] = failed.error_as_dict()


def _log_in_and_query(
    result: ProbeResult,
    probe: ConnectionProbe,
    settings: Settings,
    deadline: float,
    reserve: ReserveConnection,
    clock: Callable[[], float],
) -> None:
    started = time.perf_counter()
    guard: Deadline | None = None
    try:
        with reserve():
            connection = probe.log_in(_probe_application_name(settings), LOGIN_TIMEOUT_S)
            if connection is None:
                return
            started = time.perf_counter()
            guard = Deadline(connection)
            with guard(deadline):
                server = ServerQueries(
                    connection, probe.url.schema, deadline, lambda: _reconnect(probe, settings, deadline)
                )
                _run_queries(result, server, probe, settings, clock)
            probe.close()
    except DatabaseError as error:
        result.database["healthy"] = False
        timed_out = guard is not None and guard.fired
        failure = _silent_after_login(probe.url) if timed_out else error
        probe.record_failure("query" if probe.connection else "login", failure, started)


def _probe_application_name(settings: Settings) -> str:
    return application_name(settings.runtime, "token-tracker diagnosis")


def _reconnect(probe: ConnectionProbe, settings: Settings, deadline: float) -> Connection:
    """Replace a connection that a pooler closed."""
    probe.close()
    remaining_s = max(0.1, deadline - time.monotonic())
    probe.connection = connect(
        probe.url,
        timeout_s=min(LOGIN_TIMEOUT_S, remaining_s),
        application_name=_probe_application_name(settings),
    )
    Deadline(probe.connection)(deadline)
    return probe.connection


def _silent_after_login(url: DatabaseUrl) -> DatabaseError:
    return TransientError(
        "silent_after_login",
        Message("diagnostics.silent_after_login", host=url.host, port=url.port),
        Message("diagnostics.silent_after_login.remedy"),
    )


def _run_queries(
    result: ProbeResult,
    server: ServerQueries,
    probe: ConnectionProbe,
    settings: Settings,
    clock: Callable[[], float],
) -> None:
    started = time.perf_counter()
    state = result.database
    try:
        state["latencyMs"] = server.measure_latency_ms()
        table = server.read_table()
        state["target"]["schema"] = table.schema
        row = server.fetch("server")[0]
        state["connectionStatus"] = "connected"
        _add_server_state(state, row, clock)
        _add_table_state(state, server, table, settings, in_recovery=row["in_recovery"], probe=probe, started=started)
        # On a locked table, each further query would wait for the same lock.
        if probe.failed_step is None or probe.failed_step.code != "locked":
            _add_usage(result, server)
    finally:
        state["unanswered"] = dict(server.unanswered)
    probe.record_success("query", started)


def _add_server_state(state: dict[str, Any], row: Mapping[str, Any], clock: Callable[[], float]) -> None:
    state["serverVersion"] = row["version"]
    state["schemaMissing"] = row["schema_missing"]
    state["clockSkewS"] = round(clock() - row["clock_s"], 1)
    state["readOnly"] = "standby" if row["in_recovery"] else "default" if row["read_only_default"] else None
    free = [row["max_connections"] - row["reserved_connections"] - row["used_connections"]]
    free += [
        row[f"{name}_limit"] - row[f"{name}_used"] for name in ("role", "database") if row[f"{name}_limit"] is not None
    ]
    state["slots"] = {
        "max": row["max_connections"],
        "reserved": row["reserved_connections"],
        "used": row["used_connections"],
        "free": max(0, min(free)),
    }


def _add_table_state(
    state: dict[str, Any],
    server: ServerQueries,
    table: Table,
    settings: Settings,
    *,
    in_recovery: bool,
    probe: ConnectionProbe,
    started: float,
) -> None:
    """Add what the table and the role lack, and whether an insert succeeds."""
    state["tableExists"] = table.exists
    state["otherSchemas"] = list(table.other_schemas)
    if not table.exists:
        return
    state["createdAtZone"] = table.created_at_zone
    state["columnsMissing"] = list(table.missing_columns)
    state["optionalColumnsMissing"] = list(table.missing_optional_columns)
    state["objections"] = adoption.find_objections(table)
    state["takesNotes"] = table.can_write_ledger
    state["duplicateIndexes"] = duplicates(table)
    state["synchronousCommit"] = table.synchronous_commit
    state["costIsNeverUnknown"] = "cost" in table.defaulted
    state["publicKeyReads"] = table.supabase and not table.row_security
    state["migrationsPending"] = server.pending_migrations()
    rights = server.try_fetch("rights")
    state["rightsMissing"] = missing_rights(rights[0] if rights else None, table.schema)
    state["onlyReads"] = is_read_only_role(state["rightsMissing"])
    state["seesNoRows"] = table.sees_no_rows
    if in_recovery:
        state["insertAllowed"] = False
        return
    insert_error = server.try_insert(table, settings.runtime)
    state["refusedDefaults"] = constraint_check.refused_defaults(server.try_execute, table)
    state["replicaIdentities"] = server.replica_identity_statements()
    state["undatedRows"] = constraint_check.count_undated(server.try_execute, table)
    if server.default_row_error is not None and insert_error is None and not state["refusedDefaults"]:
        state["refusedDefaults"] = [server.default_row_error.sentence]
    state["statementMode"] = server.statement_mode
    state["insertAllowed"] = insert_error is None
    state["healthy"] = insert_error is None and not table.missing_columns
    if insert_error is not None:
        probe.record_failure("insert", insert_error, started)


def _add_usage(result: ProbeResult, server: ServerQueries) -> None:
    """Add recent usage, the ledger, and alerts. A query that fails leaves its part empty and is no failure."""
    state = result.database
    if not state["tableExists"] or state["columnsMissing"]:
        return
    zone = state["createdAtZone"]
    recent = server.try_fetch("recent") or []
    result.usage["recent"] = [{**row, "created_at": to_utc(row["created_at"], zone)} for row in recent]
    if total := server.try_fetch("total"):
        result.usage["total"] = total[0]["total"]
    result.usage["recentUsers"] = server.try_fetch("users") or []
    environments = server.try_fetch("environments") or []
    result.usage["lastByEnvironment"] = [{**row, "last_at": to_utc(row["last_at"], zone)} for row in environments]
    if state["takesNotes"]:
        if gaps := server.try_fetch("gaps"):
            result.ledger["missing"] = gaps[0]["missing"]
        alerts = server.try_fetch("alerts") or []
        result.alerts = [{**row, "last_at": to_utc(row["last_at"])} for row in alerts]
