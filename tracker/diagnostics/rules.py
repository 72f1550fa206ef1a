"""Rules about the report as a whole. Each rule detects one cause and returns its evidence.

The order of `RULES` is the order of likelihood. A cause that prevents recording is an *error*. A cause that will
prevent it or that hides records is a *warning*. All others are *info*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from tracker.diagnostics.connection_probe import NOT_ENCRYPTED, TLS_DISABLED

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
    """`find_evidence` returns None when the rule doesn't apply; `remedy` may be built from the report."""

    code: str
    severity: Severity
    find_evidence: Callable[[ReportDict], str | None]
    cause: str
    remedy: str | Callable[[ReportDict], str]


def _connected(report: ReportDict) -> ReportDict:
    """The report's `database` part; empty without a connection, so that no rule applies to unknown values."""
    state: ReportDict = report["database"]
    return state if state["connectionStatus"] == "connected" else {}


def _schema_missing(report: ReportDict) -> str | None:
    state = _connected(report)
    return f"There is no schema {state['target']['schema']}." if state.get("schemaMissing") else None


def _table_missing(report: ReportDict) -> str | None:
    state = _connected(report)
    if state.get("tableExists") is not False or state.get("schemaMissing"):
        return None
    return f"Schema {state['target']['schema']} of database {state['target']['database']} has no token_usage."


def _read_only_replica(report: ReportDict) -> str | None:
    return "pg_is_in_recovery() is true." if _connected(report).get("readOnly") == "standby" else None


def _columns_missing(report: ReportDict) -> str | None:
    state = _connected(report)
    # While the table can't be adopted, migrate refuses to add columns.
    missing = state.get("columnsMissing") if not state.get("objections") else None
    return "Missing: " + ", ".join(missing) + "." if missing else None


def _optional_columns_missing(report: ReportDict) -> str | None:
    missing = _connected(report).get("optionalColumnsMissing")
    return "Missing: " + ", ".join(missing) + "." if missing else None


def _rights_missing(report: ReportDict) -> str | None:
    missing = _connected(report).get("rightsMissing")
    return "Missing: " + ", ".join(missing) + "." if missing else None


def _not_adoptable(report: ReportDict) -> str | None:
    objections = _connected(report).get("objections")
    return objections[0] if objections else None


def _outbox_unwritable(report: ReportDict) -> str | None:
    outbox = report["outbox"]
    return None if outbox["writable"] else f"{outbox['path']} can't be written."


def _outbox_damaged(report: ReportDict) -> str | None:
    damaged = [file["path"] for file in report["outbox"]["files"] if "error" in file]
    return f"{damaged[0]} can't be read." if damaged else None


def _outbox_waiting(report: ReportDict) -> str | None:
    outbox = report["outbox"]
    if not outbox["waiting"] or (outbox["oldestAgeS"] or 0) < OLD_RECORD_S:
        return None
    return f"{outbox['waiting']} records are waiting, the oldest for {outbox['oldestAgeS']} s."


def _dead_letters(report: ReportDict) -> str | None:
    count = report["outbox"]["setAside"]
    return f"The outbox contains {count} dead letters." if count else None


def _records_missing(report: ReportDict) -> str | None:
    missing = report["ledger"].get("missing")
    return f"{missing} sequence numbers of the last day have neither a row nor a ledger entry." if missing else None


def _recent_alerts(report: ReportDict) -> str | None:
    if not report["alerts"]:
        return None
    newest = report["alerts"][0]
    return f"{newest['alerts']} alerts of the kind {newest['reason']} in the last day."


def _read_only_default(report: ReportDict) -> str | None:
    read_only = _connected(report).get("readOnly") == "default"
    return "default_transaction_read_only is on for this session." if read_only else None


def _few_slots(report: ReportDict) -> str | None:
    slots = _connected(report).get("slots")
    if not slots or slots["free"] >= MIN_FREE_SLOTS:
        return None
    return f"{slots['used']} of {slots['max']} connections are in use; this role can open {slots['free']} more."


