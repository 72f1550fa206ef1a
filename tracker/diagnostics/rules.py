"""Rules about the report as a whole. Each rule detects one cause and returns its evidence.

The order of `RULES` is the order of likelihood. A cause that prevents recording is an *error*. A cause that will
prevent it or that hides records is a *warning*. All others are *info*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from tracker.messages import Message, join_messages

Severity = Literal["error", "warning", "info"]
ReportDict = Mapping[str, Any]
"""A report as `Report.as_dict` returns it."""
# Thresholds. Within a region, a round trip takes a few milliseconds.
SLOW_ROUND_TRIP_MS = 60.0
MAX_CLOCK_SKEW_S = 5.0
OLD_RECORD_S = 60.0
MIN_FREE_SLOTS = 5
MAX_SERVERLESS_POOL = 10


class ReportRule(NamedTuple):
    """`find_evidence` returns None when the rule doesn't apply.

    The messages `AREA.CODE` and `AREA.CODE.remedy` have the cause and the remedy; the area is `database` if an error
    of the database has the same cause. `command` is the remedy instead if it is a command, which no language
    translates, or is built from the report.
    """

    code: str
    severity: Severity
    find_evidence: Callable[[ReportDict], str | None]
    command: str | Callable[[ReportDict], str] | None = None
    area: str = "diagnostics.rule"

    @property
    def cause(self) -> Message:
        return Message(f"{self.area}.{self.code}")

    def remedy(self, report: ReportDict) -> str:
        """The remedy for a report that the rule applies to."""
        if self.command is None:
            return Message(f"{self.area}.{self.code}.remedy")
        return self.command if isinstance(self.command, str) else self.command(report)


def _connected(report: ReportDict) -> ReportDict:
    """The report's `database` part; empty without a connection, so that no rule applies to unknown values."""
    state: ReportDict = report["database"]
    return state if state["connectionStatus"] == "connected" else {}


def _schema_missing(report: ReportDict) -> str | None:
    state = _connected(report)
    return (
        Message("diagnostics.evidence.schema_missing", schema=state["target"]["schema"])
        if state.get("schemaMissing")
        else None
    )


def _table_missing(report: ReportDict) -> str | None:
    state = _connected(report)
    if state.get("tableExists") is not False or state.get("schemaMissing"):
        return None
    return Message(
        "diagnostics.evidence.table_missing",
        schema=state["target"]["schema"],
        database=state["target"]["database"],
    )


def _read_only_replica(report: ReportDict) -> str | None:
    is_standby = _connected(report).get("readOnly") == "standby"
    return Message("diagnostics.evidence.in_recovery") if is_standby else None


def _columns_missing(report: ReportDict) -> str | None:
    state = _connected(report)
    # While the table can't be adopted, migrate refuses to add columns.
    return None if state.get("objections") else _missing_names(state.get("columnsMissing"))


def _optional_columns_missing(report: ReportDict) -> str | None:
    return _missing_names(_connected(report).get("optionalColumnsMissing"))


def _rights_missing(report: ReportDict) -> str | None:
    return _missing_names(_connected(report).get("rightsMissing"))


def _missing_names(names: Sequence[str] | None) -> str | None:
    return Message("diagnostics.evidence.missing", names=join_messages(names, "general.list")) if names else None


def _not_adoptable(report: ReportDict) -> str | None:
    objections = _connected(report).get("objections")
    return objections[0] if objections else None


def _outbox_unwritable(report: ReportDict) -> str | None:
    outbox = report["outbox"]
    return None if outbox["writable"] else Message("diagnostics.evidence.outbox_unwritable", path=outbox["path"])


def _outbox_damaged(report: ReportDict) -> str | None:
    damaged = [file["path"] for file in report["outbox"]["files"] if "error" in file]
    return Message("diagnostics.evidence.outbox_damaged", path=damaged[0]) if damaged else None


def _uses_embedded_database(report: ReportDict) -> bool:
    """Whether the database is the embedded one, to which no process delivers queued records by itself."""
    flags = report["environment"]
    is_configured = flags["DATABASE_URL_SET"] or flags["POSTGRES_URL_SET"]
    return report["database"]["target"] is not None and not is_configured


def _outbox_waiting(report: ReportDict) -> str | None:
    outbox = report["outbox"]
    undelivered = sum(file["waiting"] for file in _undelivered_files(report))
    if outbox["waiting"] <= undelivered or (outbox["oldestAgeS"] or 0) < OLD_RECORD_S:
        return None
    return Message("diagnostics.evidence.outbox_waiting", waiting=outbox["waiting"], oldest_age_s=outbox["oldestAgeS"])


def _outbox_undelivered(report: ReportDict) -> str | None:
    if not (files := _undelivered_files(report)):
        return None
    waiting, oldest_age_s = (sum(file["waiting"] for file in files), max(file["oldestAgeS"] or 0 for file in files))
    return Message("diagnostics.evidence.outbox_waiting", waiting=waiting, oldest_age_s=oldest_age_s)


