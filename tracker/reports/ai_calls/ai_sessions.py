"""AI sessions: the calls of an application that have the same `session_id`, such as a conversation or an agent's run.

They have nothing to do with the sessions of PostgreSQL. Sessions are in no rollup: the list reads the rows of the
range, or of its newest part if it has more calls than can be read in a few seconds; the result states its start. The
calls of one session have an index, `token_usage_session_idx`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from tracker.errors import SettingError
from tracker.messages import Message
from tracker.reports.ai_calls.call_log import Position, Row
from tracker.reports.engine.query_rollups import query_rollups_by_segment
from tracker.reports.engine.reader import Reader
from tracker.reports.filters import Filters
from tracker.reports.time_buckets import bucket_segments
from tracker.rollups.range_plan import EPOCH, Segment

SORTS = ("cost_usd", "total_tokens", "calls", "duration_s", "last_at")
"""What the list can be sorted by, the largest or the latest first."""
PAGE_SESSIONS = 50
PAGE_CALLS = 100
MAX_USERS = 20
MAX_SCAN_CALLS = 2_000_000
"""The newest calls of a range that are read: 2 to 4 seconds on two cores."""


@dataclass(frozen=True, slots=True)
class AiSession:
    """The calls of a session in the range. `cost_usd` is the sum of the priced calls (None: there are none).

    `has_several_users`: `user_id` is one of them. `began_earlier`: the session has calls before the range (None:
    unknown, because the table has no index of sessions).
    """

    session_id: str
    calls: int
    failed_calls: int
    total_tokens: int
    cost_usd: Decimal | None
    cost_local: Decimal | None
    """The same sum in the currency of the filters."""
    unpriced_calls: int
    first_at: datetime
    last_at: datetime
    user_id: str | None
    has_several_users: bool
    began_earlier: bool | None

    @property
    def duration_s(self) -> float:
        """From the end of the first call to the end of the last one."""
        return (self.last_at - self.first_at).total_seconds()


@dataclass(frozen=True, slots=True)
class SessionPosition:
    """The key of a session in the list. A page continues with the sessions after it."""

    value: Decimal
    session_id: str


@dataclass(frozen=True, slots=True)
class SessionPage:
    """Sessions of the list; `position` is where it continues, None at the end.

    `start` is the start of the calls that were read, later than that of the range if `is_cut`.
    """

    sessions: list[AiSession]
    position: SessionPosition | None
    all_sessions: int
    calls_without_session: int
    start: datetime
    is_cut: bool


@dataclass(frozen=True, slots=True)
class SessionTotals:
    """The totals of one session in the range. `users` are those with the most calls: user and calls."""

    calls: int
    failed_calls: int
    total_tokens: int
    cost_usd: Decimal | None
    cost_local: Decimal | None
    unpriced_calls: int
    first_at: datetime
    last_at: datetime
    all_users: int
    users: list[tuple[str | None, int]]


@dataclass(frozen=True, slots=True)
class CallsOutside:
    """The calls of a session outside the range, whatever the filters. `first_at` and `last_at` are theirs."""

    calls_before: int = 0
    calls_after: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SessionCalls:
    """Calls of a session in order, each with its `number` and running sums from the start of the range."""

    rows: list[Row] = field(default_factory=list)

    @property
    def first(self) -> Position | None:
        return _position(self.rows[0]) if self.rows else None

    @property
    def last(self) -> Position | None:
        return _position(self.rows[-1]) if self.rows else None


def list_sessions(
    reader: Reader,
    filters: Filters,
    sort: str = SORTS[0],
    after: SessionPosition | None = None,
    *,
    count: int = PAGE_SESSIONS,
) -> SessionPage:
    """The next `count` sessions after a position, the largest first. Raises `DatabaseError`, `SettingError`."""
    if sort not in SORTS:
        raise SettingError(Message("reports.session_sort_unknown", sort=repr(sort[:60]), sorts=", ".join(SORTS)))
    readable = readable_part(reader, filters)
    position = {"after_value": after.value if after else None, "after_session": after.session_id if after else None}
    parameters = {**readable.parameters(), **position, "sort": sort, "count": count + 1}
    result = reader.rows("ai_sessions", parameters)
    rows = [row for row in result if row["session_id"] is not None]
    listed = rows[:count]
    earlier = _began_earlier(reader, readable, [row["session_id"] for row in listed])
    return SessionPage(
        sessions=[_session(row, None if earlier is None else row["session_id"] in earlier) for row in listed],
        position=SessionPosition(listed[-1]["sort_value"], listed[-1]["session_id"]) if len(rows) > count else None,
        all_sessions=result[0]["all_sessions"],
        calls_without_session=result[0]["calls_without_session"],
        start=readable.start,
        is_cut=readable.start != filters.start,
    )


def _session(row: Row, began_earlier: bool | None) -> AiSession:
    values = {name: row[name] for name in AiSession.__dataclass_fields__ if name != "began_earlier"}
    return AiSession(**values, began_earlier=began_earlier)


def session_totals(reader: Reader, filters: Filters, session_id: str) -> SessionTotals | None:
    """The totals and the users of a session in the range; None if it has no calls there."""
    parameters = {**filters.parameters(), "session": session_id, "count": MAX_USERS}
    rows = reader.rows("ai_session_users", parameters)
    if not rows:
        return None
    names = ("calls", "failed_calls", "total_tokens", "cost_usd", "cost_local", "unpriced_calls", "first_at", "last_at")
    return SessionTotals(
        **{name: rows[0][name] for name in names},
        all_users=rows[0]["users"],
        users=[(row["user_id"], row["user_calls"]) for row in rows],
    )


def session_calls(
    reader: Reader,
    filters: Filters,
    session_id: str,
    *,
    after: Position | None = None,
    before: Position | None = None,
    from_end: bool = False,
    count: int = PAGE_CALLS,
) -> SessionCalls:
    """The first `count` calls of a session after a position, or the last ones (`from_end`, or before a position).

    Calls with equal times are ordered by their id. The running sums are those of the whole range.
    """
    parameters = {
        **filters.parameters(),
        "session": session_id,
        "after": after.created_at if after else None,
        "after_id": after.id if after else None,
        "before": before.created_at if before else None,
        "before_id": before.id if before else None,
        "from_end": from_end or before is not None,
        "count": count,
    }
    return SessionCalls(reader.rows("ai_session_calls", parameters))


def calls_outside(reader: Reader, filters: Filters, session_id: str) -> CallsOutside | None:
    """The calls of a session before and after the range, whatever the filters; None without the index of sessions."""
    if not reader.table().session_index:
        return None
    rows = reader.rows("ai_sessions_outside", {**filters.parameters(), "sessions": [session_id]})
    return (
        CallsOutside(**{name: rows[0][name] for name in CallsOutside.__dataclass_fields__}) if rows else CallsOutside()
    )


def readable_part(reader: Reader, filters: Filters) -> Filters:
    """The filters with a start from which at most `MAX_SCAN_CALLS` calls are read: that of the range or a later one.

    The rollups count the calls by time bucket, so this takes milliseconds. All calls of the range are read, whatever
    the filters; only those of one user have an index.
    """
    part = Filters(
        start=filters.start,
        end=filters.end,
        timezone=filters.timezone,
        user=filters.user,
        include_tests=filters.include_tests,
    )
    while True:
        starts, calls = _calls_by_segment(reader, part)
        position, total = len(calls), 0
        while position and total + calls[position - 1] <= MAX_SCAN_CALLS:
            position -= 1
            total += calls[position]
        if position == 0:
            return replace(filters, start=part.start)
        if position < len(calls):
            return replace(filters, start=starts[position])
        if part.bucket == "minute" or starts[-1] <= part.start:
            return replace(filters, start=starts[-1])  # the newest bucket alone has more calls
        part = replace(part, start=starts[-1])  # smaller buckets


def _calls_by_segment(reader: Reader, filters: Filters) -> tuple[list[datetime], list[int]]:
    """The start of each time bucket and the number of its calls, in order of time."""
    segments = [
        Segment(segment.start_us, segment.until_us, number) for number, segment in enumerate(bucket_segments(filters))
    ]
    frame = query_rollups_by_segment(reader, "usage", filters, segments)
    calls = dict(zip(frame["step"], frame["calls"], strict=True))
    starts = [EPOCH + timedelta(microseconds=segment.start_us) for segment in segments]
    return starts, [int(calls.get(number, 0)) for number in range(len(segments))]


def _began_earlier(reader: Reader, filters: Filters, sessions: list[str]) -> set[str] | None:
    """The sessions with calls before the range; None without the index, which this question needs."""
    if not reader.table().session_index:
        return None
    rows = reader.rows("ai_sessions_outside", {**filters.parameters(), "sessions": sessions})
    return {row["session_id"] for row in rows if row["calls_before"]}


def _position(row: Row) -> Position:
    return Position(row["created_at"], row["id"])
