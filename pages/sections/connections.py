"""The Connections page's figures, bars and tables."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from pages.support.connections_data import Prepared
from pages.support.formats import exact, seconds, share
from pages.support.i18n import _, plural
from pages.support.message_text import told
from pages.support.test_calls import recorder_pool
from pages.widgets.charts import part_bar, state_areas
from tracker.reports import Reader
from tracker.reports.connections.advice import Advice
from tracker.reports.connections.sampler import Sample
from tracker.reports.connections.sessions import STATES, Session, Slots, by_state

_ROW = 34
_MINUTES_S = 600


def verdict(sample: Sample) -> None:
    """What is wrong, each in a sentence with a way out; or that nothing is."""
    for found in sample.advice:
        with st.container(
            border=True, horizontal=True, wrap=False, key=f"advice_{found.kind}_{found.number}", gap="small"
        ):
            st.markdown(":orange[:material/warning:]", width="content")
            st.text(sentence(found), width="stretch")
    if not sample.advice:
        free = sample.slots.free
        text = plural(
            "Enough room: {n} more connection can be opened.", "Enough room: {n} more connections can be opened.", free
        )
        st.success(text.format(n=exact(free)), icon=":material/check_circle:")


def sentence(found: Advice) -> str:
    """A finding in words: what is so, and what to do. As text, since it may hold a name out of the database."""
    text = {
        "crowded_idle": _(
            "{share} of the connections are taken, most of them idle: use the provider's transaction pooler (port 6543"
            " at Supabase, -pooler at Neon) or lower TRACKER_POOL_SIZE."
        ),
        "crowded_busy": _(
            "{share} of the connections are taken, most of them at work: look at what runs so long, or raise"
            " max_connections."
        ),
        "blocked": _(
            "{n} sessions wait for a lock, the longest for {time}; pid {who} holds it. End that transaction, or"
            " terminate its session below."
        ),
        "idle_in_transaction": _(
            "A transaction of {who} has been open and idle for {time}: it holds its locks and keeps tables from being"
            " cleaned up. End its program, or terminate the session below."
        ),
        "long_transaction": _("A transaction of {who} has been running for {time}. Look at its query below."),
        "hoarding": _(
            "{n} idle connections of {who}, the oldest for {time}: frozen functions keep their sockets. Use the"
            " transaction pooler, or set TRACKER_POOL_SIZE=1 there."
        ),
        "too_many_instances": _(
            "{n} instances of {who} recorded in the last 15 minutes; with a full pool each they would open {of}"
            " connections, more than the server has. Use a transaction pooler, or lower TRACKER_POOL_SIZE."
        ),
        "session_pooler": _(
            "Functions reach this database through Supabase's session pooler (port 5432), where each connection holds"
            " a slot. Use the transaction pooler: the same host, port 6543."
        ),
    }[found.kind]
    return text.format(
        n=exact(found.number),
        of=exact(found.of),
        time=seconds(found.seconds),
        who=found.who,
        share=share(found.number / found.of if found.of else None),
    )


def slot_figures(sample: Sample) -> None:
    """Used, free and reserved slots, churn, and the oldest transactions."""
    slots, held = sample.slots, sample.held
    idle = max((s.state_s or 0.0 for s in held if s.idle_in_transaction), default=None)
    longest = max(
        (s.transaction_s or 0.0 for s in held if s.transaction_s is not None and not s.is_asking), default=None
    )
    churn = sample.opened_per_minute
    with st.grid(6, min_column_width=140):
        st.metric(
            _("Used"),
            exact(slots.used),
            border=True,
            help=_("Client connections of all databases of this server, this page's own included"),
        )
        st.metric(_("Free"), exact(slots.free), border=True, help=_("What an ordinary role can still open"))
        st.metric(
            _("Reserved"),
            exact(slots.reserved),
            border=True,
            help=_("Kept for superusers and pg_use_reserved_connections"),
        )
        st.metric(
            _("Opened"),
            "–" if churn is None else _("{n} / min").format(n=f"{churn:.0f}"),
            border=True,
            help=_(
                "Sessions opened a minute, from pg_stat_database. Many short ones cost the server more than a pool."
            ),
        )
        st.metric(
            _("Idle in transaction"),
            seconds(idle),
            border=True,
            help=_("The oldest open transaction that does nothing"),
        )
        st.metric(_("Longest transaction"), seconds(longest), border=True)
    limits = (
        (_("A limit of {n} connections holds for this role, whatever is free."), slots.role_limit),
        (_("A limit of {n} connections holds for this database, whatever is free."), slots.database_limit),
    )
    for text, limit in limits:
        if limit is not None:
            st.caption(":material/info: " + text.format(n=exact(limit)))


def slot_bar(slots: Slots) -> None:
    """One bar: used, free and reserved of max_connections."""
    parts = [(_("used"), slots.used, 1.0), (_("free"), slots.free, 0.15), (_("reserved"), slots.reserved, 0.45)]
    text = _(
        "{used} used (solid), {free} free (pale), {reserved} reserved (half-tone) of max_connections = {max}"
    ).format(used=slots.used, free=slots.free, reserved=slots.reserved, max=slots.max)
    part_bar(parts, maximum=slots.max, label=_("Connections"), alt=text)
    st.caption(text)


def states(sample: Sample) -> None:
    """Connections by state; every state that PostgreSQL knows has its line."""
    counts = by_state(sample.held)
    names = [state for state in (*STATES, "hidden") if state != "hidden" or counts["hidden"]]
    shown = pd.DataFrame({"name": names, "connections": [counts[name] for name in names]})
    _bars(shown, _("State"), alt=_("Connections by state"))


def applications(prepared: Prepared) -> None:
    """Connections by application_name, with the deployment of ours that each belongs to, and how many are idle."""
    data = prepared.applications.assign(longest=[seconds(value) for value in prepared.applications["longest_idle_s"]])
    extra = {
        "deployment": st.column_config.TextColumn(_("Our deployment"), width=150),
        "idle": st.column_config.NumberColumn(_("idle"), width=60),
        "longest": st.column_config.TextColumn(_("longest idle"), width=90, alignment="right"),
    }
    if not data["deployment"].notna().any():
        del extra["deployment"]
    _bars(data, "application_name", extra, alt=_("Connections by application"))


def users(prepared: Prepared) -> None:
    """Connections by user and database."""
    extra = {"idle": st.column_config.NumberColumn(_("idle"), width=60)}
    _bars(prepared.users, _("User · database"), extra, alt=_("Connections by user and database"))


def _bars(data: pd.DataFrame, label: str, extra: dict[str, Any] | None = None, *, alt: str) -> None:
    largest = int(data["connections"].max()) if len(data) else 1
    config = {
        "name": st.column_config.TextColumn(label),
        "connections": st.column_config.ProgressColumn(
            _("Connections"), format="%d", min_value=0, max_value=max(largest, 1), color="blue", width=95
        ),
        **(extra or {}),
    }
    st.dataframe(
        data,
        column_config=config,
        # Names are long: on a phone they would push the numbers out of sight.
        column_order=["connections", *(name for name in config if name != "connections")] if extra else list(config),
        hide_index=True,
        row_height=_ROW,
        height="content" if len(data) <= 9 else 10 * _ROW,
        placeholder="",
        alt=alt,
    )


def history(prepared: Prepared, zone: str) -> None:
    """The connections by state over the last hours."""
    data = prepared.history
    if data["at_s"].nunique() < 3:
        st.caption(_("The curve begins now: one point each 15 seconds while pages are open, for six hours."))
        return
    local = pd.to_datetime(data["at_s"], unit="s", utc=True).dt.tz_convert(zone).dt.tz_localize(None)
    # Within minutes the ticks lie closer than one.
    clock = "%H:%M" if data["at_s"].max() - data["at_s"].min() > _MINUTES_S else "%H:%M:%S"
    state_areas(
        data.assign(at=local),
        [*STATES, "hidden"],
        label=_("Connections"),
        clock=clock,
        alt=_("Connections by state over the last hours"),
    )


def session_table(prepared: Prepared) -> Session | None:
    """Every session; the one that the reader selected."""
    data = prepared.session_frame
    data = data.assign(
        since=[seconds(value) for value in data["state_s"]],
        transaction=[seconds(value) for value in data["transaction_s"]],
    )
    config: dict[str, Any] = {
        "pid": st.column_config.NumberColumn("pid", format="%d", width=70, pinned=True),
        "who": st.column_config.TextColumn("application_name", width=260),
        "user": st.column_config.TextColumn(_("User · database"), width=150),
        "state": st.column_config.TextColumn(_("State"), width=100),
        "since": st.column_config.TextColumn(_("since"), width=70, alignment="right"),
        "transaction": st.column_config.TextColumn(_("transaction"), width=80, alignment="right"),
        "waits_for": st.column_config.TextColumn(_("waits for"), width=100),
        "blocked_by": st.column_config.TextColumn(_("blocked by"), width=80),
        "query": st.column_config.TextColumn(_("Statement"), width=320),
    }
    for name in ("waits_for", "blocked_by"):
        if not data[name].fillna("").astype(bool).any():
            del config[name]  # nobody waits: the statement gets the room
    chosen = st.dataframe(
        data,
        column_config=config,
        column_order=list(config),
        hide_index=True,
        row_height=_ROW,
        height="content" if len(data) <= 9 else 10 * _ROW,
        placeholder="",
        key="sessions",
        on_select="rerun",
        selection_mode="single-row",
        alt=_("Sessions"),
    )
    rows = chosen["selection"]["rows"]
    return prepared.sessions[rows[0]] if rows and rows[0] < len(prepared.sessions) else None


def client_pools(reader: Reader) -> None:
    """The pools of this process: what reads, and the tracker that test recordings use."""
    reads = reader.pool_use()
    rows: list[dict[str, Any]] = [{"pool": _("Reading"), "used": reads.used, "idle": reads.idle, "max": reads.max}]
    config: dict[str, Any] = {
        "pool": st.column_config.TextColumn(_("Pool")),
        "used": st.column_config.NumberColumn("used", help="db.client.connection.count, state used"),
        "idle": st.column_config.NumberColumn("idle", help="db.client.connection.count, state idle"),
        "max": st.column_config.NumberColumn("max", help="db.client.connection.max"),
    }
    if (recording := recorder_pool()) is not None:
        rows.append(
            {
                "pool": _("Test recordings"),
                "used": recording.used,
                "idle": recording.idle,
                "max": recording.max,
                "pending_requests": recording.pending_requests,
                "timeouts": recording.timeouts,
                "create_time": recording.create_time_ms,
            }
        )
        config |= {
            "pending_requests": st.column_config.NumberColumn("pending", help="db.client.connection.pending_requests"),
            "timeouts": st.column_config.NumberColumn("timeouts", help="db.client.connection.timeouts"),
            "create_time": st.column_config.NumberColumn(
                "create_time", format="%.1f ms", help="db.client.connection.create_time"
            ),
        }
    st.dataframe(
        pd.DataFrame(rows),
        column_config=config,
        column_order=list(config),
        hide_index=True,
        row_height=_ROW,
        height="content",
        placeholder="–",
        alt=_("Client pools"),
    )
    st.caption(_("At the moment of this look; idle ones are closed after ten seconds. Together never more than five."))


def pooler(sample: Sample) -> None:
    """PgBouncer's own pools, where its console was given."""
    if sample.pools_trouble:
        st.text(told(sample.pools_trouble))
        return
    data = pd.DataFrame(
        [
            {
                "pool": f"{pool.user} · {pool.database}",
                "cl_active": pool.cl_active,
                "cl_waiting": pool.cl_waiting,
                "sv_active": pool.sv_active,
                "sv_idle": pool.sv_idle,
                "maxwait": seconds(pool.maxwait_s) if pool.cl_waiting else "",
                "mode": pool.pool_mode,
            }
            for pool in sample.pools or ()
        ],
        columns=["pool", "cl_active", "cl_waiting", "sv_active", "sv_idle", "maxwait", "mode"],
    )
    config = {
        "pool": st.column_config.TextColumn(_("User · database")),
        "cl_active": st.column_config.NumberColumn("cl_active", help=_("Clients with a server connection, or idle")),
        "cl_waiting": st.column_config.NumberColumn("cl_waiting", help=_("Clients that wait for a server connection")),
        "sv_active": st.column_config.NumberColumn("sv_active", help=_("Server connections at work for a client")),
        "sv_idle": st.column_config.NumberColumn("sv_idle", help=_("Server connections that are free")),
        "maxwait": st.column_config.TextColumn("maxwait", help=_("How long the oldest client has waited")),
        "mode": st.column_config.TextColumn("pool_mode"),
    }
    st.dataframe(data, column_config=config, hide_index=True, row_height=_ROW, height="content", alt="SHOW POOLS")


def limited_view(slots: Slots) -> None:
    """What this role can't see, and the statement that shows it."""
    if slots.grant is None:
        return
    with st.container(border=True):
        st.markdown(f":material/visibility_off: **{_('Limited view')}**")
        st.markdown(
            _(
                "The state and the kind of other roles' sessions are hidden from this role; they are counted by their"
                " database. A superuser ends that with:"
            )
        )
        st.code(slots.grant, language="sql")