def _undelivered_files(report: ReportDict) -> list[ReportDict]:
    """The outboxes without a database that wait for a command, because the embedded database is used."""
    if not _uses_embedded_database(report):
        return []
    return [file for file in report["outbox"]["files"] if file.get("waiting") and file.get("unassigned")]


def _dead_letters(report: ReportDict) -> str | None:
    count = report["outbox"]["setAside"]
    return Message("diagnostics.evidence.outbox_set_aside", count=count) if count else None


def _records_missing(report: ReportDict) -> str | None:
    missing = report["ledger"].get("missing")
    return Message("diagnostics.evidence.records_missing", count=missing) if missing else None


def _recent_alerts(report: ReportDict) -> str | None:
    if not report["alerts"]:
        return None
    newest = report["alerts"][0]
    return Message("diagnostics.evidence.alerts", count=newest["alerts"], reason=newest["reason"])


def _read_only_default(report: ReportDict) -> str | None:
    read_only = _connected(report).get("readOnly") == "default"
    return Message("diagnostics.evidence.read_only_default") if read_only else None


def _few_slots(report: ReportDict) -> str | None:
    slots = _connected(report).get("slots")
    if not slots or slots["free"] >= MIN_FREE_SLOTS:
        return None
    return Message("diagnostics.evidence.few_slots", used=slots["used"], max=slots["max"], free=slots["free"])


def _clock_off(report: ReportDict) -> str | None:
    skew_s = _connected(report).get("clockSkewS")
    if skew_s is None or abs(skew_s) < MAX_CLOCK_SKEW_S:
        return None
    if skew_s > 0:
        return Message("diagnostics.evidence.clock_ahead", skew_s=f"{skew_s:.0f}")
    return Message("diagnostics.evidence.clock_behind", skew_s=f"{-skew_s:.0f}")


def _far_away(report: ReportDict) -> str | None:
    latency_ms = _connected(report).get("latencyMs")
    if latency_ms is None or latency_ms < SLOW_ROUND_TRIP_MS:
        return None
    return Message(
        "diagnostics.evidence.far_away",
        latency_ms=f"{latency_ms:.0f}",
        region=report["runtime"]["region"] or Message("diagnostics.evidence.region_unknown"),
    )


def _migration_pending(report: ReportDict) -> str | None:
    state = _connected(report)
    pending = state.get("migrationsPending") if not state.get("objections") else None
    return (
        Message("diagnostics.evidence.migration_pending", migrations=", ".join(map(str, pending))) if pending else None
    )


def _ledger_closed(report: ReportDict) -> str | None:
    state = _connected(report)
    is_closed = state.get("tableExists") and state.get("takesNotes") is False and not state.get("migrationsPending")
    return Message("diagnostics.evidence.ledger_closed") if is_closed else None


def _sees_no_rows(report: ReportDict) -> str | None:
    sees_no_rows = _connected(report).get("seesNoRows")
    return Message("diagnostics.evidence.sees_no_rows") if sees_no_rows else None


def _defaults_refused(report: ReportDict) -> str | None:
    refusals = _connected(report).get("refusedDefaults")
    return join_messages(refusals) if refusals else None


def _undated_rows(report: ReportDict) -> str | None:
    count = _connected(report).get("undatedRows")
    return Message("diagnostics.evidence.undated_rows", count=count) if count else None


def _replica_identity_missing(report: ReportDict) -> str | None:
    statements = _connected(report).get("replicaIdentities")
    return Message("diagnostics.evidence.replica_identity_missing", count=len(statements)) if statements else None


def _set_replica_identities(report: ReportDict) -> str:
    return Message("diagnostics.as_owner_of_tables", statements=" ".join(report["database"]["replicaIdentities"]))


def _two_tables(report: ReportDict) -> str | None:
    state = _connected(report)
    others = ", ".join(state.get("otherSchemas") or ())
    return (
        Message("diagnostics.evidence.two_tables", schema=state["target"]["schema"], others=others) if others else None
    )


def _duplicate_indexes(report: ReportDict) -> str | None:
    statements = _connected(report).get("duplicateIndexes")
    return Message("diagnostics.evidence.duplicate_indexes", count=len(statements)) if statements else None


def _drop_duplicate_indexes(report: ReportDict) -> str:
    return Message("diagnostics.as_table_owner", statements=" ".join(report["database"]["duplicateIndexes"]))


def _cost_never_unknown(report: ReportDict) -> str | None:
    never_unknown = _connected(report).get("costIsNeverUnknown")
    return Message("diagnostics.evidence.cost_never_unknown") if never_unknown else None


def _public_key_reads(report: ReportDict) -> str | None:
    return Message("diagnostics.evidence.public_key_reads") if _connected(report).get("publicKeyReads") else None


def _statement_pooling(report: ReportDict) -> str | None:
    return Message("diagnostics.evidence.statement_pooling") if _connected(report).get("statementMode") else None


def _background_on_serverless(report: ReportDict) -> str | None:
    runtime = report["runtime"]
    if runtime["serverless"] and runtime["mode"] == "background":
        return Message("diagnostics.evidence.background_on_serverless", platform=runtime["platform"])
    return None


