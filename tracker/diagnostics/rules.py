"""The rules about a report as a whole: each looks for one cause and answers with the evidence.

They stand in the order in which they explain a failure. What keeps records out is an *error*, what will do so or
hides something is a *warning*, the rest is *info*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

Severity = Literal["error", "warning", "info"]
Facts = Mapping[str, Any]
# Above these something is worth saying. Within a region a round trip takes a few milliseconds.
SLOW_MS = 60.0
SKEW_S = 5.0
OLD_S = 60.0
FEW_SLOTS = 5
LARGE_POOL = 10


class Rule(NamedTuple):
    """`find` returns the evidence, or None where the rule doesn't apply; `remedy` may depend on the report."""

    code: str
    severity: Severity
    find: Callable[[Facts], str | None]
    cause: str
    remedy: str | Callable[[Facts], str]


def _connected(facts: Facts) -> Facts:
    """The database's part; empty while it isn't reached, so that no rule speaks of what isn't known."""
    state: Facts = facts["database"]
    return state if state["connectionStatus"] == "connected" else {}


def _no_schema(facts: Facts) -> str | None:
    state = _connected(facts)
    return f"There is no schema {state['target']['schema']}." if state.get("schemaMissing") else None


def _no_table(facts: Facts) -> str | None:
    state = _connected(facts)
    if state.get("tableExists") is not False or state.get("schemaMissing"):
        return None
    return f"Schema {state['target']['schema']} of database {state['target']['database']} has no token_usage."


def _standby(facts: Facts) -> str | None:
    return "pg_is_in_recovery() is true." if _connected(facts).get("readOnly") == "standby" else None


def _columns(facts: Facts) -> str | None:
    state = _connected(facts)
    # Adding them is what migrate refuses while the table can't be adopted.
    missing = state.get("columnsMissing") if not state.get("objections") else None
    return "Missing: " + ", ".join(missing) + "." if missing else None


def _blind(facts: Facts) -> str | None:
    missing = _connected(facts).get("rightsMissing")
    return "Missing: " + ", ".join(missing) + "." if missing else None


def _unadoptable(facts: Facts) -> str | None:
    found = _connected(facts).get("objections")
    return found[0] if found else None


def _unwritable(facts: Facts) -> str | None:
    outbox = facts["outbox"]
    return None if outbox["writable"] else f"{outbox['path']} can't be written."


def _damaged(facts: Facts) -> str | None:
    broken = [file["path"] for file in facts["outbox"]["files"] if "error" in file]
    return f"{broken[0]} can't be read." if broken else None


def _waiting(facts: Facts) -> str | None:
    outbox = facts["outbox"]
    if not outbox["waiting"] or (outbox["oldestAgeS"] or 0) < OLD_S:
        return None
    return f"{outbox['waiting']} records wait, the oldest for {outbox['oldestAgeS']} s."


def _refused_records(facts: Facts) -> str | None:
    count = facts["outbox"]["setAside"]
    return f"{count} records were set aside." if count else None


def _lost(facts: Facts) -> str | None:
    missing = facts["ledger"].get("missing")
    return f"{missing} numbers of the last day have no row and no explanation." if missing else None


def _alerted(facts: Facts) -> str | None:
    if not facts["alerts"]:
        return None
    first = facts["alerts"][0]
    return f"{first['alerts']} alerts of the kind {first['reason']} in the last day."


def _read_only_default(facts: Facts) -> str | None:
    read_only = _connected(facts).get("readOnly") == "default"
    return "default_transaction_read_only is on for this session." if read_only else None


def _few_slots(facts: Facts) -> str | None:
    slots = _connected(facts).get("slots")
    if not slots or slots["free"] >= FEW_SLOTS:
        return None
    return (
        f"{slots['used']} of {slots['max']} connections are in use, {slots['free']} can still be opened by this role."
    )


def _skewed(facts: Facts) -> str | None:
    skew = _connected(facts).get("clockSkewS")
    if skew is None or abs(skew) < SKEW_S:
        return None
    return f"This machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the database's."


def _far(facts: Facts) -> str | None:
    latency = _connected(facts).get("latencyMs")
    if latency is None or latency < SLOW_MS:
        return None
    return f"One round trip took {latency:.0f} ms (region {facts['runtime']['region'] or 'not known'})."


def _pending(facts: Facts) -> str | None:
    state = _connected(facts)
    pending = state.get("migrationsPending") if not state.get("objections") else None
    return f"Steps {', '.join(map(str, pending))} weren't taken." if pending else None


def _mute(facts: Facts) -> str | None:
    state = _connected(facts)
    mute = state.get("tableExists") and state.get("takesNotes") is False and not state.get("migrationsPending")
    return "The role may not insert into token_tracker_ledger and token_tracker_alerts." if mute else None


