"""GET /api/openapi.json: the OpenAPI 3.1 description of the usage routes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tracker.api.access import ApiGate
from tracker.api.parameters import COLUMN_FILTERS
from tracker.api.problems import Problem, send_problem
from tracker.api.usage_app import (
    DEFAULT_LIMIT,
    MAX_DIMENSIONS,
    MAX_LIMIT,
    RECORD_FIELDS,
)
from tracker.auth.http_responses import Receive, Send, send_body
from tracker.reports.explorer.usage_rows import DIMENSIONS, MEASURES

_DISTRIBUTION = "token-usage-tracker"
_TEXT = {"type": ["string", "null"]}
_INTEGER = {"type": ["integer", "null"]}
_AMOUNT = {"type": ["string", "null"], "description": "US dollars as a decimal number; null if nothing is priced"}
_NUMBERS = {"processing_time"} | {name for name in RECORD_FIELDS if name.endswith("_tokens")}


def openapi_document() -> dict[str, Any]:
    """The document; every value in it is JSON."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Token usage", "version": _version(), "description": "Usage and cost of recorded AI calls."},
        "security": [{"bearer": []}, {}],
        "paths": {"/api/usage": {"get": _usage_route()}, "/api/usage/records": {"get": _records_route()}},
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {"UsageRow": _usage_row(), "Record": _record(), "Problem": _problem()},
        },
    }


class OpenApiApp:
    """The route's ASGI app."""

    def __init__(self, gate: ApiGate) -> None:
        self._gate = gate
        self._body = json.dumps(openapi_document()).encode()

    async def __call__(self, scope: Mapping[str, Any], _: Receive, send: Send) -> None:
        head, access = scope["method"] == "HEAD", self._gate.check(scope)
        if isinstance(access, Problem):
            await send_problem(send, access, head=head)
        else:
            await send_body(send, 200, self._body, "application/json", head=head)


def _usage_route() -> dict[str, Any]:
    names = {"type": "array", "items": {"type": "string", "examples": list(DIMENSIONS)}, "maxItems": MAX_DIMENSIONS}
    measures = {"type": "array", "items": {"type": "string", "enum": list(MEASURES)}}
    return {
        "operationId": "get_usage",
        "summary": "Usage by any dimensions",
        "parameters": [
            *_range_parameters(),
            _parameter("group_by", f"Dimensions: {', '.join(DIMENSIONS)}, metadata.KEY", names, explode=False),
            _parameter("measure", "Measures; the default depends on the dimensions", measures, explode=False),
            *_filter_parameters(),
        ],
        "responses": _responses("UsageRow", "The rows; times in order, other values by their tokens"),
    }


def _records_route() -> dict[str, Any]:
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
    keys = {"type": "array", "items": {"type": "string", "pattern": r"^metadata\..+$"}, "maxItems": 20}
    cursor = {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}
    return {
        "operationId": "get_records",
        "summary": "Single calls, newest first",
        "parameters": [
            *_range_parameters(),
            _parameter("limit", "The most calls of a page", limit),
            _parameter("cursor", "next_cursor of the page before; the other parameters are those of that page", cursor),
            _parameter("properties", "Properties to include: metadata.KEY", keys, explode=False),
            *_filter_parameters(),
        ],
        "responses": _responses("Record", "The calls; a page can be short, and next_cursor is null at the end"),
    }


def _range_parameters() -> Iterable[dict[str, Any]]:
    time = {"type": "string", "examples": ["2026-11-27", "2026-11-27T09:00:00Z"]}
    yield _parameter("start", "The first time, inclusive; a date is its midnight. Default: 30 days", time)
    yield _parameter("end", "The end, exclusive. Default: now", time)
    yield _parameter("timezone", "IANA time zone of dates and days", {"type": "string", "default": "UTC"})


def _filter_parameters() -> Iterable[dict[str, Any]]:
    for name in COLUMN_FILTERS:
        yield _parameter(name, f"Only calls of this {name}", {"type": "string"})


def _parameter(name: str, description: str, schema: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "required": False, "schema": schema, **more}


def _responses(schema: str, description: str) -> dict[str, Any]:
    page = {
        "type": "object",
        "required": ["data", "next_cursor"],
        "properties": {
            "data": {"type": "array", "items": {"$ref": f"#/components/schemas/{schema}"}},
            "next_cursor": _TEXT,
            "remarks": {"type": "array", "items": {"type": "string"}},
        },
    }
    problem = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    errors = {
        "400": "A parameter is invalid",
        "401": "A token is needed",
        "403": "The token does not read these calls",
        "414": "The address is too long",
        "429": "Too many requests",
        "503": "The database can't be read now",
    }
    return {
        "200": {
            "description": description,
            "content": {"application/json": {"schema": page}, "text/csv": {"schema": {"type": "string"}}},
        },
        **{status: {"description": text, **problem} for status, text in errors.items()},
    }


def _usage_row() -> dict[str, Any]:
    properties = {**dict.fromkeys(DIMENSIONS, _TEXT), **dict.fromkeys(MEASURES, _INTEGER), "cost_usd": _AMOUNT}
    return {
        "type": "object",
        "description": "The requested dimensions and measures. A property is named metadata.KEY; null: not set.",
        "required": ["unpriced_calls"],
        "properties": properties,
        "additionalProperties": True,
    }


def _record() -> dict[str, Any]:
    properties: dict[str, Any] = {name: _INTEGER if name in _NUMBERS else _TEXT for name in RECORD_FIELDS}
    properties |= {
        "id": {"type": "string", "format": "uuid"},
        "created_at": {"type": "string", "format": "date-time"},
        "processing_time": {"type": ["number", "null"], "description": "Milliseconds"},
        "success": {"type": "boolean"},
        "cost_usd": _AMOUNT,
    }
    return {"type": "object", "required": ["id", "created_at"], "properties": properties, "additionalProperties": True}


def _problem() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "Problem details (RFC 9457)",
        "required": ["title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
        },
    }


def _version() -> str:
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:
        return "0"
