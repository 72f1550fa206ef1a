"""The tools of the MCP server: read-only questions with small answers, for an assistant.

They read through the same reports as the pages, with the rights of the role in DATABASE_URL. The docstrings are the
descriptions that the assistant reads.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tracker.cli.command_setup import check_time_zone
from tracker.diagnostics.report import build_report
from tracker.errors import SettingError
from tracker.property_names import key_of, value_from_text
from tracker.redaction import redact
from tracker.reports import Filters, Reader, usage_totals
from tracker.reports.anomalies import find_anomaly
from tracker.reports.connections.sessions import blocking_pids, by_state, holders, list_sessions, read_slots
from tracker.reports.explorer.last_range import last_range
from tracker.reports.explorer.usage_rows import DEFAULT_MEASURES, usage_rows

MAX_ROWS = 200
MAX_RECORDS = 50
_MAX_CONNECTIONS = 20
_MAX_TEXT_LENGTH = 300
_NO_DIMENSIONS = ("model",)


class UsageTools:
    """The tools; each public method is one. Raises `TrackerError`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def usage(
        self,
        dimensions: list[str] | None = None,
        last: str = "30d",
        timezone: str | None = None,
        model: str | None = None,
        provider: str | None = None,
        operation: str | None = None,
        user: str | None = None,
        environment: str | None = None,
        properties: dict[str, str] | None = None,
        max_rows: int = 50,
    ) -> dict[str, Any]:
        """Calls, tokens and cost in US dollars of AI calls, grouped by any dimensions.

        dimensions: some of model, provider, operation, user, environment, platform, deployment, session, hour, day,
        week, month, weekday, hour_of_day, and up to two properties such as metadata.team (default: model). last: 24h,
        7d, 2w, today or month. timezone: an IANA name. properties: only calls whose metadata has these values.
        max_rows: 1 to 200, the rows with the most tokens. cost_usd is null if no call of the row has a price;
        unpriced_calls counts the calls that are not in the cost. The totals are those of all rows.
        """
        _check_count("max_rows", max_rows, MAX_ROWS)
        filters = self._filters(
            last,
            timezone,
            model=model,
            provider=provider,
            operation=operation,
            user=user,
            environment=environment,
            properties=tuple((key_of(key) or key, value_from_text(value)) for key, value in (properties or {}).items()),
        )
        names = _NO_DIMENSIONS if dimensions is None else dimensions
        with self._reader.pin_rollup_state():
            rows = usage_rows(self._reader, filters, names, DEFAULT_MEASURES, max_rows=max_rows)
            totals = usage_rows(self._reader, filters).as_json()
        return {
            "start": filters.start.isoformat(),
            "end": filters.end.isoformat(),
            "timezone": filters.timezone,
            "totals": totals[0] if totals else None,
            "data": rows.as_json(),
            "has_more_rows": rows.is_cut,
            "rows_overlap": rows.overlaps,
            "remarks": rows.remarks,
        }

    def last_records(
        self,
        count: int = 10,
        last: str = "7d",
        model: str | None = None,
        operation: str | None = None,
        user: str | None = None,
        environment: str | None = None,
    ) -> dict[str, Any]:
        """The newest recorded AI calls, newest first: time, model, operation, user, tokens, cost, duration, result.

        count: 1 to 50. last: 24h, 7d, 2w, today or month.
        """
        _check_count("count", count, MAX_RECORDS)
        filters = self._filters(last, None, model=model, operation=operation, user=user, environment=environment)
        frame = usage_totals.last_records(self._reader, filters, count=count)
        names = [name for name in frame.columns if name != "is_span"]
        records = [{name: _json_value(value) for name, value in row.items()} for row in frame[names].to_dict("records")]
        return {"data": records}

    def anomalies(self, timezone: str | None = None) -> dict[str, Any]:
        """What is far above the usual value of this weekday up to this time of day: cost, tokens or failed calls.

        At most one anomaly, the largest; null if today is usual, or without enough calls in the four weeks before.
        """
        anomaly = find_anomaly(self._reader, self._filters("today", timezone), datetime.now(UTC))
        return {"anomaly": None if anomaly is None else {**asdict(anomaly), "times_the_usual": round(anomaly.ratio, 2)}}

    def connections(self) -> dict[str, Any]:
        """The connections of the PostgreSQL server: slots, states, who has most, and sessions that block others.

        Queries have `?` instead of their values.
        """
        sessions = list_sessions(self._reader)
        slots, blocking = read_slots(self._reader, sessions), blocking_pids(sessions)
        shown = [session for session in sessions if session.pid in blocking or session.blocked_by]
        return {
            "used": slots.used,
            "free": slots.free,
            "reserved": slots.reserved,
            "max": slots.max,
            "sees_all_sessions": slots.sees_all,
            "by_state": {state: number for state, number in by_state(sessions).items() if number},
            "by_application": [
                asdict(holder)
                for holder in holders(sessions, lambda session: session.application_name)[:_MAX_CONNECTIONS]
            ],
            "blocking_or_waiting": [
                {
                    "pid": session.pid,
                    "application": session.application_name,
                    "state": session.state,
                    "transaction_s": session.transaction_s,
                    "waits_for": session.waits_for,
                    "blocked_by": list(session.blocked_by),
                    "query": _shorten(session.query),
                }
                for session in shown[:_MAX_CONNECTIONS]
            ],
        }

    def doctor(self) -> dict[str, Any]:
        """Whether recording works on this machine and with this database; the likeliest cause and its remedy first."""
        database = self._reader.database
        report = build_report(url=database.url if database.embedded else None).as_dict(users=False)
        connection = report["database"]
        names = ("healthy", "connectionStatus", "serverVersion", "tableExists", "insertAllowed")
        return {
            "healthy": report["healthy"],
            "platform": report["runtime"].get("platform"),
            "environment": report["runtime"].get("environment"),
            "database": {name: connection.get(name) for name in names},
            "recommendations": [
                {name: entry[name] for name in ("severity", "cause", "evidence", "remedy")}
                for entry in report["recommendations"]
            ],
        }

    def _filters(self, last: str, timezone: str | None, **columns: Any) -> Filters:
        zone = check_time_zone(timezone or self._reader.database.settings.timezone or "UTC")
        start, end = last_range(last, zone, datetime.now(UTC))
        return Filters(start=start, end=end, timezone=zone, include_samples=False, **columns)


TOOLS = ("usage", "last_records", "anomalies", "connections", "doctor")


def _check_count(name: str, count: int, limit: int) -> None:
    if not 1 <= count <= limit:
        raise SettingError(f"{name} is {count}; use 1 to {limit}.")


def _json_value(value: Any) -> Any:
    """A value of a row as a JSON value; a text is at most 300 characters long."""
    if value is None or value != value:  # NaN
        return None
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, timedelta | Decimal):
        return str(value)
    if isinstance(value, bool | int | float):
        return value
    return _shorten(redact(str(value)))


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_TEXT_LENGTH else f"{text[: _MAX_TEXT_LENGTH - 1]}…"
