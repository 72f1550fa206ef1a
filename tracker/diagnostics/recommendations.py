"""What to do: what each part of a report says about the cause, the most likely one first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tracker.database.schema import quote
from tracker.diagnostics.rules import RULES, Facts, Severity
from tracker.diagnostics.server_queries import INSERT_POLICY, SELECT_POLICY
from tracker.diagnostics.variable_remedies import SHAPES, STEPS

_ORDER = ("error", "warning", "info")
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
            yield Recommendation(shape["code"], shape["severity"], shape["sentence"], evidence, SHAPES[shape["code"]])


def _missing_address(facts: Facts) -> Iterator[Recommendation]:
    flags = facts["environment"]
    if flags["DATABASE_URL_SET"] or flags["POSTGRES_URL_SET"] or any(s["code"] == "blank" for s in facts["variables"]):
        return
    elsewhere = facts["database"]["target"] is not None
    remedy = (
        "Set DATABASE_URL to postgresql://user:password@host:5432/database for this environment (production, preview"
        " and development have each their own), then deploy again: running deployments keep their old values."
    )
    if elsewhere:
        remedy += (
            " To deliver queued records of this machine to the embedded database:"
            " token-tracker outbox drain --embedded."
        )
    yield Recommendation(
        "database_url_missing",
        "warning" if elsewhere else "error",
        "DATABASE_URL is not set" + (": the embedded database of this machine is used." if elsewhere else "."),
        "Neither DATABASE_URL nor POSTGRES_URL holds anything in this environment.",
        remedy,
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
        error = {**error, "remedy": SHAPES["pgoptions"]}
    evidence = "; ".join(_told(step) for step in state["steps"])
    remedy = error["remedy"] or STEPS.get(error["code"], "Check DATABASE_URL.")
    nearer = list(_of_table(facts)) if failed == "insert" else []
    yield from nearer or [Recommendation(error["code"], "error", error["sentence"], evidence, remedy)]


def _told(step: Mapping[str, Any]) -> str:
    if step["ok"] is None:
        return f"{step['name']} not needed"
    return f"{step['name']} {'ok' if step['ok'] else 'FAILED'} after {step['ms']:.0f} ms"


def _of_table(facts: Facts) -> Iterator[Recommendation]:
    """Why an insert was refused, as far as the catalog tells."""
    state = facts["database"]
    if missing := state["rightsMissing"]:
        user = state["target"]["user"] or "the role"
        remedy = _grants(missing, state["target"])
        if state["onlyReads"]:
            remedy += " Where the role is meant to read only, nothing is to be done."
        yield Recommendation(
            "right_missing",
            "error",
            f"This role cannot record: the database user {user} lacks a right: {', '.join(missing)}.",
            f"The catalog says so, and an insert was refused: {state['error']['sentence']}",
            remedy,
        )
    elif state["objections"]:
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


def _grants(missing: Sequence[str], target: Mapping[str, Any]) -> str:
    """Every statement that is needed: one alone would lead to the next refusal."""
    # Names may hold anything: quoted as SQL identifiers.
    user, schema = quote(str(target["user"] or "the role")), quote(str(target["schema"]))
    table = f"{schema}.{quote('token_usage')}"
    found = []
    if any(right.startswith("USAGE") for right in missing):
        found.append(f"As the schema's owner: GRANT USAGE ON SCHEMA {schema} TO {user};")
    as_owner = []
    if {"SELECT", "INSERT"} & set(missing):
        as_owner.append(f"GRANT SELECT, INSERT ON {table} TO {user};")
    policies = {SELECT_POLICY, INSERT_POLICY} & set(missing)
    if len(policies) == 2:
        as_owner.append(f"CREATE POLICY token_tracker ON {table} TO {user} USING (true) WITH CHECK (true);")
    elif SELECT_POLICY in policies:  # ON CONFLICT reads the key, so that an insert needs it too
        as_owner.append(f"CREATE POLICY token_tracker_reads ON {table} FOR SELECT TO {user} USING (true);")
    elif policies:
        as_owner.append(f"CREATE POLICY token_tracker_inserts ON {table} FOR INSERT TO {user} WITH CHECK (true);")
    if as_owner:
        found.append("As the table's owner: " + " ".join(as_owner))
    return " ".join(found)


def _of_rules(facts: Facts) -> Iterator[Recommendation]:
    for rule in RULES:
        if (evidence := rule.find(facts)) is not None:
            remedy = rule.remedy if isinstance(rule.remedy, str) else rule.remedy(facts)
            yield Recommendation(rule.code, rule.severity, rule.cause, evidence, remedy)
