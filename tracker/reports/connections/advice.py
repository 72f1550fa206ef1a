"""What to do about the connections: each finding with its numbers; a page says it in the reader's words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tracker.database.url import DatabaseUrl
from tracker.platforms import SERVERLESS
from tracker.reports.connections.sessions import Session, Slots, deployment

CROWDED = 0.8
"""The share of the slots that monitoring tools warn at."""
FORGOTTEN_S = 60.0
"""An open transaction that does nothing for so long holds its locks for nobody."""
LONG_S = 300.0
HOARD = 5
HOARD_S = 30.0
# From their pages on connection strings: Supabase's pooler pools sessions at 5432 and transactions at 6543.
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
    """One finding. `number`, `of` and `seconds` are what its sentence needs; `who` is a name out of the database."""

    kind: Kind
    number: int = 0
    of: int = 0
    seconds: float = 0.0
    who: str = ""


@dataclass(frozen=True, slots=True)
class Instances:
    """How many processes of a deployment recorded lately, and how many connections each may hold."""

    name: str
    instances: int
    pool_size: int


def advise(
    held: Sequence[Session], slots: Slots, instances: Sequence[Instances], url: DatabaseUrl
) -> tuple[Advice, ...]:
    """Everything that is wrong, the most pressing first; nothing when all is well."""
    return (
        *_crowded(held, slots),
        *_transactions(held),
        *_hoarding(held),
        *_growth(slots, instances),
        *_port(held, url),
    )


def _crowded(held: Sequence[Session], slots: Slots) -> Iterator[Advice]:
    if slots.used_share >= CROWDED:
        idle = sum(session.state == "idle" for session in held)
        kind: Kind = "crowded_idle" if idle > slots.used / 2 else "crowded_busy"
        yield Advice(kind, slots.used, slots.max - slots.reserved)


def _transactions(held: Sequence[Session]) -> Iterator[Advice]:
    waiting = [session for session in held if session.blocked_by]
    if waiting:
        blockers = sorted({pid for session in waiting for pid in session.blocked_by})
        longest = max(session.state_s or 0.0 for session in waiting)
        yield Advice("blocked", len(waiting), len(blockers), longest, ", ".join(map(str, blockers[:5])))
    idle = [session for session in held if session.idle_in_transaction and (session.state_s or 0) >= FORGOTTEN_S]
    if idle:
        oldest = max(idle, key=lambda session: session.state_s or 0.0)
        yield Advice("idle_in_transaction", len(idle), seconds=oldest.state_s or 0.0, who=_who(oldest))
    long = [session for session in held if session.state == "active" and (session.transaction_s or 0) >= LONG_S]
    if long:
        oldest = max(long, key=lambda session: session.transaction_s or 0.0)
        yield Advice("long_transaction", len(long), seconds=oldest.transaction_s or 0.0, who=_who(oldest))


def _who(session: Session) -> str:
    return f"{session.application_name} (pid {session.pid})"


def _hoarding(held: Sequence[Session]) -> Iterator[Advice]:
    """A serverless instance is frozen after its response: nothing in it can close its idle sockets then."""
    groups: dict[str, list[Session]] = {}
    for session in held:
        place = deployment(session.application_name)
        if place and place.platform in SERVERLESS and session.state == "idle" and (session.state_s or 0) >= HOARD_S:
            groups.setdefault(session.application_name, []).append(session)
    for name, group in sorted(groups.items(), key=lambda pair: -len(pair[1])):
        if len(group) >= HOARD:
            yield Advice("hoarding", len(group), seconds=max(s.state_s or 0.0 for s in group), who=name)


def _growth(slots: Slots, instances: Sequence[Instances]) -> Iterator[Advice]:
    limit = slots.max - slots.reserved
    for found in instances:
        if found.instances * found.pool_size > limit:
            yield Advice("too_many_instances", found.instances, found.instances * found.pool_size, limit, found.name)


def _port(held: Sequence[Session], url: DatabaseUrl) -> Iterator[Advice]:
    places = [deployment(session.application_name) for session in held]
    serverless = any(place and place.platform in SERVERLESS for place in places)
    if url.host.endswith(_SESSION_POOLER) and str(url.port) == "5432" and serverless:
        yield Advice("session_pooler")