def _clock_off(report: ReportDict) -> str | None:
    skew_s = _connected(report).get("clockSkewS")
    if skew_s is None or abs(skew_s) < MAX_CLOCK_SKEW_S:
        return None
    if skew_s > 0:
        return f"This machine's clock is {skew_s:.0f} s ahead of the database's."
    return f"This machine's clock is {-skew_s:.0f} s behind the database's."


def _far_away(report: ReportDict) -> str | None:
    latency_ms = _connected(report).get("latencyMs")
    if latency_ms is None or latency_ms < SLOW_ROUND_TRIP_MS:
        return None
    return f"One round trip took {latency_ms:.0f} ms (region {report['runtime']['region'] or 'not known'})."


def _migration_pending(report: ReportDict) -> str | None:
    state = _connected(report)
    pending = state.get("migrationsPending") if not state.get("objections") else None
    return f"Pending migrations: {', '.join(map(str, pending))}." if pending else None


def _ledger_closed(report: ReportDict) -> str | None:
    state = _connected(report)
    is_closed = state.get("tableExists") and state.get("takesNotes") is False and not state.get("migrationsPending")
    return "The role may not insert into token_tracker_ledger and token_tracker_alerts." if is_closed else None


def _sees_no_rows(report: ReportDict) -> str | None:
    sees_no_rows = _connected(report).get("seesNoRows")
    return "Row-level security is on, and no policy allows SELECT for this role." if sees_no_rows else None


def _defaults_refused(report: ReportDict) -> str | None:
    refusals = _connected(report).get("refusedDefaults")
    return " ".join(refusals) if refusals else None


def _undated_rows(report: ReportDict) -> str | None:
    count = _connected(report).get("undatedRows")
    return f"{count} rows have NULL in created_at." if count else None


def _replica_identity_missing(report: ReportDict) -> str | None:
    statements = _connected(report).get("replicaIdentities")
    return f"{len(statements)} published tables have no replica identity." if statements else None


def _set_replica_identities(report: ReportDict) -> str:
    return "As the tables' owner: " + " ".join(report["database"]["replicaIdentities"])


def _two_tables(report: ReportDict) -> str | None:
    state = _connected(report)
    others = ", ".join(state.get("otherSchemas") or ())
    return f"This one is in the schema {state['target']['schema']}, another one in {others}." if others else None


def _duplicate_indexes(report: ReportDict) -> str | None:
    statements = _connected(report).get("duplicateIndexes")
    return f"{len(statements)} indexes have the same keys as other indexes." if statements else None


def _drop_duplicate_indexes(report: ReportDict) -> str:
    return "As the table's owner: " + " ".join(report["database"]["duplicateIndexes"])


def _cost_never_unknown(report: ReportDict) -> str | None:
    never_unknown = _connected(report).get("costIsNeverUnknown")
    return "The column cost is NOT NULL, so its default replaces an unknown cost." if never_unknown else None


def _public_key_reads(report: ReportDict) -> str | None:
    return "Row-level security is off on token_usage." if _connected(report).get("publicKeyReads") else None


def _statement_pooling(report: ReportDict) -> str | None:
    return "BEGIN closed the connection, twice." if _connected(report).get("statementMode") else None


def _background_on_serverless(report: ReportDict) -> str | None:
    runtime = report["runtime"]
    if runtime["serverless"] and runtime["mode"] == "background":
        return f"TRACKER_MODE is background on {runtime['platform']}."
    return None


def _large_pool(report: ReportDict) -> str | None:
    runtime = report["runtime"]
    if runtime["serverless"] and runtime["poolSize"] > MAX_SERVERLESS_POOL:
        return f"TRACKER_POOL_SIZE is {runtime['poolSize']} on {runtime['platform']}."
    return None


