"""GET /api/usage: the usage by any dimensions. GET /api/usage/records: single calls, in pages by cursor."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tracker.api.access import ApiGate
from tracker.api.cursors import PageCursor, decode_cursor, encode_cursor
from tracker.api.parameters import (
    COLUMN_FILTERS,
    RANGE_PARAMETERS,
    Parameters,
    check_names,
    read_filters,
    read_parameters,
)
from tracker.api.problems import Problem, ProblemError, send_problem
from tracker.auth.api_tokens import ApiAccess
from tracker.auth.client_address import request_headers
from tracker.auth.http_responses import Receive, Send, send_body
from tracker.errors import DatabaseError, SettingError, TrackerError
from tracker.property_names import key_of
from tracker.reports.ai_calls.call_log import CallSearch, search_calls
from tracker.reports.csv_text import csv_bytes
from tracker.reports.engine.reader import Reader
from tracker.reports.explorer.usage_rows import DEFAULT_MEASURES, MAX_ROWS, check_dimensions, check_measures, usage_rows
from tracker.reports.filters import Filters

log = logging.getLogger("tracker.dashboard")
USAGE_PARAMETERS = (*RANGE_PARAMETERS, "group_by", "measure", *COLUMN_FILTERS)
RECORDS_PARAMETERS = (*RANGE_PARAMETERS, "limit", "cursor", "properties", *COLUMN_FILTERS)
MAX_DIMENSIONS, MAX_PROPERTIES = 6, 20
DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
USER_MEASURES = ("calls", "total_tokens", "cost_usd")
"""The default measures of a question by user only, which the rollups of users answer."""
RECORD_FIELDS = (
    "id", "created_at", "provider", "model", "operation", "user", "session", "input_tokens", "output_tokens",
    "total_tokens", "cache_read_input_tokens", "cache_write_input_tokens", "reasoning_output_tokens", "cost_usd",
    "cost_source", "processing_time", "success", "error_message", "environment", "platform", "region", "deployment",
    "delivery",
)  # fmt: skip
_BOUND_FIELDS = tuple(name for name in RECORD_FIELDS if name not in {"error_message", "cost_source"})
_RENAMED = {"user": "user_id", "session": "session_id"}
# The length of a step, and the most steps of a range. They are computed before the query, so they are limited, too.
_STEPS = {
    "hour": (timedelta(hours=1), MAX_ROWS),
    "day": (timedelta(days=1), MAX_ROWS),
    "week": (timedelta(weeks=1), MAX_ROWS),
    "month": (timedelta(days=28), MAX_ROWS),
    "weekday": (timedelta(hours=1), 100_000),
    "hour_of_day": (timedelta(hours=1), 100_000),
}
_BUSY_S = 15.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of an answer by column name, and the cursor of the next page."""

    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    next_cursor: str | None = None
    remarks: tuple[str, ...] = ()


