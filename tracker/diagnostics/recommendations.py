"""What to do: each rule looks for one cause in a report and names the evidence; the most likely cause comes first.

The rules stand in the order in which they explain a failure. What keeps records out is an *error*, what will do so
or hides something is a *warning*, the rest is *info*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

Severity = Literal["error", "warning", "info"]
Facts = Mapping[str, Any]
_ORDER = ("error", "warning", "info")
# Above these something is worth saying. Within a region a round trip takes a few milliseconds.
SLOW_MS = 60.0
SKEW_S = 5.0
OLD_S = 60.0
FEW_SLOTS = 5
LARGE_POOL = 10
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One cause: a stable word, what it is, what shows it, what to do about it."""

    code: str
    severity: Severity
    cause: str
    evidence: str
    remedy: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


class Rule(NamedTuple):
    """`find` returns the evidence, or None where the rule doesn't apply."""

    code: str
    severity: Severity
    find: Callable[[Facts], str | None]
    cause: str
    remedy: str


# What to do about a variable's shape, by its code; the sentence itself is the cause.
_SHAPES = {
    "blank": "Set it to postgresql://user:password@host:5432/database in the platform's settings, then deploy again.",
    "placeholder": "Put the database's password in the place of the placeholder, percent-encoded.",
    "name_in_value": "Leave only what follows the = in the value.",
    "unexpanded": "Write the address itself: platforms don't replace references within values.",
    "command": "Leave only the address itself, without psql and without quotes.",
    "wrong_scheme": "Copy the PostgreSQL connection string of the provider: postgresql://…, not an API's or another database's address.",
    "malformed": "Copy the address from the provider again, and percent-encode special characters of the password.",
    "quotes": "Enter the value without quotes: a platform's settings take it as it stands. Then deploy again.",
    "newline": "Enter the value again without the line break (printf instead of echo when a command sets it).",
    "white_space": "Enter the value again without the white space.",
    "session_pooler": "Use port 6543, the transaction pooler.",
    "direct_host": "Use the provider's transaction pooler: port 6543 of Supabase's pooler host, -pooler in Neon's host.",
    "exposed_secret": "Change the secret at its provider, and set it under a name without NEXT_PUBLIC_.",
    "setting_malformed": "Correct the variable, then deploy again.",
    "two_databases": "Remove the one that isn't meant.",
    "pgoptions": "Remove PGOPTIONS where the app runs.",
}
# What to do about a step of the network; a database's own error brings its remedy.
_STEPS = {
    "dns_timeout": "Try again; if it stays so, look at the name service of this network.",
    "host_unknown": "Correct the host in DATABASE_URL; a paused or deleted project's name disappears too.",
    "refused": "Check host and port in DATABASE_URL and that the database is running.",
    "ipv6_only": "Use an address with IPv4: the provider's pooler (Supabase: the pooler host, port 6543).",
    "unreachable": "Check host and network: a private address can only be reached from its own network.",
    "timeout": "Check host and port, and the provider's allow list: a firewall drops what it doesn't let in.",
    "silent": "Check host and port: a firewall, a load balancer without a server, or a stopped database holds the line.",
    "hung_up": "Check host and port, and the provider's allow list: what answers hangs up before PostgreSQL speaks.",
    "not_postgres": "Correct the port in DATABASE_URL: 5432, or the pooler's (6543 at Supabase).",
    "tls_refused": "Remove sslmode from DATABASE_URL, or switch TLS on at the server.",
    "tls_timeout": "Try again; a firewall that inspects TLS can hold it up.",
    "tls_failed": "See the server's log; an old server may need TLS 1.2 to be switched on.",
    "certificate": "Use the host name it is made for and sslrootcert=system; sslmode=require encrypts without verifying.",
    "certificate_expired": "Renew the certificate at the server; until then sslmode=require encrypts without verifying.",
    "certificate_not_yet": "Set this machine's clock right.",
    "certificate_host": "Use the host name that the certificate is made for.",
    "certificate_unknown": "Name the provider's root certificate with sslrootcert=, or use sslrootcert=system for public ones.",
    "root_certificate": "Put the provider's root certificate where sslrootcert= says, and deploy it with the app.",
}