def _sees_nothing(facts: Facts) -> str | None:
    blind = _connected(facts).get("seesNoRows")
    return "Row-level security is on, and no policy for SELECT is for this role." if blind else None


def _unfit(facts: Facts) -> str | None:
    found = _connected(facts).get("refusedDefaults")
    return " ".join(found) if found else None


def _undated(facts: Facts) -> str | None:
    count = _connected(facts).get("undatedRows")
    return f"{count} rows have NULL in created_at." if count else None


def _unidentified(facts: Facts) -> str | None:
    missing = _connected(facts).get("replicaIdentities")
    return f"{len(missing)} published tables have no replica identity." if missing else None


def _identities(facts: Facts) -> str:
    return "As the tables' owner: " + " ".join(facts["database"]["replicaIdentities"])


def _two_tables(facts: Facts) -> str | None:
    state = _connected(facts)
    others = ", ".join(state.get("otherSchemas") or ())
    return f"This one is in the schema {state['target']['schema']}, another one in {others}." if others else None


def _repeated_indexes(facts: Facts) -> str | None:
    repeated = _connected(facts).get("duplicateIndexes")
    return f"{len(repeated)} indexes have the keys of others." if repeated else None


def _drop_indexes(facts: Facts) -> str:
    return "As the table's owner: " + " ".join(facts["database"]["duplicateIndexes"])


def _never_unpriced(facts: Facts) -> str | None:
    never = _connected(facts).get("costIsNeverUnknown")
    return "The column cost is NOT NULL, and its default stands in for what isn't known." if never else None


def _public(facts: Facts) -> str | None:
    return "Row-level security is off on token_usage." if _connected(facts).get("publicKeyReads") else None


def _statement_mode(facts: Facts) -> str | None:
    return "BEGIN ended the connection, twice." if _connected(facts).get("statementMode") else None


def _frozen(facts: Facts) -> str | None:
    runtime = facts["runtime"]
    if runtime["serverless"] and runtime["mode"] == "background":
        return f"TRACKER_MODE is background on {runtime['platform']}."
    return None


def _greedy(facts: Facts) -> str | None:
    runtime = facts["runtime"]
    if runtime["serverless"] and runtime["poolSize"] > LARGE_POOL:
        return f"TRACKER_POOL_SIZE is {runtime['poolSize']} on {runtime['platform']}."
    return None


def _plain(facts: Facts) -> str | None:
    state = _connected(facts)
    if not facts["runtime"]["deployed"]:
        return None
    bare = any(
        step["name"] == "tls" and step["detail"].startswith(("not offered", "sslmode=disable"))
        for step in state.get("steps", ())
    )
    return "The connection isn't encrypted." if bare else None


def _closed(facts: Facts) -> str | None:
    unset = facts["runtime"]["deployed"] and not facts["environment"]["TRACKER_DEBUG_TOKEN_SET"]
    return "TRACKER_DEBUG_TOKEN is not set in a deployed environment." if unset else None


def _pulled(facts: Facts) -> str | None:
    pulled = facts["environment"]["VERCEL"] and facts["runtime"]["platform"] == "local"
    return "VERCEL is set, and this is no deployed function." if pulled else None


