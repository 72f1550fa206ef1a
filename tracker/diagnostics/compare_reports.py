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
from tracker.messages import Message

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
    "database.tableExists": ("error", Message("diagnostics.one_two_table_record_run_token")),
    "database.insertAllowed": ("error", Message("diagnostics.one_two_cant_insert_role_table")),
    "database.host": ("warning", Message("diagnostics.different_servers_calls_recorded_one_dont")),
    "database.port": ("info", Message("diagnostics.one_uses_pooler_serverless_use_transaction")),
    "database.database": ("warning", Message("diagnostics.different_databases_calls_recorded_one_dont")),
    "database.schema": ("warning", Message("diagnostics.different_schemas_each_own_table_token_usage")),
    "database.user": ("warning", Message("diagnostics.different_roles_their_rights_row_level")),
    "database.sslmode": ("info", Message("diagnostics.only_one_two_requires_encryption")),
    "database.columnsMissing": ("error", Message("diagnostics.tables_differ_run_token_tracker_migrate")),
    "database.optionalColumnsMissing": ("warning", Message("diagnostics.optional_columns_differ")),
    "database.rightsMissing": ("error", Message("diagnostics.one_role_lacks_right_other")),
    "database.migrationsPending": ("warning", Message("diagnostics.one_database_lacks_migrations_run_token")),
    "database.readOnly": ("error", Message("diagnostics.one_two_replica_sessions_read_only")),
    "database.latency": ("warning", Message("diagnostics.function_far_database_run_databases_region")),
    "database.serverVersion": ("info", Message("diagnostics.different_server_versions")),
    "tokenUsage.recorded": ("warning", Message("diagnostics.only_one_two_records_they_dont")),
    "runtime.mode": ("info", Message("diagnostics.serverless_record_writes_before_returns_server")),
    "runtime.poolSize": ("info", Message("diagnostics.each_instance_opens_most_many_connections")),
    "runtime.platform": ("info", Message("diagnostics.platform_determines_mode_connection_policy")),
    "runtime.region": ("info", Message("diagnostics.one_two_farther_database")),
    "outbox.waiting": ("warning", Message("diagnostics.records_waiting_one_two_arent_delivered")),
    "environment.NODE_ENV": ("info", Message("diagnostics.one_production_build_each_environment_own")),
    "environment.VERCEL": (
        "info",
        Message("diagnostics.serverless_short_lived_instances_few_connections"),
    ),
    "environment.VERCEL_ENV": ("info", Message("diagnostics.vercel_production_preview_development_their_own")),
    "environment.VERCEL_REGION": ("info", Message("diagnostics.where_function_runs_set_only_deployed")),
    "environment.DATABASE_URL_SET": (
        "error",
        Message("diagnostics.nothing_recorded_where_set_set_there"),
    ),
    "environment.POSTGRES_URL_SET": ("info", Message("diagnostics.used_if_database_url_set")),
    "environment.GEMINI_API_KEY_SET": (
        "warning",
        Message("diagnostics.ai_call_fails_where_set_there"),
    ),
    "environment.NEXT_PUBLIC_SUPABASE_URL_SET": (
        "warning",
        Message("diagnostics.apps_supabase_client_fails_where_set"),
    ),
    "environment.SUPABASE_SERVICE_ROLE_KEY_SET": (
        "warning",
        Message("diagnostics.apps_server_cant_write_supabase_where"),
    ),
}


def _meaning(key: str, here: Any, there: Any) -> tuple[Weight, str]:
    if key == "database.connectionStatus":
        if here == "connected":
            return "error", Message("diagnostics.only_deployment_reaches_database_see_recommendations")
        if there == "connected":
            return "error", Message("diagnostics.only_other_deployment_reaches_database_see")
        return "error", Message("diagnostics.neither_deployment_reaches_database_see_recommendations")
    if key.startswith("variables."):
        name = key.removeprefix("variables.")
        if here:
            return "error", Message("diagnostics.problem_deployment", name=name, here=here)
        return "error", Message("diagnostics.problem_other_deployment", name=name, there=there)
    if key in _MEANINGS:
        return _MEANINGS[key]
    if key.endswith("_SET"):
        return "info", Message(
            "diagnostics.set_only_one_two", value=key.removeprefix("environment.").removesuffix("_SET")
        )
    return "info", Message("diagnostics.two_deployments_different_values")


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
