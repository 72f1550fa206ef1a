"""Shared by the tests of captures: OTLP exports of a capture, and the comparison of rows with the expected calls."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from otlp_json import attributes_json, span_json
from psycopg2.extras import RealDictCursor

from tracker.providers.usage_notes import UNCERTAIN_NOTES
from tracker.usage import TOKEN_COLUMNS

CASES = Path(__file__).parent.parent / "cases" / "instrumentations"
COLUMNS = (
    "model",
    "provider",
    *TOKEN_COLUMNS,
    "success",
    "error_message",
    "user_id",
    "session_id",
    "operation",
    "metadata",
)
Case = dict[str, Any]
Row = dict[str, Any]


def load(path: Path) -> Case:
    """One capture."""
    case: Case = json.loads(path.read_text())
    return case


@dataclass(frozen=True)
class Dashboard:
    """A dashboard process, and the database that it writes to."""

    url: str
    database_url: str

    @property
    def endpoint(self) -> str:
        return self.url + "/v1/traces"

    def rows(self, start_s: float, end_s: float) -> list[Row]:
        """The rows of calls that ended between two times, in the order of their ends."""
        query = (
            f"SELECT {', '.join(COLUMNS)} FROM token_usage"
            " WHERE created_at BETWEEN to_timestamp(%s) AND to_timestamp(%s) ORDER BY created_at"
        )
        with (
            closing(psycopg2.connect(self.database_url)) as connection,
            connection.cursor(cursor_factory=RealDictCursor) as cursor,
        ):
            cursor.execute(query, (start_s, end_s))
            return [dict(row) for row in cursor.fetchall()]


# --- spans as an export -------------------------------------------------------------------------------------------


def export(spans: list[dict[str, Any]], salt: str, shift_ns: int) -> dict[str, Any]:
    """An OTLP/JSON export of captured spans, with new ids and shifted times."""
    groups: dict[str, tuple[dict[str, Any], dict[str, Any], list[Any]]] = {}
    for span in spans:
        key = json.dumps([span["resource"], span["scope"]], sort_keys=True)
        encoded = span_json(span, shift_ns=shift_ns, new_id=lambda captured: _new_id(captured, salt))
        groups.setdefault(key, (span["resource"], span["scope"], []))[2].append(encoded)
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": attributes_json(resource)},
                "scopeSpans": [{"scope": scope, "spans": members}],
            }
            for resource, scope, members in groups.values()
        ]
    }


def _new_id(captured: str, salt: str) -> str:
    return captured and hashlib.sha256(f"{salt}{captured}".encode()).hexdigest()[: len(captured)]


def parts(spans: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The spans one by one, as an exporter without a batch sends them: in the order in which they ended."""
    for span in sorted(spans, key=lambda span: span["end_ns"]):
        yield [span]


# --- rows and expectations ----------------------------------------------------------------------------------------


def differences(case: Case, rows: list[Row]) -> list[str]:
    """The differences between the rows of a capture and its expected calls; empty if there are none."""
    unmatched = list(rows)
    wrong = []
    certain = [item for item in case["expected"] if not _optional(item)]
    for item in sorted(certain, key=lambda item: not item["success"]):
        reasons = [_mismatch(item, row, case) for row in unmatched]
        fitting = next((index for index, reason in enumerate(reasons) if not reason), None)
        if fitting is None:
            nearest = min((reason for reason in reasons if reason), key=len, default="no row remains")
            wrong.append(f"{_short(item)}: {nearest}")
        else:
            unmatched.pop(fitting)
    spare = sum(_optional(item) for item in case["expected"])
    if len(unmatched) > spare:
        wrong.append(f"{len(unmatched) - spare} rows too many: {[_short(row) for row in unmatched]}")
    return wrong + [
        f"a count that the spans do not contain: {_short(row)}" for row in unmatched if _has_unknown_count(row, case)
    ]


def _optional(item: Mapping[str, Any]) -> bool:
    """Whether the spans state too little for a row to be certain."""
    lacks = item.get("lacks", ())
    return "call" in lacks or "error" in lacks or ("usage" in lacks and item["success"])


def _mismatch(item: Mapping[str, Any], row: Row, case: Case) -> str:
    lacks = item.get("lacks", ())
    if row["success"] != item["success"]:
        return f"success is {row['success']}"
    wrong = [f"model is {row['model']}"] if not _same_model(item, row["model"]) else []
    wrong += [f"provider is {row['provider']}"] if row["provider"] != item["provider"] else []
    for name in ("user_id", "session_id", "operation"):
        if name in item and name not in lacks and row[name] != item[name]:
            wrong.append(f"{name} is {row[name]}, not {item[name]}")
    if not item["success"] and not row["error_message"]:
        wrong.append("no error message")
    if "usage" not in lacks:
        wrong += [reason for name in TOKEN_COLUMNS if (reason := _wrong_count(name, item, row, case))]
        wrong += _wrong_details(item, row)
    return "; ".join(wrong)


def _wrong_count(name: str, item: Mapping[str, Any], row: Row, case: Case) -> str:
    """A count that the spans do not state is marked; with a note it is 0, or what they state instead."""
    if row[name] == item[name]:
        return ""
    if name in item.get("lacks", ()):
        noted = row["metadata"].get("usage_note") in UNCERTAIN_NOTES and row[name] in _without(name, item)
        if noted or "usage_problem" in row["metadata"]:
            return ""
    return f"{name} is {row[name]}, not {item[name]}"


def _without(name: str, item: Mapping[str, Any]) -> set[int]:
    """What a count can be without the parts that the spans do not state."""
    if name not in ("input_tokens", "output_tokens"):
        return {0}
    parts = TOKEN_COLUMNS[2:4] if name == "input_tokens" else TOKEN_COLUMNS[4:]
    lacking = [item[part] for part in parts if part in item["lacks"]]
    return {item[name] - sum(lacking), *(item[name] - count for count in lacking)}


def _wrong_details(item: Mapping[str, Any], row: Row) -> list[str]:
    if "details" in item.get("lacks", ()) or row["metadata"].get("usage_problem"):
        return []
    usage = row["metadata"].get("usage", {})
    return [
        f"metadata.usage.{name} is {usage.get(name)}, not {count}"
        for name, count in item.get("details", {}).items()
        if usage.get(name) != count
    ]


def _same_model(item: Mapping[str, Any], model: str) -> bool:
    """The answering model, or the requested one (its version or profile) where the spans do not state it."""
    if model == item["model"]:
        return True
    if "model" in item.get("lacks", ()) and model == "unknown":
        return not item["success"]
    unknown = "model" in item.get("lacks", ()) or not item["success"]
    return unknown and (item["model"].startswith(model) or item["model"].endswith(model))


def numbers(case: Case) -> set[int]:
    """Every whole number that a capture's attributes and events contain."""
    text = json.dumps([[span["attributes"], span["events"]] for span in case["spans"]])
    return {int(number) for number in re.findall(r"(?<![\w.])\d{1,9}(?![\w]|\.[1-9])", text)}


def _has_unknown_count(row: Row, case: Case) -> bool:
    return any(row[name] and row[name] not in numbers(case) for name in ("input_tokens", "output_tokens"))


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in ("model", *TOKEN_COLUMNS, "success")}
