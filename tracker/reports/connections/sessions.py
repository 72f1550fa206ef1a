"""Do we run out of connections, and who holds them?"""

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
_OURS = "token-tracker"
DASHBOARD = "token-tracker dashboard"


@dataclass(frozen=True, slots=True)
class Session:
    """One connection of pg_stat_activity; times are seconds, None where there is none or this role may not see it."""

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
    is_asking: bool
    is_superuser: bool
    may_signal: bool

    @property
    def idle_in_transaction(self) -> bool:
        return self.state.startswith("idle in transaction")


@dataclass(frozen=True, slots=True)
class Slots:
    """The whole instance's connections, and the nearest limit of ours. `used` includes the one that asks."""

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
        """Connections an ordinary role can still open."""
        return max(0, self.max - self.reserved - self.used)

    @property
    def used_share(self) -> float:
        """Used of what ordinary roles may use, 0 to 1."""
        return min(1.0, self.used / max(1, self.max - self.reserved))

    @property
    def grant(self) -> str | None:
        """The statement that ends a limited view; None when everything is seen."""
        return None if self.sees_all else f"GRANT pg_read_all_stats TO {quote(self.role_name)};"

    @property
    def signal_grant(self) -> str:
        """The statement that lets this role end the sessions of others."""
        return f"GRANT pg_signal_backend TO {quote(self.role_name)};"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds connections: an application, a user or a database."""

    name: str
    connections: int
    idle: int
    longest_idle_s: float | None


@dataclass(frozen=True, slots=True)
class Deployment:
    """What an application_name of a Tracker says: where it runs, and which deployment it is."""

    role: str
    platform: str
    environment: str
    deployment: str


def sessions(reader: Reader) -> tuple[Session, ...]:
    """Every connection of the server's clients. Raises `DatabaseError`."""
    found = reader.rows("sessions")
    return tuple(
        Session(**{**row, "blocked_by": tuple(row["blocked_by"]), "query": row["query"] or ""}) for row in found
    )


def slots(reader: Reader, held: Sequence[Session]) -> Slots:
    """The limits, beside what `sessions` found."""
    found = reader.rows("slots")[0]
    return Slots(
        used=len(held),
        reserved=found["reserved_connections"],
        max=found["max_connections"],
        role_limit=found["role_limit"],
        database_limit=found["database_limit"],
        database_name=found["database_name"],
        role_name=found["role_name"],
        sees_all=found["sees_all"],
    )


def by_state(held: Iterable[Session]) -> dict[str, int]:
    """How many connections are in each state that PostgreSQL knows, and how many in one that is hidden from us."""
    counted = Counter(session.state for session in held)
    return {state: counted.get(state, 0) for state in (*STATES, "hidden")}


def holders(held: Iterable[Session], name: Callable[[Session], str]) -> list[Holder]:
    """The connections by what `name` says of each, most first."""
    groups: dict[str, list[Session]] = {}
    for session in held:
        groups.setdefault(name(session), []).append(session)
    found = [_holder(key, group) for key, group in groups.items()]
    return sorted(found, key=lambda holder: (-holder.connections, holder.name))


def _holder(name: str, group: Sequence[Session]) -> Holder:
    idle = [session for session in group if session.state == "idle"]
    ages = [session.state_s for session in idle if session.state_s is not None]
    return Holder(name, len(group), len(idle), max(ages, default=None))


def deployment(name: str) -> Deployment | None:
    """Which deployment of ours an application_name belongs to; None for anybody else's.

    >>> deployment("token-tracker/vercel/production/a1b2c3d").deployment
    'a1b2c3d'
    """
    role, *parts = name.split("/", 3)
    if role not in {_OURS, DASHBOARD} or len(parts) < 2:
        return None
    return Deployment(role, parts[0], parts[1], parts[2] if len(parts) > 2 else "")


def is_own(reader: Reader, session: Session) -> bool:
    """Whether a session belongs to this dashboard, or to the Tracker that its test recordings use."""
    own = application_name(reader.database.settings.runtime)
    return session.is_asking or session.application_name == own or session.application_name.startswith(DASHBOARD)


def may_end(reader: Reader, session: Session) -> bool:
    """Whether this role may cancel or terminate a session: never our own, never a superuser's."""
    return session.may_signal and not session.is_superuser and not is_own(reader, session)


def end(reader: Reader, session: Session, *, terminate: bool) -> bool:
    """Cancel a session's statement, or terminate the session; False if it was gone or may not be ended.

    Raises `DatabaseError`.
    """
    given = {
        "pid": session.pid,
        "backend_start": session.backend_start,
        "terminate": terminate,
        "own_name": application_name(reader.database.settings.runtime),
    }
    return any(row["done"] for row in reader.rows("signal_session", given))
