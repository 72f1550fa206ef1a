"""The Connections page's figures, bars and tables."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st
from _charts import draw
from _formats import exact, seconds, share
from _recorder import recorder_pool

from tracker.reports import Reader
from tracker.reports.connections import STATES, Slots

_CROWDED = 0.8  # the share that monitoring tools warn at
_LONG_S = 30 * 60  # so long an open transaction is a forgotten one


def verdict(slots: Slots, held: pd.DataFrame) -> None:
    """What is wrong, in a sentence with a way out; or that nothing is."""
    waiting = held[held["state"].str.startswith("idle in transaction")]
    longest = float(waiting["longest_s"].max()) if len(waiting) else 0.0
    idle = int(held.loc[held["state"] == "idle", "connections"].sum())
    if slots.used_share >= _CROWDED:
        advice = (
            "Most of them are idle: use the provider's transaction pooler (port 6543 at Supabase, -pooler at Neon)"
            " or lower TRACKER_POOL_SIZE."
            if idle > slots.used / 2
            else "Most of them are at work: look at what runs so long, or raise max_connections."
        )
        st.warning(f"{share(slots.used_share)} of the connections are taken. {advice}", icon=":material/warning:")
    elif longest >= _LONG_S:
        st.warning(
            f"A transaction has been open and idle for {seconds(longest)}: it holds locks and keeps the table from"
            " being cleaned up. End its program, or terminate the session.",
            icon=":material/warning:",
        )
    else:
        st.success(f"Enough room: {exact(slots.free)} more connections can be opened.", icon=":material/check_circle:")


def slot_figures(slots: Slots, held: pd.DataFrame) -> None:
    """Used, free and reserved slots, and how many of the used are idle."""
    idle = int(held.loc[held["state"] == "idle", "connections"].sum())
    with st.grid(4, min_column_width=170):
        st.metric("Used", exact(slots.used), border=True, help="Client connections of all databases of this server")
        st.metric("Free", exact(slots.free), border=True, help="What an ordinary role can still open")
        st.metric(
            "Reserved", exact(slots.reserved), border=True, help="Kept for superusers and pg_use_reserved_connections"
        )
        st.metric("Idle", exact(idle), border=True, help="Open, and doing nothing outside of a transaction")
    limits = (("this role", slots.role_limit), ("this database", slots.database_limit))
    for whose, limit in limits:
        if limit is not None:
            st.caption(f":material/info: A limit of {exact(limit)} connections holds for {whose}, whatever is free.")


def slot_bar(slots: Slots) -> None:
    """One bar: used, free and reserved of max_connections."""
    parts = (("used", slots.used), ("free", slots.free), ("reserved", slots.reserved))
    data = pd.DataFrame([{"part": part, "slots": value, "order": order} for order, (part, value) in enumerate(parts)])
    spec: dict[str, Any] = {
        "mark": {"type": "bar", "height": 22},
        "encoding": {
            "x": {
                "field": "slots",
                "type": "quantitative",
                "stack": "zero",
                "axis": {"title": None, "grid": False, "tickCount": 5, "domain": False},
                "scale": {"domain": [0, slots.max], "nice": False},
            },
            "opacity": {
                "field": "part",
                "type": "nominal",
                "scale": {"type": "ordinal", "domain": ["used", "free", "reserved"], "range": [1, 0.15, 0.45]},
                "legend": None,
            },
            "order": {"field": "order", "type": "quantitative"},
            "tooltip": [{"field": "part", "title": "Slots"}, {"field": "slots", "title": "Count"}],
        },
    }
    draw(data, spec, height=64, alt=f"{slots.used} used, {slots.free} free, {slots.reserved} reserved of {slots.max}")
    st.caption(
        f"{slots.used} used (solid), {slots.free} free (pale), {slots.reserved} reserved (half-tone)"
        f" of max_connections = {slots.max}"
    )


def states(data: pd.DataFrame) -> None:
    """Connections by state; every state that PostgreSQL knows has its line."""
    counts = dict(zip(data["state"], data["connections"], strict=True))
    names = [*STATES[:4], *(state for state in (*STATES[4:], "hidden") if counts.get(state))]
    shown = pd.DataFrame({"state": names, "connections": [int(counts.get(name, 0)) for name in names]})
    _bars(shown, "state", "State", alt="Connections by state")


def applications(data: pd.DataFrame) -> None:
    """Connections by application_name, with how many of each are idle."""
    wide = data.pivot_table(
        index="application_name", columns="state", values="connections", aggfunc="sum", fill_value=0
    )
    shown = pd.DataFrame(
        {
            "application_name": wide.index,
            "connections": wide.sum(axis=1).to_numpy(),
            "idle": wide["idle"].to_numpy() if "idle" in wide else 0,
        }
    ).sort_values("connections", ascending=False)
    extra = {"idle": st.column_config.NumberColumn("of these idle", width=100)}
    _bars(shown, "application_name", "application_name", extra, alt="Connections by application")


def _bars(data: pd.DataFrame, name: str, label: str, extra: dict[str, Any] | None = None, *, alt: str) -> None:
    largest = int(data["connections"].max()) if len(data) else 1
    config = {
        name: st.column_config.TextColumn(label),
        "connections": st.column_config.ProgressColumn(
            "Connections", format="%d", min_value=0, max_value=max(largest, 1), color="blue", width=150
        ),
        **(extra or {}),
    }
    st.dataframe(
        data, column_config=config, column_order=list(config), hide_index=True, row_height=34, height="content", alt=alt
    )


def client_pools(reader: Reader) -> None:
    """The pools of this process: what reads, and the tracker that test recordings use."""
    reads = reader.pool_use()
    rows = [_pool("Reading", reads.used, reads.idle, reads.max)]
    if (recording := recorder_pool()) is not None:
        rows.append(
            _pool(
                "Test recordings",
                recording.used,
                recording.idle,
                recording.max,
                recording.pending_requests,
                recording.timeouts,
                recording.create_time_ms,
            )
        )
    config = {
        "pool": st.column_config.TextColumn("Pool"),
        "used": st.column_config.NumberColumn("used"),
        "idle": st.column_config.NumberColumn("idle"),
        "max": st.column_config.NumberColumn("max"),
        "pending_requests": st.column_config.NumberColumn("pending_requests"),
        "timeouts": st.column_config.NumberColumn("timeouts"),
        "create_time_ms": st.column_config.NumberColumn("create_time", format="%.1f ms"),
    }
    st.dataframe(
        pd.DataFrame(rows),
        column_config=config,
        hide_index=True,
        row_height=34,
        height="content",
        placeholder="–",
        alt="Client pools",
    )
    st.caption("Idle connections are closed after ten seconds; together there are never more than five.")


def _pool(
    name: str,
    used: int,
    idle: int,
    limit: int,
    pending: int | None = None,
    timeouts: int | None = None,
    create_time_ms: float | None = None,
) -> dict[str, Any]:
    return {
        "pool": name,
        "used": used,
        "idle": idle,
        "max": limit,
        "pending_requests": pending,
        "timeouts": timeouts,
        "create_time_ms": create_time_ms,
    }


def limited_view(slots: Slots) -> None:
    """What this role can't see, and the statement that shows it."""
    if slots.grant is None:
        return
    with st.container(border=True):
        st.markdown(":material/visibility_off: **Limited view**")
        st.markdown(
            "The state and the kind of other roles' sessions are hidden from this role; they are counted by their"
            " database. A superuser ends that with:"
        )
        st.code(slots.grant, language="sql")