def recommend(facts: Facts) -> tuple[Recommendation, ...]:
    """What explains a report, the most likely cause first; empty when there is nothing to do."""
    found = [*_of_shapes(facts, "error"), *_missing_address(facts), *_of_step(facts), *_of_rules(facts)]
    found += [*_of_shapes(facts, "warning"), *_of_shapes(facts, "info")]
    ranked = sorted(found, key=lambda r: (_ORDER.index(r.severity), r.code == "exposed_secret"))
    first: dict[str, Recommendation] = {}
    for recommendation in ranked:
        first.setdefault(recommendation.code, recommendation)
    return tuple(first.values())


def _of_shapes(facts: Facts, severity: str) -> Iterator[Recommendation]:
    for shape in facts["variables"]:
        if shape["severity"] == severity:
            evidence = f"The form of {shape['name']}."
            yield Recommendation(shape["code"], shape["severity"], shape["sentence"], evidence, _SHAPES[shape["code"]])


def _missing_address(facts: Facts) -> Iterator[Recommendation]:
    flags = facts["environment"]
    if flags["DATABASE_URL_SET"] or flags["POSTGRES_URL_SET"] or any(s["code"] == "blank" for s in facts["variables"]):
        return
    elsewhere = facts["database"]["target"] is not None
    yield Recommendation(
        "database_url_missing",
        "warning" if elsewhere else "error",
        "DATABASE_URL is not set" + (": the embedded database of this machine is used." if elsewhere else "."),
        "Neither DATABASE_URL nor POSTGRES_URL holds anything in this environment.",
        "Set DATABASE_URL to postgresql://user:password@host:5432/database for this environment (production, preview and"
        " development have each their own), then deploy again: running deployments keep their old values.",
    )


def _of_step(facts: Facts) -> Iterator[Recommendation]:
    """The step that failed, with what the table says about it where that is nearer to the cause."""
    state = facts["database"]
    error, failed = state["error"], state["failedStep"]
    if error is None or failed is None:
        return
    if error["code"] == "refused" and facts["runtime"]["deployed"] and state["target"]["host"] in _LOOPBACK:
        cause = f"DATABASE_URL names this machine itself ({state['target']['host']}), and no database runs here."
        error = {"code": "localhost", "sentence": cause, "remedy": "Use an address that the platform can reach."}
    if error["code"] == "parameter_refused" and any(s["code"] == "pgoptions" for s in facts["variables"]):
        error = {**error, "remedy": _SHAPES["pgoptions"]}
    evidence = "; ".join(_told(step) for step in state["steps"])
    remedy = error["remedy"] or _STEPS.get(error["code"], "Check DATABASE_URL.")
    nearer = list(_of_table(facts)) if failed == "insert" else []
    yield from nearer or [Recommendation(error["code"], "error", error["sentence"], evidence, remedy)]


def _told(step: Mapping[str, Any]) -> str:
    if step["ok"] is None:
        return f"{step['name']} not needed"
    return f"{step['name']} {'ok' if step['ok'] else 'FAILED'} after {step['ms']:.0f} ms"


def _of_table(facts: Facts) -> Iterator[Recommendation]:
    """Why an insert was refused, as far as the catalog tells."""
    state = facts["database"]
    for missing in state["rightsMissing"] or ():
        user = state["target"]["user"] or "the role"
        yield Recommendation(
            "right_missing",
            "error",
            f"The database user {user} lacks a right: {missing}.",
            f"The catalog says so, and an insert was refused: {state['error']['sentence']}",
            _grant(missing, state["target"]),
        )
        return
    if state["objections"]:
        cause = "The table token_usage can't take records as it is. " + state["objections"][0]
        remedy = "Change the table as the sentence says, then: token-tracker migrate."
        yield Recommendation("not_adoptable", "error", cause, "An insert was refused.", remedy)
    elif state["columnsMissing"]:
        yield Recommendation(
            "column_missing",
            "error",
            "The table token_usage lacks columns that recording needs.",
            "Missing: " + ", ".join(state["columnsMissing"]) + ".",
            "Add them: token-tracker migrate. Nothing of the table is renamed or rewritten.",
        )


