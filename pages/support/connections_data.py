"""The data frames of the Connections page, computed once per sample for all users."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from tracker.reports.connections.sample_history import HISTORY_S, sample_points
from tracker.reports.connections.sampler import ConnectionSample, Point
from tracker.reports.connections.sessions import Holder, Session, deployment, holders

_MAX_POINTS = 120


@dataclass(frozen=True, slots=True)
class ConnectionTables:
    """The tables of a sample. `sample_data_until_s`: the time before which the history is sample data."""

    applications: pd.DataFrame
    users: pd.DataFrame
    sessions: tuple[Session, ...]
    session_frame: pd.DataFrame
    history: pd.DataFrame
    sample_data_until_s: float | None


_lock = threading.Lock()
_last: tuple[ConnectionSample, bool, ConnectionTables] | None = None


def build_tables(sample: ConnectionSample, *, with_sample_data: bool) -> ConnectionTables:
    """The tables of a sample. Users of the same sample share them.

    `with_sample_data`: sample data fills the hours before the first point of the history.
    """
    global _last
    with _lock:
        if _last is None or _last[0] is not sample or _last[1] != with_sample_data:
            _last = sample, with_sample_data, _build_tables(sample, with_sample_data)
        return _last[2]


def _build_tables(sample: ConnectionSample, with_sample_data: bool) -> ConnectionTables:
    ordered = sample.sessions
    return ConnectionTables(
        applications=_holder_frame(holders(sample.sessions, lambda session: session.application_name)),
        users=_holder_frame(holders(sample.sessions, lambda session: f"{session.user_name} · {session.database_name}")),
        sessions=ordered,
        session_frame=_session_frame(ordered),
        history=_history_frame(_with_sample_points(sample.points) if with_sample_data else _thinned(sample.points)),
        sample_data_until_s=sample.points[0].at_s if with_sample_data else None,
    )


def _holder_frame(rows: list[Holder]) -> pd.DataFrame:
    deployments = [deployment(holder.name) for holder in rows]
    return pd.DataFrame(
        {
            "name": [holder.name for holder in rows],
            "deployment": [
                " ".join(part for part in (origin.platform, origin.environment, origin.deployment) if part)
                if origin
                else None
                for origin in deployments
            ],
            "connections": [holder.connections for holder in rows],
            "idle": [holder.idle for holder in rows],
            "longest_idle_s": [holder.longest_idle_s for holder in rows],
        }
    )


def _session_frame(ordered: tuple[Session, ...]) -> pd.DataFrame:
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


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    step = max(1, -(-len(points) // _MAX_POINTS))
    return points[::-1][::step][::-1]


def _with_sample_points(points: Sequence[Point]) -> Sequence[Point]:
    samples = sample_points(points[-1].at_s - HISTORY_S, points[0].at_s)
    return (*samples, *_thinned(points))


def _history_frame(points: Sequence[Point]) -> pd.DataFrame:
    states = [state for state in points[-1].states if any(point.states[state] for point in points)]
    return pd.DataFrame(
        [(point.at_s, state, point.states[state]) for point in points for state in states],
        columns=["at_s", "state", "connections"],
    )
