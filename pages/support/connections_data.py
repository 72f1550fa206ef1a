"""The Connections page's frames: made once a sample, for all readers."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pandas as pd

from tracker.reports.connections.sampler import ConnectionSample
from tracker.reports.connections.sessions import Holder, Session, deployment, holders

_POINTS = 120


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the page draws of a sample."""

    applications: pd.DataFrame
    users: pd.DataFrame
    sessions: tuple[Session, ...]
    session_frame: pd.DataFrame
    history: pd.DataFrame


_lock = threading.Lock()
_last: tuple[int, int, Prepared] | None = None


def prepare(sample: ConnectionSample) -> Prepared:
    """The frames of a sample; readers of the same one share them."""
    global _last
    with _lock:
        if _last is None or (_last[0], _last[1]) != (id(sample.slots), sample.number):
            _last = id(sample.slots), sample.number, _prepare(sample)
        return _last[2]


def _prepare(sample: ConnectionSample) -> Prepared:
    # In the order in which they came: a row stays where it is while others come and go.
    ordered = tuple(sorted(sample.sessions, key=lambda session: (str(session.backend_start), session.pid)))
    return Prepared(
        applications=_holders(holders(sample.sessions, lambda session: session.application_name)),
        users=_holders(holders(sample.sessions, lambda session: f"{session.user_name} · {session.database_name}")),
        sessions=ordered,
        session_frame=_sessions(ordered),
        history=_history(sample),
    )


def _holders(found: list[Holder]) -> pd.DataFrame:
    places = [deployment(holder.name) for holder in found]
    return pd.DataFrame(
        {
            "name": [holder.name for holder in found],
            "deployment": [
                " ".join(part for part in (place.platform, place.environment, place.deployment) if part)
                if place
                else None
                for place in places
            ],
            "connections": [holder.connections for holder in found],
            "idle": [holder.idle for holder in found],
            "longest_idle_s": [holder.longest_idle_s for holder in found],
        }
    )


def _sessions(ordered: tuple[Session, ...]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "pid": [session.pid for session in ordered],
            "who": [session.application_name for session in ordered],
            "user": [f"{session.user_name} · {session.database_name}" for session in ordered],
            "state": [session.state for session in ordered],
            "state_s": [session.state_s for session in ordered],
            "transaction_s": [session.transaction_s for session in ordered],
            "waits_for": [session.waits_for for session in ordered],
            "blocked_by": [", ".join(map(str, session.blocked_by)) for session in ordered],
            "query": [" ".join(session.query.split()) for session in ordered],
        }
    )


def _history(sample: ConnectionSample) -> pd.DataFrame:
    step = max(1, -(-len(sample.points) // _POINTS))
    chosen = sample.points[::-1][::step][::-1]
    states = [state for state in sample.points[-1].states if any(point.states[state] for point in chosen)]
    return pd.DataFrame(
        [(point.at_s, state, point.states[state]) for point in chosen for state in states],
        columns=["at_s", "state", "connections"],
    )
