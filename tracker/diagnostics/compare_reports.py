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
from tracker.messages import Message, join_messages, restore_message, with_messages

Weight = Literal["error", "warning", "info", "same"]
_WEIGHTS = ("error", "warning", "info", "same")
_SUCCESS_WORDS = {"connected", "success", "successful", "ok", "healthy", "true"}
_RUNTIME_KEYS = ("platform", "region", "mode", "poolSize")
CONNECTED = Message("diagnostics.value.connected")
YES, NO = Message("diagnostics.value.yes"), Message("diagnostics.value.no")
_SOME, _NONE = Message("diagnostics.value.some"), Message("diagnostics.value.none")
_TEXTS = ("cause", "evidence", "remedy")


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

    def as_dict(self) -> dict[str, Any]:
        """The line as JSON types, with the code and parameters of each text that is a message."""
        return with_messages(asdict(self))


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
        values["database.connectionStatus"] = CONNECTED if is_connected else _failure(database, status)
    values |= {f"database.{name}": value for name, value in _database_values(database)}
    if isinstance(usage.get("total"), int):
        values["tokenUsage.recorded"] = _SOME if usage["total"] else _NONE
    values |= {f"runtime.{name}": runtime[name] for name in _RUNTIME_KEYS if name in runtime}
    for problem in _items(report, "variables"):
        if isinstance(problem, Mapping) and problem.get("severity") in {"error", "warning"}:
            values[f"variables.{problem.get('name')}"] = str(problem.get("code"))
    waiting = _part(report, "outbox").get("waiting")
    if isinstance(waiting, int):
        values["outbox.waiting"] = _SOME if waiting else _NONE
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
            names = [item if isinstance(item, Message) else str(item)[:60] for item in _items(database, name)]
            yield name, join_messages(names[:20], "general.list") or _NONE
    if isinstance(database.get("latencyMs"), int | float):
        speed = "slow" if database["latencyMs"] >= SLOW_ROUND_TRIP_MS else "fast"
        yield "latency", Message(f"diagnostics.value.{speed}")


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
    return Message("diagnostics.value.failed", code=str(code)[:80]) if code else str(status)[:80]


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
        return Message("diagnostics.value.not_reported")
    if isinstance(value, bool):
        return YES if value else NO
    return value if isinstance(value, Message) else str(value)[:200]


# By key: the weight of a difference, and what it means.
_MEANINGS: dict[str, tuple[Weight, str]] = {
    "database.tableExists": ("error", Message("diagnostics.difference.table_exists")),
    "database.insertAllowed": ("error", Message("diagnostics.difference.insert_allowed")),
    "database.host": ("warning", Message("diagnostics.difference.host")),
    "database.port": ("info", Message("diagnostics.difference.port_pooler")),
    "database.database": ("warning", Message("diagnostics.difference.database")),
    "database.schema": ("warning", Message("diagnostics.difference.schema")),
    "database.user": ("warning", Message("diagnostics.difference.role")),
    "database.sslmode": ("info", Message("diagnostics.difference.sslmode")),
    "database.columnsMissing": ("error", Message("diagnostics.difference.columns_missing")),
    "database.optionalColumnsMissing": ("warning", Message("diagnostics.difference.optional_columns_missing")),
    "database.rightsMissing": ("error", Message("diagnostics.difference.rights_missing")),
    "database.migrationsPending": ("warning", Message("diagnostics.difference.migrations_pending")),
    "database.readOnly": ("error", Message("diagnostics.difference.read_only")),
    "database.latency": ("warning", Message("diagnostics.difference.latency")),
    "database.serverVersion": ("info", Message("diagnostics.difference.server_version")),
    "tokenUsage.recorded": ("warning", Message("diagnostics.difference.recorded")),
    "runtime.mode": ("info", Message("diagnostics.difference.mode")),
    "runtime.poolSize": ("info", Message("diagnostics.difference.pool_size")),
    "runtime.platform": ("info", Message("diagnostics.difference.platform")),
    "runtime.region": ("info", Message("diagnostics.difference.region")),
    "outbox.waiting": ("warning", Message("diagnostics.difference.outbox_waiting")),
    "environment.NODE_ENV": ("info", Message("diagnostics.difference.node_env")),
    "environment.VERCEL": (
        "info",
        Message("diagnostics.difference.vercel"),
    ),
    "environment.VERCEL_ENV": ("info", Message("diagnostics.difference.vercel_env")),
    "environment.VERCEL_REGION": ("info", Message("diagnostics.difference.vercel_region")),
    "environment.DATABASE_URL_SET": (
        "error",
        Message("diagnostics.difference.database_url_set"),
    ),
    "environment.POSTGRES_URL_SET": ("info", Message("diagnostics.difference.postgres_url_set")),
    "environment.GEMINI_API_KEY_SET": (
        "warning",
        Message("diagnostics.difference.gemini_key_set"),
    ),
    "environment.NEXT_PUBLIC_SUPABASE_URL_SET": (
        "warning",
        Message("diagnostics.difference.supabase_url_set"),
    ),
    "environment.SUPABASE_SERVICE_ROLE_KEY_SET": (
        "warning",
        Message("diagnostics.difference.supabase_key_set"),
    ),
}


def _meaning(key: str, here: Any, there: Any) -> tuple[Weight, str]:
    if key == "database.connectionStatus":
        if here == CONNECTED:
            return "error", Message("diagnostics.difference.connected_here")
        if there == CONNECTED:
            return "error", Message("diagnostics.difference.connected_there")
        return "error", Message("diagnostics.difference.connected_neither")
    if key.startswith("variables."):
        name = key.removeprefix("variables.")
        if here:
            return "error", Message("diagnostics.difference.problem_here", variable=name, here=here)
        return "error", Message("diagnostics.difference.problem_there", variable=name, there=there)
    if key in _MEANINGS:
        return _MEANINGS[key]
    if key.endswith("_SET"):
        return "info", Message(
            "diagnostics.difference.set_in_one", variable=key.removeprefix("environment.").removesuffix("_SET")
        )
    return "info", Message("diagnostics.difference.values")


def _restored_text(recommendation: Mapping[str, Any], name: str) -> str:
    text = restore_message(recommendation, name)
    return text if isinstance(text, Message) else text[:1000]


def recommendations_of(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """A report's recommendations. The strings of an app's own route become causes without a remedy."""
    recommendations = []
    for item in _items(report, "recommendations"):
        if isinstance(item, Mapping):
            entry = {name: str(item.get(name, ""))[:1000] for name in ("code", "severity")}
            recommendations.append(entry | {name: _restored_text(item, name) for name in _TEXTS})
        else:
            recommendations.append(
                {"code": "", "severity": "info", "cause": str(item)[:1000], "evidence": "", "remedy": ""}
            )
    return recommendations