def _not_encrypted(report: ReportDict) -> str | None:
    state = _connected(report)
    if not report["runtime"]["deployed"]:
        return None
    unencrypted = any(
        step["name"] == "tls" and step["detail"] in {NOT_ENCRYPTED, TLS_DISABLED} for step in state.get("steps", ())
    )
    return "The connection isn't encrypted." if unencrypted else None


def _debug_token_missing(report: ReportDict) -> str | None:
    missing = report["runtime"]["deployed"] and not report["environment"]["TRACKER_DEBUG_TOKEN_SET"]
    return "TRACKER_DEBUG_TOKEN is not set in a deployed environment." if missing else None


def _pulled_variables(report: ReportDict) -> str | None:
    pulled = report["environment"]["VERCEL"] and report["runtime"]["platform"] == "local"
    return "VERCEL is set, but this is not a deployed function." if pulled else None


RULES: tuple[ReportRule, ...] = (
    ReportRule("schema_missing", "error", _schema_missing, "The schema in DATABASE_URL doesn't exist.",
        "Correct schema= in DATABASE_URL, or CREATE SCHEMA and then token-tracker migrate."),
    ReportRule("table_missing", "error", _table_missing, "The table token_usage isn't there.",
        "Create it: token-tracker migrate. If it exists in another database, correct DATABASE_URL."),
    ReportRule("read_only", "error", _read_only_replica, "DATABASE_URL names a read-only replica.",
        "Use the address of the primary server for recording."),
    ReportRule("not_adoptable", "error", _not_adoptable,
        "The table token_usage can't be adopted by token-tracker migrate.",
        "Change the table as described, then: token-tracker migrate."),
    ReportRule("column_missing", "error", _columns_missing,
        "The table token_usage lacks columns that recording needs.",
        "Add them: token-tracker migrate. No column is renamed and no row is rewritten."),
    ReportRule("right_missing", "warning", _rights_missing, "The database user lacks a right on token_usage.",
        "As its owner: GRANT SELECT, INSERT ON token_usage TO the user; where row-level security is on, also"
        " CREATE POLICY token_tracker ON token_usage TO the user USING (true) WITH CHECK (true);"),
    ReportRule("sees_no_rows", "warning", _sees_no_rows,
        "This role sees no rows of token_usage: an empty page doesn't mean that nothing was recorded.",
        "As the table's owner: CREATE POLICY token_tracker_reads ON token_usage FOR SELECT TO the user USING (true);"),
    ReportRule("outbox_unwritable", "warning", _outbox_unwritable,
        "Records can't be queued while the database doesn't answer.",
        "Set TRACKER_OUTBOX to a writable file (on serverless: in /tmp)."),
    ReportRule("outbox_damaged", "warning", _outbox_damaged, "An outbox can't be read.",
        "Check the disk. The next Tracker that uses a damaged file renames it."),
    ReportRule("outbox_waiting", "warning", _outbox_waiting,
        "Records are waiting on this machine and aren't delivered.",
        "Fix what prevents the database from storing them, then: token-tracker outbox drain."),
    ReportRule("outbox_set_aside", "warning", _dead_letters, "The database refused records.",
        "Find the reason with token-tracker outbox list, then: token-tracker outbox drain --dead-letters."),
    ReportRule("records_missing", "warning", _records_missing, "Records are missing.",
        "See the deployment in the loss ledger on the Performance page, and search its log for token_usage.failed."),
    ReportRule("alerts", "warning", _recent_alerts, "Recording raised alerts.",
        "See the log of that time; search for token_tracking_failure."),
    ReportRule("read_only_default", "warning", _read_only_default, "New sessions of this role are read-only.",
        "ALTER ROLE … RESET default_transaction_read_only; until then, recording works with a second attempt for each"
        " record."),
    ReportRule("few_slots", "warning", _few_slots, "The server is running out of connections.",
        "Use the provider's transaction pooler, or lower TRACKER_POOL_SIZE."),
    ReportRule("clock_off", "warning", _clock_off, "This machine's clock or the database's is wrong.",
        "Set the clock by NTP: the time of a call is this machine's time."),
    ReportRule("statement_pooling", "warning", _statement_pooling,
        "The pooler is in statement mode: recording works, but anything that needs a transaction fails.",
        "For migrate, rollup, prune, reprice and the dashboard: the database's direct address, or pool_mode ="
        " transaction at the pooler."),
    ReportRule("far_away", "warning", _far_away, "The function and the database are far from each other.",
        "Run the function in the database's region; the first connection takes several round trips."),
    ReportRule("background_on_serverless", "warning", _background_on_serverless,
        "Records are written after the response, when the instance is frozen.",
        "Remove TRACKER_MODE, so that a record is written before record() returns."),
    ReportRule("pool_large", "warning", _large_pool,
        "Each instance may open many connections, and there are many instances.",
        "Remove TRACKER_POOL_SIZE, or set it to 5 or less."),
    ReportRule("migration_pending", "warning", _migration_pending, "The database lacks migrations of this version.",
        "token-tracker migrate."),
    ReportRule("optional_column_missing", "warning", _optional_columns_missing,
        "The table token_usage lacks columns of this version, so records are stored without these values.",
        "Add them: token-tracker migrate. Then restart the processes that record."),
    ReportRule("ledger_closed", "warning", _ledger_closed,
        "The loss ledger can't be written, so explained losses count as missing.",
        "GRANT INSERT ON token_tracker_ledger, token_tracker_alerts TO the user; where row-level security is on, also"
        " CREATE POLICY token_tracker ON token_tracker_ledger TO the user WITH CHECK (true); and the same ON"
        " token_tracker_alerts."),
    ReportRule("cost_never_unknown", "warning", _cost_never_unknown,
        "A call without a known price counts as free.",
        "token-tracker reprice, then as the table's owner: ALTER TABLE token_usage ALTER COLUMN cost DROP NOT NULL,"
        " ALTER COLUMN cost DROP DEFAULT;"),
    ReportRule("defaults_refused", "warning", _defaults_refused, "Constraints of the table refuse some records.",
        "Give every call a value that the constraint allows, or change the constraint as the table's owner."),
    ReportRule("undated_rows", "warning", _undated_rows, "Rows without a time are not counted anywhere.",
        "As the table's owner: UPDATE token_usage SET created_at = … WHERE created_at IS NULL; then: token-tracker"
        " rollup --rebuild."),
    ReportRule("replica_identity_missing", "warning", _replica_identity_missing,
        "Published tables without a replica identity refuse changes, so rollup, reprice and prune fail.",
        _set_replica_identities),
    ReportRule("two_tables", "warning", _two_tables, "There is more than one table token_usage in this database.",
        "Name the right schema with schema= in DATABASE_URL, both for the app and for the dashboard."),
    ReportRule("duplicate_indexes", "warning", _duplicate_indexes,
        "An earlier version created duplicate indexes on token_usage.", _drop_duplicate_indexes),
    ReportRule("public_key_reads", "warning", _public_key_reads,
        "Anyone with the project's public key can read token_usage.",
        "ALTER TABLE token_usage ENABLE ROW LEVEL SECURITY; REVOKE ALL ON token_usage FROM anon, authenticated;"),
    ReportRule("not_encrypted", "warning", _not_encrypted, "Records are sent unencrypted.",
        "Add ?sslmode=require to DATABASE_URL."),
    ReportRule("debug_token_missing", "info", _debug_token_missing,
        "Nobody can read this report from another machine.",
        "Set TRACKER_DEBUG_TOKEN to a long random text and send it as Authorization: Bearer …."),
    ReportRule("pulled_variables", "info", _pulled_variables, "Variables of a deployment are set on this machine.",
        "Commands such as vercel env pull set them; the values of sensitive variables are empty."),
)  # fmt: skip
