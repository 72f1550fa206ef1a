"""Compares the debug reports of two deployments: the differences first, and what each difference means.

A report is one of this library, or the JSON of an app's own Next.js route with the keys `environment`, `database`,
`tokenUsage` and `recommendations`. In the code, "here" is this deployment and "there" is the other one: both names
are keys of the JSON output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tracker.diagnostics.rules import SLOW_ROUND_TRIP_MS

Weight = Literal["error", "warning", "info", "same"]
_WEIGHTS = ("error", "warning", "info", "same")
_SUCCESS_WORDS = {"connected", "success", "successful", "ok", "healthy", "true"}
_RUNTIME_KEYS = ("platform", "region", "mode", "poolSize")
UNKNOWN = "not reported"


@dataclass(frozen=True, slots=True)
class ComparisonLine:
    """One value in both deployments. `explains` says what the difference means; it is empty when they are equal."""

    key: str
    here: str
    there: str
    weight: Weight
    explains: str = ""

    @property
    def differs(self) -> bool:
        return self.weight != "same"

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def compare_reports(here: Mapping[str, Any], there: Mapping[str, Any]) -> tuple[ComparisonLine, ...]:
    """The rows of the comparison, sorted by weight: differences that prevent recording come first."""
    left, right = _comparable_values(here), _comparable_values(there)
    rows = [_compare_value(key, left.get(key), right.get(key)) for key in dict.fromkeys([*left, *right])]
    return tuple(sorted(rows, key=lambda row: _WEIGHTS.index(row.weight)))


def _comparable_values(report: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a report that are compared, by their path in the report."""
    environment, database = _part(report, "environment"), _part(report, "database")
    usage, runtime = _part(report, "tokenUsage"), _part(report, "runtime")
    values: dict[str, Any] = {f"environment.{name}": value for name, value in environment.items() if _is_plain(value)}
    status = database.get("connectionStatus", database.get("connected"))
    if status is not None:
        is_connected = str(status).strip().lower() in _SUCCESS_WORDS
        values["database.connectionStatus"] = "connected" if is_connected else _failure(database, status)
    values |= {f"database.{name}": value for name, value in _database_values(database)}
    if isinstance(usage.get("total"), int):
        values["tokenUsage.recorded"] = "some" if usage["total"] else "none"
    values |= {f"runtime.{name}": runtime[name] for name in _RUNTIME_KEYS if name in runtime}
    for problem in _items(report, "variables"):
        if isinstance(problem, Mapping) and problem.get("severity") in {"error", "warning"}:
            values[f"variables.{problem.get('name')}"] = str(problem.get("code"))
    waiting = _part(report, "outbox").get("waiting")
    if isinstance(waiting, int):
        values["outbox.waiting"] = "some" if waiting else "none"
    return values


