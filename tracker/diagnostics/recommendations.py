"""Turns a report into recommendations: cause, evidence and remedy, the most likely cause first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tracker.database.schema import quote
from tracker.diagnostics.rules import RULES, ReportDict, Severity
from tracker.diagnostics.server_queries import INSERT_POLICY, SELECT_POLICY
from tracker.messages import Message, join_messages, with_messages

_SEVERITIES = ("error", "warning", "info")
_LOOPBACK_HOSTS = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One cause, its evidence, and its remedy. `code` is stable across versions."""

    code: str
    severity: Severity
    cause: str
    evidence: str
    remedy: str

    def as_dict(self) -> dict[str, Any]:
        """The texts, and the code and parameters of each text that is a message."""
        return with_messages(asdict(self))


def recommend(report: ReportDict) -> tuple[Recommendation, ...]:
    """The recommendations for a report, one for each code, the most likely cause first."""
    candidates = [
        *_variable_problems(report, "error"),
        *_missing_database_url(report),
        *_failed_step(report),
        *_matching_rules(report),
        *_variable_problems(report, "warning"),
        *_variable_problems(report, "info"),
    ]
    # An exposed secret doesn't explain a failure, so it follows the other errors.
    candidates.sort(key=lambda r: (_SEVERITIES.index(r.severity), r.code == "exposed_secret"))
    by_code: dict[str, Recommendation] = {}
    for recommendation in candidates:
        by_code.setdefault(recommendation.code, recommendation)
    return tuple(by_code.values())


def _variable_problems(report: ReportDict, severity: Severity) -> Iterator[Recommendation]:
    for problem in report["variables"]:
        if problem["severity"] == severity:
            evidence = Message("diagnostics.evidence.variable_value", variable=problem["name"])
            remedy = Message(f"diagnostics.variable.{problem['code']}.remedy")
            yield Recommendation(problem["code"], severity, problem["sentence"], evidence, remedy)


def _missing_database_url(report: ReportDict) -> Iterator[Recommendation]:
    flags = report["environment"]
    is_blank = any(problem["code"] == "blank" for problem in report["variables"])
    if flags["DATABASE_URL_SET"] or flags["POSTGRES_URL_SET"] or is_blank:
        return
    uses_embedded = report["database"]["target"] is not None
    cause = Message("recording.database_url_missing")
    remedy: str = Message("diagnostics.database_url_missing.remedy")
    if uses_embedded:
        cause = Message("diagnostics.embedded_database_used")
        remedy = join_messages([remedy, Message("recording.drain_to_embedded_database")])
    severity: Severity = "warning" if uses_embedded else "error"
    evidence = Message("diagnostics.evidence.database_url_missing")
    yield Recommendation("database_url_missing", severity, cause, evidence, remedy)


def _failed_step(report: ReportDict) -> Iterator[Recommendation]:
    """The failed step. For a refused insert, the catalog often shows the cause more precisely than the error."""
    state = report["database"]
    error, failed_step = state["error"], state["failedStep"]
    if error is None or failed_step is None:
        return
    if error["code"] == "refused" and report["runtime"]["deployed"] and state["target"]["host"] in _LOOPBACK_HOSTS:
        cause = Message("diagnostics.localhost", host=state["target"]["host"])
        error = {"code": "localhost", "sentence": cause, "remedy": Message("diagnostics.localhost.remedy")}
    if error["code"] == "parameter_refused" and any(p["code"] == "pgoptions" for p in report["variables"]):
        error = {**error, "remedy": Message("diagnostics.variable.pgoptions.remedy")}
    evidence = join_messages(map(_step_summary, state["steps"]), "general.statements")
    catalog_causes = list(_refused_insert(report)) if failed_step == "insert" else []
    yield from catalog_causes or [Recommendation(error["code"], "error", error["sentence"], evidence, error["remedy"])]


def _step_summary(step: Mapping[str, Any]) -> Message:
    if step["ok"] is None:
        return Message("diagnostics.evidence.step_not_needed", step=step["name"])
    state = "step_succeeded" if step["ok"] else "step_failed"
    return Message(f"diagnostics.evidence.{state}", step=step["name"], ms=f"{step['ms']:.0f}")


def _refused_insert(report: ReportDict) -> Iterator[Recommendation]:
    """Why an insert was refused, as far as the catalog shows it."""
    state = report["database"]
    if missing := state["rightsMissing"]:
        user = state["target"]["user"] or Message("diagnostics.role")
        rights = join_messages(missing, "general.list")
        cause = Message("diagnostics.role_lacks_right", user=user, rights=rights)
        evidence = Message("diagnostics.evidence.right_missing", sentence=state["error"]["sentence"])
        remedy = _grant_statements(missing, state["target"])
        if state["onlyReads"]:
            remedy = join_messages([remedy, Message("diagnostics.role_reads_only")])
        yield Recommendation("right_missing", "error", cause, evidence, remedy)
    elif state["objections"]:
        cause = Message("diagnostics.table_not_adoptable", objection=state["objections"][0])
        remedy = Message("diagnostics.rule.not_adoptable.remedy")
        yield Recommendation("not_adoptable", "error", cause, Message("diagnostics.evidence.insert_refused"), remedy)
    elif state["columnsMissing"]:
        yield Recommendation(
            "column_missing",
            "error",
            Message("database.column_missing"),
            Message("diagnostics.evidence.missing", names=", ".join(state["columnsMissing"])),
            Message("database.column_missing.remedy"),
        )


def _grant_statements(missing: Sequence[str], target: Mapping[str, Any]) -> str:
    """All statements that are needed together: each one alone leads to the next refusal."""
    user, schema = quote(str(target["user"] or Message("diagnostics.role"))), quote(str(target["schema"]))
    table = f"{schema}.{quote('token_usage')}"
    statements: list[str] = []
    if any(right.startswith("USAGE") for right in missing):
        statements.append(Message("diagnostics.grant_schema_usage", schema=schema, user=user))
    as_table_owner = []
    if {"SELECT", "INSERT"} & set(missing):
        as_table_owner.append(f"GRANT SELECT, INSERT ON {table} TO {user};")
    policies = {SELECT_POLICY, INSERT_POLICY} & set(missing)
    if len(policies) == 2:
        as_table_owner.append(f"CREATE POLICY token_tracker ON {table} TO {user} USING (true) WITH CHECK (true);")
    elif SELECT_POLICY in policies:  # ON CONFLICT reads the key, so an insert needs this policy too
        as_table_owner.append(f"CREATE POLICY token_tracker_reads ON {table} FOR SELECT TO {user} USING (true);")
    elif policies:
        as_table_owner.append(f"CREATE POLICY token_tracker_inserts ON {table} FOR INSERT TO {user} WITH CHECK (true);")
    if as_table_owner:
        statements.append(Message("diagnostics.as_table_owner", statements=" ".join(as_table_owner)))
    return join_messages(statements)


def _matching_rules(report: ReportDict) -> Iterator[Recommendation]:
    for rule in RULES:
        if (evidence := rule.find_evidence(report)) is not None:
            yield Recommendation(rule.code, rule.severity, rule.cause, evidence, rule.remedy(report))