class UsageApi:
    """The two routes' ASGI apps. `reader` is called for each request; all requests use one connection together."""

    def __init__(self, reader: Callable[[], Reader], gate: ApiGate, now: Callable[[], datetime] | None = None) -> None:
        self._reader = reader
        self._gate = gate
        self._now = now or (lambda: datetime.now(UTC))
        self._one_query = asyncio.Semaphore(1)

    async def usage(self, scope: Mapping[str, Any], _: Receive, send: Send) -> None:
        """GET /api/usage."""
        await self._respond(scope, send, USAGE_PARAMETERS, self._read_usage)

    async def records(self, scope: Mapping[str, Any], _: Receive, send: Send) -> None:
        """GET /api/usage/records."""
        await self._respond(scope, send, RECORDS_PARAMETERS, self._read_records)

    async def _respond(
        self,
        scope: Mapping[str, Any],
        send: Send,
        known: Sequence[str],
        read: Callable[[Parameters, ApiAccess, datetime], Answer],
    ) -> None:
        head = scope["method"] == "HEAD"
        access = self._gate.check(scope)
        if isinstance(access, Problem):
            await send_problem(send, access, head=head)
            return
        try:
            parameters = read_parameters(scope.get("query_string", b""), known)
            answer = await self._run(lambda: read(parameters, access, self._now()))
        except ProblemError as error:
            await send_problem(send, error.problem, head=head)
        else:
            await _send_answer(send, answer, scope, head=head)

    async def _run(self, read: Callable[[], Answer]) -> Answer:
        """Run a query in a thread, one at a time, so that the pages keep their connections."""
        try:
            await asyncio.wait_for(self._one_query.acquire(), _BUSY_S)
        except TimeoutError:
            retry = (("retry-after", "5"),)
            raise ProblemError(503, "busy", "Other requests are running. Try again.", retry) from None
        try:
            return await asyncio.to_thread(_translate_errors, read)
        finally:
            self._one_query.release()

    def _read_usage(self, parameters: Parameters, access: ApiAccess, now: datetime) -> Answer:
        dimensions = check_dimensions(parameters.get_list("group_by", MAX_DIMENSIONS))
        measures = check_measures(parameters.get_list("measure", len(USAGE_PARAMETERS)))
        check_names(dimensions, access.binding)
        filters = read_filters(parameters, access.binding, now)
        _check_steps(filters, dimensions)
        if not measures:
            measures = USER_MEASURES if dimensions == ("user",) else DEFAULT_MEASURES
        reader = self._reader()
        with reader.pin_rollup_state():
            usage = usage_rows(reader, filters, dimensions, measures)
        if usage.is_cut:
            detail = (
                f"The answer has more than {MAX_ROWS:,} rows. Choose a shorter range, filters, or fewer dimensions."
            )
            raise ProblemError(400, "too many rows", detail)
        return Answer((*usage.dimensions, *usage.measures), usage.as_json(), remarks=usage.remarks)

    def _read_records(self, parameters: Parameters, access: ApiAccess, now: datetime) -> Answer:
        limit = parameters.get_integer("limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
        properties = parameters.get_list("properties", MAX_PROPERTIES)
        if unnamed := [name for name in properties if not key_of(name)]:
            raise ProblemError(400, "invalid value", f"properties takes metadata.KEY, not {unnamed[0][:60]!r}.")
        check_names(properties, access.binding)
        filters = read_filters(parameters, access.binding, now)
        after = None
        if (text := parameters.values.get("cursor")) is not None:
            cursor = decode_cursor(text, parameters.values, access.binding)
            filters, after = replace(filters, start=cursor.start, end=cursor.end), cursor.position
        search = CallSearch(shown_keys=tuple(key_of(name) or "" for name in properties))
        page = search_calls(self._reader(), filters, search, after, count=limit)
        columns = _BOUND_FIELDS if access.binding else RECORD_FIELDS
        next_cursor = None
        if page.position:
            following = PageCursor(page.position, filters.start, filters.end)
            next_cursor = encode_cursor(following, parameters.values, access.binding)
        rows = [_record(row, columns, properties) for row in page.rows]
        return Answer((*columns, *properties), rows, next_cursor)


def _record(row: Mapping[str, Any], columns: Sequence[str], properties: Sequence[str]) -> dict[str, Any]:
    record = {name: _json_value(row[_RENAMED.get(name, name)]) for name in columns}
    record["cost_usd"] = None if row["cost_usd"] is None else format(row["cost_usd"], "f")
    return {**record, **dict(zip(properties, row["shown_properties"] or (), strict=True))}


def _json_value(value: object) -> object:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def _check_steps(filters: Filters, dimensions: Sequence[str]) -> None:
    for name in dimensions:
        length, limit = _STEPS.get(name, (timedelta.max, 1))
        if (filters.end - filters.start) / length > limit:
            detail = f"The range has more than {limit:,} steps of {name}. Choose a shorter range or larger steps."
            raise ProblemError(400, "too many rows", detail)


def _translate_errors(read: Callable[[], Answer]) -> Answer:
    """Run a query; its errors become problems without a text of the server, which could name tables and roles."""
    try:
        return read()
    except SettingError as error:
        raise ProblemError(400, "invalid value", str(error)) from None
    except DatabaseError as error:
        log.warning("A request to the usage API failed. %s", error)
        if error.code == "statement_timeout":
            detail = (
                "The query takes longer than 15 s. Choose a shorter range, or index the property (TRACKER_PROPERTIES)."
            )
            raise ProblemError(503, "too slow", detail) from None
        raise ProblemError(503, "database error", f"The database can't be read ({error.code}). Try again.") from None
    except TrackerError as error:
        log.warning("A request to the usage API failed. %s", error)
        raise ProblemError(503, "not available", "The figures can't be read now. Try again.") from None


async def _send_answer(send: Send, answer: Answer, scope: Mapping[str, Any], *, head: bool) -> None:
    if _prefers_csv(request_headers(scope).get("accept", "")):
        cells = [[row[name] for name in answer.columns] for row in answer.rows]
        body, content_type = csv_bytes([answer.columns, *cells]), "text/csv; charset=utf-8"
        headers = [("x-next-cursor", answer.next_cursor)] if answer.next_cursor else []
        headers += [("x-remarks", " ".join(answer.remarks))] if answer.remarks else []
        await send_body(send, 200, body, content_type, head=head, headers=headers)
        return
    content: dict[str, Any] = {"data": answer.rows, "next_cursor": answer.next_cursor}
    if answer.remarks:
        content["remarks"] = answer.remarks
    body = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
    await send_body(send, 200, body, "application/json", head=head)


def _prefers_csv(accept: str) -> bool:
    """Whether a client names CSV and not JSON."""
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return "text/csv" in kinds and "application/json" not in kinds
