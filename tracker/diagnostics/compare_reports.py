"""Here against there: two debug reports side by side, the differences first, and what each of them explains.

A report may be one of ours, or what the app's own Next.js route answers: `environment`, `database`, `tokenUsage` and
`recommendations`, whatever else it holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tracker.diagnostics.rules import SLOW_MS

Weight = Literal["error", "warning", "info", "same"]
_ORDER = ("error", "warning", "info", "same")
_GOOD = {"connected", "success", "successful", "ok", "healthy", "true"}
_RUNTIME = ("platform", "region", "mode", "poolSize")
UNKNOWN = "not reported"


@dataclass(frozen=True, slots=True)
class ComparisonLine:
    """One thing in both places; `explains` is what its difference means, empty where both are the same."""

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
    """Every line of two reports, differences first, those that break recording before all others."""
    left, right = _flat(here), _flat(there)
    lines = [_line(key, left.get(key), right.get(key)) for key in dict.fromkeys([*left, *right])]
    return tuple(sorted(lines, key=lambda line: _ORDER.index(line.weight)))


def _flat(report: Mapping[str, Any]) -> dict[str, Any]:
    """What is worth comparing, by the keys of the document."""
    environment, database = _part(report, "environment"), _part(report, "database")
    usage, runtime = _part(report, "tokenUsage"), _part(report, "runtime")
    found: dict[str, Any] = {f"environment.{name}": value for name, value in environment.items() if _is_plain(value)}
    status = database.get("connectionStatus", database.get("connected"))
    if status is not None:
        found["database.connectionStatus"] = "connected" if _is_good(status) else _failure(database, status)
    found |= {f"database.{name}": text for name, text in _of_database(database)}
    if isinstance(usage.get("total"), int):
        found["tokenUsage.recorded"] = "some" if usage["total"] else "none"
    found |= {f"runtime.{name}": runtime[name] for name in _RUNTIME if name in runtime}
    for shape in _items(report, "variables"):
        if isinstance(shape, Mapping) and shape.get("severity") in {"error", "warning"}:
            found[f"variables.{shape.get('name')}"] = str(shape.get("code"))
    waiting = _part(report, "outbox").get("waiting")
    if isinstance(waiting, int):
        found["outbox.waiting"] = "some" if waiting else "none"
    return found


def _of_database(database: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in ("tableExists", "insertAllowed", "serverVersion", "readOnly"):
        if database.get(name) is not None:
            yield name, database[name]
    target = _part(database, "target")
    for name in ("host", "port", "database", "schema", "user", "sslmode"):
        if target.get(name) is not None:
            yield name, str(target[name])
    for name in ("columnsMissing", "rightsMissing", "migrationsPending"):
        if isinstance(database.get(name), list):
            yield name, ", ".join(map(str, database[name])) or "none"
    if isinstance(database.get("latencyMs"), int | float):
        yield "latency", "slow" if database["latencyMs"] >= SLOW_MS else "fast"


def _part(report: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = report.get(name)
    return found if isinstance(found, Mapping) else {}


def _items(report: Mapping[str, Any], name: str) -> list[Any]:
    found = report.get(name)
    return list(found[:100]) if isinstance(found, list | tuple) else []


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _is_good(status: object) -> bool:
    return str(status).strip().lower() in _GOOD


def _failure(database: Mapping[str, Any], status: object) -> str:
    code = _part(database, "error").get("code")
    return f"failed: {code}" if code else str(status)[:80]


def _line(key: str, here: Any, there: Any) -> ComparisonLine:
    left, right = _shown(here), _shown(there)
    if _alike(key, here, there):
        return ComparisonLine(key, left, right, "same")
    weight, explains = _meaning(key, here, there)
    return ComparisonLine(key, left, right, weight, explains)


def _alike(key: str, here: Any, there: Any) -> bool:
    if key.startswith(("variables.", "environment.")):
        # Unset, false and not mentioned are one thing here: a route of the app's own names only some variables.
        return (here or None) == (there or None)
    return here is None or there is None or here == there


def _shown(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)[:200]


# What a difference explains, by key; the first value is how much it weighs.
_MEANINGS: dict[str, tuple[Weight, str]] = {
    "database.tableExists": ("error", "One of the two has no table to record in: token-tracker migrate there."),
    "database.insertAllowed": ("error", "One of the two may not insert: its role, its table or its server differs."),
    "database.host": ("warning", "Two servers: what is recorded on one doesn't show on the other."),
    "database.port": ("info", "One goes through a pooler: on serverless the transaction pooler (6543) is right."),
    "database.database": ("warning", "Two databases: what is recorded in one doesn't show in the other."),
    "database.schema": ("warning", "Two schemas: each has a table token_usage of its own."),
    "database.user": ("warning", "Two roles: their rights and row-level security may differ."),
    "database.sslmode": ("info", "Encryption is asked for in one place only."),
    "database.columnsMissing": ("error", "The tables differ: token-tracker migrate where columns are missing."),
    "database.rightsMissing": ("error", "One role lacks a right that the other has."),
    "database.migrationsPending": ("warning", "One database lacks steps: token-tracker migrate."),
    "database.readOnly": ("error", "One address leads to a replica, or its sessions are read-only."),
    "database.latency": ("warning", "The function is far from the database: run it in the database's region."),
    "database.serverVersion": ("info", "Two versions of the server."),
    "tokenUsage.recorded": ("warning", "Only one of the two has any record: they don't write to the same table."),
    "runtime.mode": ("info", "Serverless writes before it returns, a server in the background."),
    "runtime.poolSize": ("info", "Each instance holds so many connections at most; serverless has many instances."),
    "runtime.platform": ("info", "The platform decides on the mode and the connection policy."),
    "runtime.region": ("info", "The way to the database is longer from one of them."),
    "outbox.waiting": ("warning", "Records wait in one place and aren't delivered."),
    "environment.NODE_ENV": ("info", "One is a production build; variables are set for each environment apart."),
    "environment.VERCEL": (
        "info",
        "Serverless: short-lived instances, few connections, nothing runs after the response.",
    ),
    "environment.VERCEL_ENV": ("info", "Vercel keeps variables for production, preview and development apart."),
    "environment.VERCEL_REGION": ("info", "Where the function runs; set only in a deployed one."),
    "environment.DATABASE_URL_SET": (
        "error",
        "Where it isn't set, nothing can be recorded: set it there and deploy again.",
    ),
    "environment.POSTGRES_URL_SET": ("info", "Used where DATABASE_URL isn't set."),
    "environment.GEMINI_API_KEY_SET": (
        "warning",
        "Where it isn't set the AI call fails, so that there is nothing to record.",
    ),
    "environment.NEXT_PUBLIC_SUPABASE_URL_SET": ("warning", "Where it isn't set the app's own Supabase client fails."),
    "environment.SUPABASE_SERVICE_ROLE_KEY_SET": (
        "warning",
        "Where it isn't set the app's server can't write to Supabase.",
    ),
}


def _meaning(key: str, here: Any, there: Any) -> tuple[Weight, str]:
    if key == "database.connectionStatus":
        reached = "here" if here == "connected" else "there" if there == "connected" else "nowhere"
        side = {"here": "there", "there": "here"}.get(reached, "both")
        return "error", f"The database is reached {reached}: the reason stands in the recommendations of {side}."
    if key.startswith("variables."):
        side = "here" if here else "there"
        return "error", f"The value of {key.removeprefix('variables.')} is malformed {side} ({here or there})."
    if key in _MEANINGS:
        return _MEANINGS[key]
    if key.endswith("_SET"):
        return "info", f"{key.removeprefix('environment.').removesuffix('_SET')} is set in one place only."
    return "info", "The two environments differ here."


def recommendations_of(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """A report's recommendations; those of the app's own route are plain sentences."""
    found = []
    for item in _items(report, "recommendations"):
        if isinstance(item, Mapping):
            names = ("code", "severity", "cause", "evidence", "remedy")
            found.append({name: str(item.get(name, ""))[:1000] for name in names})
        else:
            found.append({"code": "", "severity": "info", "cause": str(item)[:1000], "evidence": "", "remedy": ""})
    return found