def _database_values(database: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in ("tableExists", "insertAllowed", "serverVersion", "readOnly"):
        if database.get(name) is not None:
            yield name, database[name]
    target = _part(database, "target")
    for name in ("host", "port", "database", "schema", "user", "sslmode"):
        if target.get(name) is not None:
            yield name, str(target[name])
    for name in ("columnsMissing", "optionalColumnsMissing", "rightsMissing", "migrationsPending"):
        if isinstance(database.get(name), list):
            yield name, ", ".join(map(str, database[name])) or "none"
    if isinstance(database.get("latencyMs"), int | float):
        yield "latency", "slow" if database["latencyMs"] >= SLOW_ROUND_TRIP_MS else "fast"


def _part(report: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = report.get(name)
    return part if isinstance(part, Mapping) else {}


def _items(report: Mapping[str, Any], name: str) -> list[Any]:
    items = report.get(name)
    return list(items[:100]) if isinstance(items, list | tuple) else []


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _failure(database: Mapping[str, Any], status: object) -> str:
    code = _part(database, "error").get("code")
    return f"failed: {code}" if code else str(status)[:80]


def _compare_value(key: str, here: Any, there: Any) -> ComparisonLine:
    left, right = _format(here), _format(there)
    if _is_same(key, here, there):
        return ComparisonLine(key, left, right, "same")
    weight, explains = _meaning(key, here, there)
    return ComparisonLine(key, left, right, weight, explains)


def _is_same(key: str, here: Any, there: Any) -> bool:
    if key.startswith(("variables.", "environment.")):
        # An app's own route reports only some variables, so unset, false and not reported are equal.
        return (here or None) == (there or None)
    return here is None or there is None or here == there


def _format(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)[:200]


# By key: the weight of a difference, and what it means.
_MEANINGS: dict[str, tuple[Weight, str]] = {
    "database.tableExists": ("error", "One of the two has no table to record in: run token-tracker migrate there."),
    "database.insertAllowed": ("error", "One of the two can't insert: its role, its table or its server differs."),
    "database.host": ("warning", "Different servers: calls recorded on one don't appear on the other."),
    "database.port": ("info", "One uses a pooler: on serverless, use the transaction pooler (6543)."),
    "database.database": ("warning", "Different databases: calls recorded in one don't appear in the other."),
    "database.schema": ("warning", "Different schemas: each has its own table token_usage."),
    "database.user": ("warning", "Different roles: their rights and row-level security may differ."),
    "database.sslmode": ("info", "Only one of the two requires encryption."),
    "database.columnsMissing": ("error", "The tables differ: run token-tracker migrate where columns are missing."),
    "database.optionalColumnsMissing": ("warning", "One database lacks columns: run token-tracker migrate."),
    "database.rightsMissing": ("error", "One role lacks a right that the other has."),
    "database.migrationsPending": ("warning", "One database lacks migrations: run token-tracker migrate."),
    "database.readOnly": ("error", "One of the two is a replica, or its sessions are read-only."),
    "database.latency": ("warning", "The function is far from the database: run it in the database's region."),
    "database.serverVersion": ("info", "Different server versions."),
    "tokenUsage.recorded": ("warning", "Only one of the two has records: they don't write to the same table."),
    "runtime.mode": ("info", "On serverless, record() writes before it returns; on a server, in the background."),
    "runtime.poolSize": ("info", "Each instance opens at most this many connections; serverless has many instances."),
    "runtime.platform": ("info", "The platform determines the mode and the connection policy."),
    "runtime.region": ("info", "One of the two is farther from the database."),
    "outbox.waiting": ("warning", "Records are waiting in one of the two and aren't delivered."),
    "environment.NODE_ENV": ("info", "One is a production build; each environment has its own variables."),
    "environment.VERCEL": (
        "info",
        "Serverless: short-lived instances, few connections, nothing runs after the response.",
    ),
    "environment.VERCEL_ENV": ("info", "On Vercel, production, preview and development have their own variables."),
    "environment.VERCEL_REGION": ("info", "Where the function runs; set only in a deployed one."),
    "environment.DATABASE_URL_SET": (
        "error",
        "Nothing can be recorded where it is not set: set it there and deploy again.",
    ),
    "environment.POSTGRES_URL_SET": ("info", "Used if DATABASE_URL is not set."),
    "environment.GEMINI_API_KEY_SET": (
        "warning",
        "The AI call fails where it is not set, so there is nothing to record.",
    ),
    "environment.NEXT_PUBLIC_SUPABASE_URL_SET": ("warning", "The app's Supabase client fails where it is not set."),
    "environment.SUPABASE_SERVICE_ROLE_KEY_SET": (
        "warning",
        "The app's server can't write to Supabase where it is not set.",
    ),
}


def _meaning(key: str, here: Any, there: Any) -> tuple[Weight, str]:
    if key == "database.connectionStatus":
        if here == "connected":
            return "error", "Only this deployment reaches the database: see the recommendations of the other one."
        if there == "connected":
            return "error", "Only the other deployment reaches the database: see the recommendations of this one."
        return "error", "Neither deployment reaches the database: see the recommendations of both."
    if key.startswith("variables."):
        name = key.removeprefix("variables.")
        if here:
            return "error", f"{name} has a problem in this deployment: {here}."
        return "error", f"{name} has a problem in the other deployment: {there}."
    if key in _MEANINGS:
        return _MEANINGS[key]
    if key.endswith("_SET"):
        return "info", f"{key.removeprefix('environment.').removesuffix('_SET')} is set in only one of the two."
    return "info", "The two deployments have different values."


def recommendations_of(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """A report's recommendations. The strings of an app's own route become causes without a remedy."""
    recommendations = []
    for item in _items(report, "recommendations"):
        if isinstance(item, Mapping):
            names = ("code", "severity", "cause", "evidence", "remedy")
            recommendations.append({name: str(item.get(name, ""))[:1000] for name in names})
        else:
            recommendations.append(
                {"code": "", "severity": "info", "cause": str(item)[:1000], "evidence": "", "remedy": ""}
            )
    return recommendations
