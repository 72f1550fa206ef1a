"""Recommendations about connections as codes and numbers; the page creates their text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tracker.database.url import DatabaseUrl
from tracker.platforms import SERVERLESS
from tracker.reports.connections.sessions import Ending, Session, Slots, blocking_pids, deployment

CROWDED = 0.8
"""The share of used slots from which on monitoring tools warn."""
IDLE_IN_TRANSACTION_S = 60.0
"""An open transaction that is idle for longer blocks others without need."""
LONG_TRANSACTION_S = 300.0
_MAX_BLOCKERS = 3
HOARDING_SESSIONS = 5
HOARDING_IDLE_S = 30.0
# Supabase's documentation: the pooler pools sessions at port 5432 and transactions at port 6543.
_SESSION_POOLER = ".pooler.supabase.com"

Kind = Literal[
    "crowded_idle",
    "crowded_busy",
    "idle_in_transaction",
    "blocked",
    "long_transaction",
    "hoarding",
    "too_many_instances",
    "session_pooler",
]


@dataclass(frozen=True, slots=True)
class Advice:
    """One recommendation. `number`, `of`, `seconds` and `who` (a name from the database) are parameters of its text.

    `ending` is how the transaction that causes the problem can be ended.
    """

    kind: Kind
    number: int = 0
    of: int = 0
    seconds: float = 0.0
    who: str = ""
    ending: Ending | Literal["prepared", "not_a_client"] | None = None


@dataclass(frozen=True, slots=True)
class Instances:
    """The number of processes of a deployment that recorded recently, and the pool size of each."""

    name: str
    instances: int
    pool_size: int


def advise(
    sessions: Sequence[Session], slots: Slots, instances: Sequence[Instances], url: DatabaseUrl
) -> tuple[Advice, ...]:
    """All recommendations, the most urgent first."""
    return (
        *_crowded(sessions, slots),
        *_blockers(sessions),
        *_transactions(sessions),
        *_hoarding(sessions),
        *_growth(slots, instances),
        *_session_pooler(sessions, url),
    )


def _crowded(sessions: Sequence[Session], slots: Slots) -> Iterator[Advice]:
    if slots.used_share >= CROWDED:
        idle = sum(session.state == "idle" for session in sessions)
        kind: Kind = "crowded_idle" if idle > slots.used / 2 else "crowded_busy"
        yield Advice(kind, slots.used, slots.max - slots.reserved)


def _blockers(sessions: Sequence[Session]) -> Iterator[Advice]:
    """One recommendation for each process at the root of the waiting sessions, those with the most waiters first."""
    by_pid = {session.pid: session for session in sessions}
    counted = sorted(blocking_pids(sessions).items(), key=lambda item: (-len(item[1]), item[0]))
    for pid, waiting_pids in counted[:_MAX_BLOCKERS]:
        blocker, waiting = by_pid.get(pid), len(waiting_pids)
        longest_s = max(by_pid[waiting_pid].state_s or 0.0 for waiting_pid in waiting_pids)
        if blocker is not None:
            yield Advice("blocked", waiting, seconds=longest_s, who=_who(blocker), ending=blocker.ending)
        else:
            ending: Literal["prepared", "not_a_client"] = "not_a_client" if pid else "prepared"
            yield Advice("blocked", waiting, seconds=longest_s, who=f"pid {pid}", ending=ending)


def _transactions(sessions: Sequence[Session]) -> Iterator[Advice]:
    idle = [
        session
        for session in sessions
        if session.idle_in_transaction and (session.state_s or 0) >= IDLE_IN_TRANSACTION_S
    ]
    if idle:
        oldest = max(idle, key=lambda session: session.state_s or 0.0)
        seconds = oldest.state_s or 0.0
        yield Advice("idle_in_transaction", len(idle), seconds=seconds, who=_who(oldest), ending=oldest.ending)
    long = [
        session
        for session in sessions
        if session.state == "active" and (session.transaction_s or 0) >= LONG_TRANSACTION_S
    ]
    if long:
        oldest = max(long, key=lambda session: session.transaction_s or 0.0)
        seconds = oldest.transaction_s or 0.0
        yield Advice("long_transaction", len(long), seconds=seconds, who=_who(oldest), ending=oldest.ending)


def _who(session: Session) -> str:
    return f"{session.application_name} (pid {session.pid})"


def _hoarding(sessions: Sequence[Session]) -> Iterator[Advice]:
    """A serverless instance is suspended after its response, so it can't close its idle connections."""
    groups: dict[str, list[Session]] = {}
    for session in sessions:
        recorder = deployment(session.application_name)
        if (
            recorder
            and recorder.platform in SERVERLESS
            and session.state == "idle"
            and (session.state_s or 0) >= HOARDING_IDLE_S
        ):
            groups.setdefault(session.application_name, []).append(session)
    for name, group in sorted(groups.items(), key=lambda pair: -len(pair[1])):
        if len(group) >= HOARDING_SESSIONS:
            yield Advice("hoarding", len(group), seconds=max(s.state_s or 0.0 for s in group), who=name)


def _growth(slots: Slots, instances: Sequence[Instances]) -> Iterator[Advice]:
    limit = slots.max - slots.reserved
    for group in instances:
        connections = group.instances * group.pool_size
        if connections > limit:
            yield Advice("too_many_instances", group.instances, connections, limit, group.name)


def _session_pooler(sessions: Sequence[Session], url: DatabaseUrl) -> Iterator[Advice]:
    recorders = [deployment(session.application_name) for session in sessions]
    serverless = any(recorder and recorder.platform in SERVERLESS for recorder in recorders)
    if url.host.endswith(_SESSION_POOLER) and str(url.port) == "5432" and serverless:
        yield Advice("session_pooler")