RULES: tuple[Rule, ...] = (
    Rule("schema_missing", "error", _no_schema, "The schema that DATABASE_URL names isn't there.",
         "Correct schema= in DATABASE_URL, or CREATE SCHEMA and then token-tracker migrate."),
    Rule("table_missing", "error", _no_table, "The table token_usage isn't there.",
         "Create it: token-tracker migrate. Or DATABASE_URL names another database than the one that has it."),
    Rule("read_only", "error", _standby, "DATABASE_URL leads to a read-only replica.",
         "Use the address of the primary server for recording."),
    Rule("not_adoptable", "error", _unadoptable, "The table token_usage can't be adopted by token-tracker migrate.",
         "Change the table as the sentence says, then: token-tracker migrate."),
    Rule("column_missing", "error", _columns, "The table token_usage lacks columns that recording needs.",
         "Add them: token-tracker migrate. Nothing of the table is renamed or rewritten."),
    Rule("right_missing", "warning", _blind, "The database user lacks a right on token_usage.",
         "As its owner: GRANT SELECT, INSERT ON token_usage TO the user; where row-level security is on, also"
         " CREATE POLICY token_tracker ON token_usage TO the user USING (true) WITH CHECK (true);"),
    Rule("sees_no_rows", "warning", _sees_nothing,
         "This role sees no rows of token_usage: an empty page doesn't mean that nothing was recorded.",
         "As the table's owner: CREATE POLICY token_tracker_reads ON token_usage FOR SELECT TO the user USING (true);"),
    Rule("outbox_unwritable", "warning", _unwritable, "Records can't be kept while the database doesn't answer.",
         "Set TRACKER_OUTBOX to a file that can be written (on serverless: in /tmp)."),
    Rule("outbox_damaged", "warning", _damaged, "An outbox can't be read.",
         "Look at the disk; a damaged file is moved aside by the next Tracker that uses it."),
    Rule("outbox_waiting", "warning", _waiting, "Records wait on this machine and aren't delivered.",
         "Mend what keeps the database from taking them, then: token-tracker outbox drain."),
    Rule("outbox_set_aside", "warning", _refused_records, "The database refused records.",
         "token-tracker outbox list says why; afterwards: token-tracker outbox drain --set-aside."),
    Rule("records_missing", "warning", _lost, "Records are missing.",
         "The Performance page's ledger says of which deployment; see its log for token_usage.failed."),
    Rule("alerts", "warning", _alerted, "Recording raised alerts.",
         "The log around that time says more; search for token_tracking_failure."),
    Rule("read_only_default", "warning", _read_only_default, "New sessions of this role are read-only.",
         "ALTER ROLE … RESET default_transaction_read_only; recording goes on, with a second attempt for each record."),
    Rule("few_slots", "warning", _few_slots, "The server is running out of connections.",
         "Use the provider's transaction pooler, or lower TRACKER_POOL_SIZE."),
    Rule("clock_off", "warning", _skewed, "This machine's clock is wrong, or the database's is.",
         "Set the clock by NTP: calls are counted at the time that this machine says."),
    Rule("statement_pooling", "warning", _statement_mode,
         "The pooler is in statement mode: recording works, and whatever needs a transaction doesn't.",
         "For migrate, rollup, prune, reprice and the dashboard: the database's direct address, or pool_mode ="
         " transaction at the pooler."),
    Rule("far_away", "warning", _far, "The function and the database are far from each other.",
         "Run the function in the database's region; the first connection takes several round trips."),
    Rule("background_on_serverless", "warning", _frozen,
         "Records wait until after the response, when the instance is frozen.",
         "Remove TRACKER_MODE, so that a record is written before record() returns."),
    Rule("pool_large", "warning", _greedy, "Each instance may hold many connections, and there are many instances.",
         "Remove TRACKER_POOL_SIZE, or set it to 5 or less."),
    Rule("migration_pending", "warning", _pending, "The database lacks steps of this version.",
         "token-tracker migrate."),
    Rule("ledger_closed", "warning", _mute, "What is missing can't be told from what is explained.",
         "GRANT INSERT ON token_tracker_ledger, token_tracker_alerts TO the user; where row-level security is on, also"
         " CREATE POLICY token_tracker ON token_tracker_ledger TO the user WITH CHECK (true); and the same ON"
         " token_tracker_alerts."),
    Rule("cost_never_unknown", "warning", _never_unpriced,
         "A call without a known price counts as free in every figure.",
         "token-tracker reprice, then as the table's owner: ALTER TABLE token_usage ALTER COLUMN cost DROP NOT NULL,"
         " ALTER COLUMN cost DROP DEFAULT;"),
    Rule("defaults_refused", "warning", _unfit, "Constraints of the table refuse some records.",
         "Give every call what the constraint asks for, or change the constraint as the table's owner."),
    Rule("undated_rows", "warning", _undated, "Rows without a time are in no figure.",
         "As the table's owner: UPDATE token_usage SET created_at = … WHERE created_at IS NULL; then: token-tracker"
         " rollup --rebuild."),
    Rule("replica_identity_missing", "warning", _unidentified,
         "Published tables take no changes, so that rollup, reprice and prune are refused.", _identities),
    Rule("two_tables", "warning", _two_tables, "There is more than one table token_usage in this database.",
         "Name the one that is meant with schema= in DATABASE_URL, for the app and the dashboard alike."),
    Rule("duplicate_indexes", "warning", _repeated_indexes,
         "An earlier version left indexes on token_usage that repeat others.", _drop_indexes),
    Rule("public_key_reads", "warning", _public, "Anyone with the project's public key can read token_usage.",
         "ALTER TABLE token_usage ENABLE ROW LEVEL SECURITY; REVOKE ALL ON token_usage FROM anon, authenticated;"),
    Rule("not_encrypted", "warning", _plain, "Records travel unencrypted.", "Add ?sslmode=require to DATABASE_URL."),
    Rule("debug_token_missing", "info", _closed, "Nobody can read this report from outside.",
         "Set TRACKER_DEBUG_TOKEN to a long random text and send it as Authorization: Bearer …."),
    Rule("pulled_variables", "info", _pulled, "Variables of a deployment are set on this machine.",
         "That is what vercel env pull and vercel dev do; sensitive variables are pulled empty."),
)  # fmt: skip