def _large_pool(report: ReportDict) -> str | None:
    runtime = report["runtime"]
    if runtime["serverless"] and runtime["poolSize"] > MAX_SERVERLESS_POOL:
        return Message("diagnostics.evidence.pool_large", pool_size=runtime["poolSize"], platform=runtime["platform"])
    return None


def _not_encrypted(report: ReportDict) -> str | None:
    is_unencrypted = report["runtime"]["deployed"] and _connected(report).get("encrypted") is False
    return Message("diagnostics.evidence.not_encrypted") if is_unencrypted else None


def _debug_token_missing(report: ReportDict) -> str | None:
    missing = report["runtime"]["deployed"] and not report["environment"]["TRACKER_DEBUG_TOKEN_SET"]
    return Message("diagnostics.evidence.debug_token_missing") if missing else None


def _pulled_variables(report: ReportDict) -> str | None:
    pulled = report["environment"]["VERCEL"] and report["runtime"]["platform"] == "local"
    return Message("diagnostics.evidence.pulled_variables") if pulled else None


def _command_of_other_project(report: ReportDict) -> str | None:
    for conflict in report["nameConflicts"]:
        if conflict["ownsCommand"]:
            return Message("diagnostics.evidence.command_of_other_project", **_name_and_version(conflict))
    return None


def _name_and_version(conflict: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": conflict["name"], "version": conflict["version"]}


def _restore_command(report: ReportDict) -> str:
    owner = next(conflict["name"] for conflict in report["nameConflicts"] if conflict["ownsCommand"])
    return Message("diagnostics.command_of_other_project.remedy", name=owner)


def _other_project_installed(report: ReportDict) -> str | None:
    return _conflict_evidence(report, "other_project")


def _former_name_installed(report: ReportDict) -> str | None:
    return _conflict_evidence(report, "former_name")


def _conflict_evidence(report: ReportDict, kind: str) -> str | None:
    for conflict in report["nameConflicts"]:
        if conflict["kind"] == kind and not conflict["ownsCommand"]:
            return Message("diagnostics.evidence.distribution_installed", **_name_and_version(conflict))
    return None


RULES: tuple[ReportRule, ...] = (
    ReportRule("schema_missing", "error", _schema_missing, area="database"),
    ReportRule("table_missing", "error", _table_missing, area="database"),
    ReportRule("read_only", "error", _read_only_replica),
    ReportRule("not_adoptable", "error", _not_adoptable),
    ReportRule("column_missing", "error", _columns_missing, area="database"),
    ReportRule("right_missing", "warning", _rights_missing, area="database"),
    ReportRule("sees_no_rows", "warning", _sees_no_rows),
    ReportRule("outbox_unwritable", "warning", _outbox_unwritable),
    ReportRule("outbox_damaged", "warning", _outbox_damaged),
    ReportRule("outbox_waiting", "warning", _outbox_waiting),
    ReportRule("outbox_undelivered", "warning", _outbox_undelivered),
    ReportRule("outbox_set_aside", "warning", _dead_letters),
    ReportRule("records_missing", "warning", _records_missing),
    ReportRule("alerts", "warning", _recent_alerts),
    ReportRule("read_only_default", "warning", _read_only_default),
    ReportRule("few_slots", "warning", _few_slots),
    ReportRule("clock_off", "warning", _clock_off),
    ReportRule("statement_pooling", "warning", _statement_pooling, area="database"),
    ReportRule("migration_pending", "warning", _migration_pending, "token-tracker migrate."),
    ReportRule("optional_column_missing", "warning", _optional_columns_missing),
    ReportRule("ledger_closed", "warning", _ledger_closed),
    ReportRule("cost_never_unknown", "warning", _cost_never_unknown),
    ReportRule("defaults_refused", "warning", _defaults_refused),
    ReportRule("undated_rows", "warning", _undated_rows),
    ReportRule("replica_identity_missing", "warning", _replica_identity_missing, _set_replica_identities),
    ReportRule("far_away", "warning", _far_away),
    ReportRule("background_on_serverless", "warning", _background_on_serverless),
    ReportRule("pool_large", "warning", _large_pool),
    ReportRule("two_tables", "warning", _two_tables),
    ReportRule("duplicate_indexes", "warning", _duplicate_indexes, _drop_duplicate_indexes),
    ReportRule(
        "public_key_reads",
        "warning",
        _public_key_reads,
        "ALTER TABLE token_usage ENABLE ROW LEVEL SECURITY; REVOKE ALL ON token_usage FROM anon, authenticated;",
    ),
    ReportRule("not_encrypted", "warning", _not_encrypted),
    ReportRule("command_of_other_project", "warning", _command_of_other_project, _restore_command),
    ReportRule("former_name_installed", "warning", _former_name_installed),
    ReportRule("other_project_installed", "info", _other_project_installed),
    ReportRule("debug_token_missing", "info", _debug_token_missing),
    ReportRule("pulled_variables", "info", _pulled_variables),
)
