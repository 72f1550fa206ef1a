"""The sessions of the server from pg_stat_activity, its connection limits, and how to end a session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tracker.database.schema import quote
from tracker.platforms import application_name
from tracker.reports.engine.reader import Reader

STATES = (
    "active",
    "idle",
    "idle in transaction",
    "idle in transaction (aborted)",
    "fastpath function call",
    "disabled",
)
_RECORDER = "token-tracker"
DASHBOARD = "token-tracker dashboard"


@dataclass(frozen=True, slots=True)
class Session:
    """A row of pg_stat_activity. A time is None if there is none or the current role can't see it."""

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
    """All client sessions of the server. Raises `DatabaseError`."""
    return tuple(
        Session(**{**row, "blocked_by": tuple(row["blocked_by"]), "query": row["query"] or ""})
        for row in reader.rows("sessions")
    )


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


def is_own(reader: Reader, session: Session) -> bool:
    """Whether the session belongs to this dashboard or to its Tracker for test records."""
    own = application_name(reader.database.settings.runtime)
    return session.is_own_backend or session.application_name == own or session.application_name.startswith(DASHBOARD)


def may_end(reader: Reader, session: Session) -> bool:
    """Whether the current role can cancel or terminate the session. Own and superuser sessions are excluded."""
    return session.may_signal and not session.is_superuser and not is_own(reader, session)


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