def _grant(missing: str, target: Mapping[str, Any]) -> str:
    # Names may hold anything: quoted as SQL identifiers.
    user = '"' + str(target["user"] or "the role").replace('"', '""') + '"'
    table = ".".join('"' + str(name).replace('"', '""') + '"' for name in (target["schema"], "token_usage"))
    if missing.startswith("USAGE"):
        schema = table.removesuffix('."token_usage"')
        return f"As the schema's owner: GRANT USAGE ON SCHEMA {schema} TO {user};"
    if "policy" in missing:
        return f"As the table's owner: CREATE POLICY token_tracker ON {table} TO {user} USING (true) WITH CHECK (true);"
    return f"As the table's owner: GRANT SELECT, INSERT ON {table} TO {user};"


def _of_rules(facts: Facts) -> Iterator[Recommendation]:
    for rule in RULES:
        if (evidence := rule.find(facts)) is not None:
            yield Recommendation(rule.code, rule.severity, rule.cause, evidence, rule.remedy)


# --- what the rules look for --------------------------------------------------------------------------------------


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
    missing = _connected(facts).get("columnsMissing")
    return "Missing: " + ", ".join(missing) + "." if missing else None


def _blind(facts: Facts) -> str | None:
    missing = _connected(facts).get("rightsMissing")
    return "Missing: " + ", ".join(missing) + "." if missing else None


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
    pending = _connected(facts).get("migrationsPending")
    return f"Steps {', '.join(map(str, pending))} weren't taken." if pending else None


def _mute(facts: Facts) -> str | None:
    state = _connected(facts)
    mute = state.get("tableExists") and state.get("takesNotes") is False and not state.get("migrationsPending")
    return "The role may not insert into token_tracker_ledger and token_tracker_alerts." if mute else None


def _public(facts: Facts) -> str | None:
    return "Row-level security is off on token_usage." if _connected(facts).get("publicKeyReads") else None


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
    Rule("column_missing", "error", _columns, "The table token_usage lacks columns that recording needs.",
         "Add them: token-tracker migrate. Nothing of the table is renamed or rewritten."),
    Rule("right_missing", "warning", _blind, "The database user lacks a right on token_usage.",
         "As its owner: GRANT SELECT, INSERT ON token_usage TO the user."),
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
    Rule("far_away", "warning", _far, "The function and the database are far from each other.",
         "Run the function in the database's region; the first connection takes several round trips."),
    Rule("background_on_serverless", "warning", _frozen, "Records are delivered after the response, when the instance is frozen.",
         "Remove TRACKER_MODE, so that a record is written before record() returns."),
    Rule("pool_large", "warning", _greedy, "Each instance may hold many connections, and there are many instances.",
         "Remove TRACKER_POOL_SIZE, or set it to 5 or less."),
    Rule("migration_pending", "warning", _pending, "The database lacks steps of this version.",
         "token-tracker migrate."),
    Rule("ledger_closed", "warning", _mute, "What is missing can't be told from what is explained.",
         "GRANT INSERT ON token_tracker_ledger, token_tracker_alerts TO the user."),
    Rule("public_key_reads", "warning", _public, "Anyone with the project's public key can read token_usage.",
         "ALTER TABLE token_usage ENABLE ROW LEVEL SECURITY; REVOKE ALL ON token_usage FROM anon, authenticated;"),
    Rule("not_encrypted", "warning", _plain, "Records travel unencrypted.", "Add ?sslmode=require to DATABASE_URL."),
    Rule("debug_token_missing", "info", _closed, "Nobody can read this report from outside.",
         "Set TRACKER_DEBUG_TOKEN to a long random text and send it as Authorization: Bearer …."),
    Rule("pulled_variables", "info", _pulled, "Variables of a deployment are set on this machine.",
         "That is what vercel env pull and vercel dev do; sensitive variables are pulled empty."),
)  # fmt: skip
