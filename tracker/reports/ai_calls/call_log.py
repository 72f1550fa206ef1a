"""The request log: the calls that match a search, newest first, in pages by key."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tracker.errors import SettingError
from tracker.messages import Message
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters
from tracker.usage import replace_unstorable

PAGE_ROWS = 50
TIME_LIMIT_S = 4.0
EXPORT_BATCH_ROWS = 5_000
_FIRST_SCAN_ROWS, _MAX_SCAN_ROWS = 5_000, 80_000
_SLOW_SCAN_S = 0.4
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CallSearch:
    """What a call of the log must match besides the filters; None: no condition.

    `text` occurs in the operation, the user, or the session, in any case. `failed`: the result of the call. A call
    without a duration or a price matches no minimum. Each row has the texts of the properties `shown_keys`.
    """

    text: str | None = None
    failed: bool | None = None
    min_ms: float | None = None
    min_usd: float | None = None
    shown_keys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.text is not None:
            object.__setattr__(self, "text", replace_unstorable(self.text.strip()) or None)
        object.__setattr__(self, "shown_keys", tuple(replace_unstorable(key) for key in self.shown_keys or ()))
        for name in ("min_ms", "min_usd"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise SettingError(Message("reports.minimum_invalid", value=value))

    def parameters(self) -> dict[str, object]:
        conditions = {"text": self.text, "failed": self.failed, "min_ms": self.min_ms, "min_usd": self.min_usd}
        return {**conditions, "shown_keys": list(self.shown_keys) or None}


@dataclass(frozen=True, slots=True)
class Position:
    """The key of a call. A page continues with the calls before it, whatever is inserted meanwhile."""

    created_at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class CallPage:
    """Matching calls, newest first; `position` is where the search continues, None at the end of the range."""

    rows: list[Row] = field(default_factory=list)
    position: Position | None = None
    stopped_by_time_limit: bool = False


def search_calls(
    reader: Reader,
    filters: Filters,
    search: CallSearch,
    after: Position | None = None,
    *,
    count: int = PAGE_ROWS,
    time_limit_s: float = TIME_LIMIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> CallPage:
    """The next `count` matching calls after a position, or fewer if the time limit ends the search.

    Raises `DatabaseError`. Each statement reads a limited number of rows, so that a rare text needs no long statement.
    """
    rows: list[Row] = []
    started, scan_rows, position = clock(), _FIRST_SCAN_ROWS, after
    while True:
        scan_started = clock()
        page = scan_calls(reader, filters, search, position, count=count - len(rows), scan_rows=scan_rows)
        rows += page.rows
        position = page.position
        if position is None or len(rows) >= count:
            return CallPage(rows, position)
        if clock() - started >= time_limit_s:
            return CallPage(rows, position, stopped_by_time_limit=True)
        if clock() - scan_started < _SLOW_SCAN_S:
            scan_rows = min(2 * scan_rows, _MAX_SCAN_ROWS)


def scan_calls(
    reader: Reader, filters: Filters, search: CallSearch, after: Position | None, *, count: int, scan_rows: int
) -> CallPage:
    """At most `count` matching calls among the next `scan_rows` calls after a position, in one statement."""
    parameters = {
        **filters.parameters(),
        **search.parameters(),
        # Bounds the index scan, which starts at the end of the range.
        "end": min(filters.end, after.created_at + timedelta(microseconds=1)) if after else filters.end,
        "before": after.created_at if after else None,
        "before_id": after.id if after else None,
        "count": count,
        "scan_rows": scan_rows,
    }
    result = reader.rows("call_log", parameters)
    if not result:
        return CallPage()
    *rows, end = result
    scanned = end["scanned"]
    rows = [_without_scan_columns(row) for row in rows]
    if len(rows) == count:
        return CallPage(rows, _position(rows[-1]))
    return CallPage(rows, _position(end) if scanned == scan_rows else None)


def _position(row: Mapping[str, Any]) -> Position:
    return Position(row["created_at"], row["id"])


def _without_scan_columns(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in {"is_end", "scanned"}}


def search_from_json(content: Mapping[str, Any]) -> tuple[Filters, CallSearch]:
    """The filters and the search of `search_as_json`. Raises `SettingError` for other content."""
    try:
        filters = dict(content["filters"])
        filters["start"], filters["end"] = (datetime.fromisoformat(filters[name]) for name in ("start", "end"))
        return Filters(**filters), CallSearch(**content["search"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SettingError(Message("reports.export_invalid")) from error


def search_as_json(filters: Filters, search: CallSearch, *, with_bom: bool = False) -> dict[str, object]:
    """The filters and the search as JSON values, for a signed link; `with_bom` is for Excel."""
    # An export has the costs in US dollars, as the table has.
    values = {**asdict(filters), "start": filters.start.isoformat(), "end": filters.end.isoformat()}
    del values["rates"]
    return {"filters": values, "search": search.parameters(), **({"bom": True} if with_bom else {})}
