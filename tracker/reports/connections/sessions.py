"""The sessions of the server from pg_stat_activity, its connection limits, and how to end a session."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from tracker.database.schema import quote
from tracker.platforms import application_name
from tracker.reports.connections.sql_literals import mask_literals
from tracker.reports.engine.reader import Reader

STATES = (
    "active",
    "idle",
    "idle in transaction",
    "idle in transaction (aborted)",
    "fastpath function call",
    "disabled",
)
Ending = Literal["allowed", "own", "superuser", "right_missing"]
_RECORDER = "token-tracker"
DASHBOARD = "token-tracker dashboard"


@dataclass(frozen=True, slots=True)
class Session:
    """A row of pg_stat_activity. A time is None if there is none or the current role can't see it.

    `query` has masked values; `raw_query` has them, and may contain keys and personal data.
    """

    pid: int
    application_name: str
    user_name: str
    database_name: str
    state: str
    backend_start: datetime | None
    state_s: float | None
    transaction_s: float | None
    waits_for: str
    blocked_by: tuple[int, ...]
    query: str
    is_own_backend: bool
    is_superuser: bool
    may_signal: bool
    is_own: bool = False
    """Whether the session belongs to a dashboard, or has the name of this dashboard's Tracker for test records."""
    raw_query: str = field(default="", repr=False)

    @property
    def ending(self) -> Ending:
        """Whether the session can be terminated by this role, or why not."""
        if self.is_own_backend or self.is_own:
            return "own"
        if self.is_superuser:
            return "superuser"
        return "allowed" if self.may_signal else "right_missing"

    @property
    def idle_in_transaction(self) -> bool:
        return self.state.startswith("idle in transaction")


@dataclass(frozen=True, slots=True)
class Slots:
    """The connection slots of the server, and the limits of the current role. `used` includes this connection."""

    used: int
    reserved: int
    max: int
    role_limit: int | None
    database_limit: int | None
    database_name: str
    role_name: str
    sees_all: bool

    @property
    def free(self) -> int:
        """The number of connections that a role without special rights can still open."""
        return max(0, self.max - self.reserved - self.used)

    @property
    def used_share(self) -> float:
        """The used share of the slots that roles without special rights can use, 0 to 1."""
        return min(1.0, self.used / max(1, self.max - self.reserved))

    @property
    def grant(self) -> str | None:
        """The statement that lets the current role see all sessions; None if it does."""
        return None if self.sees_all else f"GRANT pg_read_all_stats TO {quote(self.role_name)};"

    @property
    def signal_grant(self) -> str:
        """The statement that lets the current role end the sessions of other roles."""
        return f"GRANT pg_signal_backend TO {quote(self.role_name)};"


@dataclass(frozen=True, slots=True)
class Holder:
    """The connections of an application, a user or a database."""

    name: str
    connections: int
    idle: int
    longest_idle_s: float | None


@dataclass(frozen=True, slots=True)
class Deployment:
    """The parts of a Tracker's application_name."""

    role: str
    platform: str
    environment: str
    deployment: str


def list_sessions(reader: Reader) -> tuple[Session, ...]:
    """All client sessions of the server in the order of `order_sessions`. Raises `DatabaseError`."""
    own_name = application_name(reader.database.settings.runtime)
    return order_sessions(_session(row, own_name) for row in reader.rows("sessions"))


def _session(row: Mapping[str, Any], own_name: str) -> Session:
    name, query = row["application_name"], row["query"] or ""
    derived = {
        "blocked_by": tuple(row["blocked_by"]),
        "query": mask_literals(query),
        "raw_query": query,
        "is_own": name == own_name or name.startswith(DASHBOARD),
    }
    return Session(**{**row, **derived})


def read_slots(reader: Reader, sessions: Sequence[Session]) -> Slots:
    """The slots and limits; `sessions` are those of `list_sessions`."""
    row = reader.rows("slots")[0]
    return Slots(
        used=len(sessions),
        reserved=row["reserved_connections"],
        max=row["max_connections"],
        role_limit=row["role_limit"],
        database_limit=row["database_limit"],
        database_name=row["database_name"],
        role_name=row["role_name"],
        sees_all=row["sees_all"],
    )


def by_state(sessions: Iterable[Session]) -> dict[str, int]:
    """The number of sessions in each state of PostgreSQL, and of those whose state is hidden from the current role."""
    counted = Counter(session.state for session in sessions)
    return {state: counted.get(state, 0) for state in (*STATES, "hidden")}


def holders(sessions: Iterable[Session], name: Callable[[Session], str]) -> list[Holder]:
    """The sessions grouped by the result of `name`, largest group first."""
    groups: dict[str, list[Session]] = {}
    for session in sessions:
        groups.setdefault(name(session), []).append(session)
    grouped = [_holder(key, group) for key, group in groups.items()]
    return sorted(grouped, key=lambda holder: (-holder.connections, holder.name))


def _holder(name: str, group: Sequence[Session]) -> Holder:
    idle = [session for session in group if session.state == "idle"]
    ages = [session.state_s for session in idle if session.state_s is not None]
    return Holder(name, len(group), len(idle), max(ages, default=None))


def deployment(name: str) -> Deployment | None:
    """The deployment of a Tracker's application_name; None for other applications.

    >>> deployment("token-tracker/vercel/production/a1b2c3d").deployment
    'a1b2c3d'
    """
    role, *parts = name.split("/", 3)
    if role not in {_RECORDER, DASHBOARD} or len(parts) < 2:
        return None
    return Deployment(role, parts[0], parts[1], parts[2] if len(parts) > 2 else "")


def order_sessions(sessions: Iterable[Session]) -> tuple[Session, ...]:
    """Blocking sessions first, then waiting ones, then the others; those of dashboards last.

    Within a group they are ordered by start time, so that a row keeps its position while sessions open and close.
    """
    sessions = tuple(sessions)
    blocking = blocking_pids(sessions)

    def group(session: Session) -> int:
        if session.pid in blocking:
            return 0
        if session.blocked_by:
            return 1
        return 3 if session.ending == "own" else 2

    return tuple(sorted(sessions, key=lambda session: (group(session), str(session.backend_start), session.pid)))


def blocking_pids(sessions: Iterable[Session]) -> dict[int, list[int]]:
    """The processes that block others and are not blocked, each with the processes that wait for it.

    A session that waits for a blocked session waits for that session's blockers. In a deadlock, which has no such
    process, each member counts. A pid of 0 is a prepared transaction.
    """
    blockers = {session.pid: session.blocked_by for session in sessions if session.blocked_by}
    waiting: defaultdict[int, list[int]] = defaultdict(list)
    for pid in blockers:
        for root in _roots(pid, blockers) or set(blockers[pid]):
            waiting[root].append(pid)
    return dict(waiting)


def _roots(pid: int, blockers: Mapping[int, Sequence[int]]) -> set[int]:
    """The processes at the end of a session's chains of blockers."""
    visited: set[int] = set()
    pending, roots = list(blockers[pid]), set()
    while pending:
        blocker = pending.pop()
        if blocker not in blockers:
            roots.add(blocker)
        elif blocker not in visited:
            visited.add(blocker)
            pending += blockers[blocker]
    return roots


def end_session(reader: Reader, session: Session, *, terminate: bool) -> bool:
    """Cancel the query of a session, or terminate the session; False if it has ended or is excluded.

    Raises `DatabaseError`.
    """
    parameters = {
        "pid": session.pid,
        "backend_start": session.backend_start,
        "terminate": terminate,
        "own_name": application_name(reader.database.settings.runtime),
    }
    return any(row["done"] for row in reader.rows("signal_session", parameters))
