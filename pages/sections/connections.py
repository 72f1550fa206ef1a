"""The sections of the Connections page: advice, metrics, charts, and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages.support.connections_data import ConnectionTables
from pages.support.formats import age, exact, milliseconds, percentage
from pages.support.i18n import _, plural
from pages.support.message_text import translate
from pages.support.test_calls import tracker_pool_stats
from pages.widgets.connection_charts import part_bar, state_areas
from pages.widgets.empty_state import empty_section
from pages.widgets.tables import (
    TableColumn,
    count_bar_column,
    number_column,
    selectable_table,
    table,
    text_column,
)
from tracker.reports import Reader
from tracker.reports.connections.advice import Advice
from tracker.reports.connections.sampler import ConnectionSample
from tracker.reports.connections.sessions import STATES, Session, Slots, by_state

_MAX_VISIBLE_ROWS = 9
_MINUTES_S = 600


def advice_boxes(sample: ConnectionSample) -> None:
    """Draw a prominent warning with each problem and its remedy, or one quiet line if there is none."""
    if sample.advice:
        number = len(sample.advice)
        text = plural("{n} problem with the connections", "{n} problems with the connections", number)
        st.warning(f"**{text.format(n=exact(number))}**", icon=":material/warning:")
    for advice in sample.advice:
        with st.container(
            border=True, horizontal=True, wrap=False, key=f"advice_{advice.kind}_{advice.number}", gap="small"
        ):
            st.markdown(":orange[:material/arrow_right:]", width="content")
            st.text(advice_text(advice), width="stretch")
    if not sample.advice:
        free = sample.slots.free
        text = plural("OK: {n} more connection can be opened.", "OK: {n} more connections can be opened.", free)
        st.caption(f":green[:material/check_circle:] {text.format(n=exact(free))}")


def advice_text(advice: Advice) -> str:
    """A problem with its remedy. Not Markdown, because it may contain names from the database."""
    templates = {
        "crowded_idle": _(
            "{share} of the connections are used, most of them idle. Use the provider's transaction pooler (port 6543"
            " at Supabase, -pooler at Neon) or lower TRACKER_POOL_SIZE."
        ),
        "crowded_busy": _(
            "{share} of the connections are used, most of them active. Find the long-running queries, or raise"
            " max_connections."
        ),
        "blocked": plural(
            "{n} session waits for a lock of {who}, for {time}.",
            "{n} sessions wait for a lock of {who}, the longest for {time}.",
            advice.number,
        ),
        "idle_in_transaction": _(
            "A transaction of {who} has been open and idle for {time}. It keeps its locks and prevents vacuum."
        ),
        "long_transaction": _("A transaction of {who} has been running for {time}. See its query below."),
        "hoarding": _(
            "{who} has {n} idle connections, the oldest for {time}. Frozen functions keep their sockets open. Use the"
            " transaction pooler, or set TRACKER_POOL_SIZE=1 for this app."
        ),
        "too_many_instances": plural(
            "{n} instance of {who} recorded in the last 15 minutes. With a full pool it would open {of} connections,"
            " more than the server allows. Use a transaction pooler, or lower TRACKER_POOL_SIZE.",
            "{n} instances of {who} recorded in the last 15 minutes. With full pools they would open {of} connections,"
            " more than the server allows. Use a transaction pooler, or lower TRACKER_POOL_SIZE.",
            advice.number,
        ),
        "session_pooler": _(
            "Functions connect through Supabase's session pooler (port 5432), where each connection uses a slot. Use"
            " the transaction pooler: the same host, port 6543."
        ),
    }
    text = templates[advice.kind].format(
        n=exact(advice.number),
        of=exact(advice.of),
        time=age(advice.seconds),
        who=advice.who,
        share=percentage(advice.number / advice.of if advice.of else None),
    )
    return f"{text} {_ending_text(advice.ending)}" if advice.ending else text


def _ending_text(ending: str) -> str:
    """How the transaction can be ended."""
    return {
        "allowed": _("End the transaction in its program, or terminate the session below."),
        "own": _(
            "The session belongs to a dashboard, or to a Tracker with the same application_name, and can't be"
            " terminated here. If it doesn't end, restart that program."
        ),
        "superuser": _("End the transaction in its program. A superuser's session can't be terminated here."),
        "right_missing": _(
            "End the transaction in its program. This role may not terminate the session; select it below to see the"
            " GRANT that allows it."
        ),
        "prepared": _("It is a prepared transaction of pg_prepared_xacts: use COMMIT PREPARED or ROLLBACK PREPARED."),
        "not_a_client": _("The process is not a client session and can't be terminated here."),
    }[ending]


def slot_metrics(sample: ConnectionSample) -> None:
    """Draw the used, free, and reserved slots, the opened sessions, and the longest transactions."""
    slots, sessions = sample.slots, sample.sessions
    longest_idle_s = max((s.state_s or 0.0 for s in sessions if s.idle_in_transaction), default=None)
    longest_transaction_s = max(
        (s.transaction_s or 0.0 for s in sessions if s.transaction_s is not None and not s.is_own_backend), default=None
    )
    opened = sample.opened_per_minute
    with st.grid(6, min_column_width=140):
        st.metric(
            _("Used"),
            exact(slots.used),
            border=True,
            help=_("Client connections of all databases of this server, including this page's"),
        )
        st.metric(_("Free"), exact(slots.free), border=True, help=_("Connections that an ordinary role can still open"))
        st.metric(
            _("Reserved"),
            exact(slots.reserved),
            border=True,
            help=_("Reserved for superusers and pg_use_reserved_connections"),
        )
        st.metric(
            _("Opened"),
            "–" if opened is None else _("{n} / min").format(n=exact(opened)),
            border=True,
            help=_(
                "Sessions opened per minute, from pg_stat_database. Many short connections cost the server more than a"
                " pool."
            ),
        )
        st.metric(
            _("Idle in transaction"),
            age(longest_idle_s),
            border=True,
            help=_("The longest idle time of an open transaction"),
        )
        st.metric(_("Longest transaction"), age(longest_transaction_s), border=True)
    if (limit := slots.role_limit) is not None:
        text = plural(
            "This role may open at most {n} connection.", "This role may open at most {n} connections.", limit
        )
        st.caption(":material/info: " + text.format(n=exact(limit)))
    if (limit := slots.database_limit) is not None:
        text = plural(
            "This database allows at most {n} connection.", "This database allows at most {n} connections.", limit
        )
        st.caption(":material/info: " + text.format(n=exact(limit)))


def slot_bar(slots: Slots) -> None:
    """Draw a bar of the used, free, and reserved slots of max_connections."""
    parts = [(_("used"), slots.used, 1.0), (_("free"), slots.free, 0.15), (_("reserved"), slots.reserved, 0.45)]
    text = _(
        "{used} used (solid), {free} free (pale), {reserved} reserved (half-tone) of max_connections = {max}"
    ).format(used=exact(slots.used), free=exact(slots.free), reserved=exact(slots.reserved), max=exact(slots.max))
    part_bar(parts, maximum=slots.max, label=_("Connections"), alt=text)
    st.caption(text)


def state_table(sample: ConnectionSample) -> None:
    """Draw the number of connections in each PostgreSQL state."""
    counts = by_state(sample.sessions)
    names = [state for state in (*STATES, "hidden") if state != "hidden" or counts["hidden"]]
    data = pd.DataFrame({"name": names, "connections": [counts[name] for name in names]})
    _count_table(data, _("State"), alt=_("Connections by state"))


def application_table(tables: ConnectionTables) -> None:
    """Draw the connections by application_name, with the deployment of each and its idle connections."""
    data = tables.applications
    extra = {
        "idle": number_column(_("idle"), exact, 48),
        "longest_idle_s": number_column(_("longest idle"), age, 86),
        "deployment": text_column(_("Deployment"), 92),
    }
    if not data["deployment"].notna().any():
        del extra["deployment"]
    _count_table(data, "application_name", extra, alt=_("Connections by application"))


def user_table(tables: ConnectionTables) -> None:
    """Draw the connections by user and database."""
    extra = {"idle": number_column(_("idle"), exact, 60)}
    _count_table(tables.users, _("User · database"), extra, alt=_("Connections by user and database"))


def _count_table(data: pd.DataFrame, label: str, extra: dict[str, TableColumn] | None = None, *, alt: str) -> None:
    largest = int(data["connections"].max()) if len(data) else 1
    columns = {
        "name": text_column(label, 176),
        "connections": count_bar_column(_("Connections"), largest, 80),
        **(extra or {}),
    }
    table(data, columns, alt=alt, max_rows=_MAX_VISIBLE_ROWS, placeholder="–")


def history_chart(tables: ConnectionTables, zone: str) -> None:
    """Draw the connections by state over the last hours."""
    data = tables.history
    if data["at_s"].nunique() < 3:
        empty_section(_("The chart starts now: one sample every 15 seconds while a page is open, for up to six hours."))
        return
    local = pd.to_datetime(data["at_s"], unit="s", utc=True).dt.tz_convert(zone).dt.tz_localize(None)
    # In a short range, several ticks are within one minute.
    time_format = "%H:%M" if data["at_s"].max() - data["at_s"].min() > _MINUTES_S else "%H:%M:%S"
    state_areas(
        data.assign(at=local),
        [*STATES, "hidden"],
        label=_("Connections"),
        clock=time_format,
        alt=_("Connections by state over the last hours"),
    )
    if (until_s := tables.sample_data_until_s) is not None:
        until = pd.Timestamp(until_s, unit="s", tz="UTC").tz_convert(zone)
        st.caption(_("**Sample data** before {time}.").format(time=f"{until:%H:%M}"))


def session_table(tables: ConnectionTables) -> Session | None:
    """Draw all sessions. Returns the selected one."""
    data = tables.session_frame
    columns = {
        "pid": number_column("pid", str, 70),
        "state": text_column(_("State"), 100),
        "state_s": number_column(_("duration"), age, 70),
        "who": text_column("application_name", 210),
        "query": text_column(_("Query"), 300),
        "blocked_by": text_column(_("blocked by"), 80),
        "waits_for": text_column(_("waits for"), 100),
        "transaction_s": number_column(_("transaction"), age, 84),
        "user": text_column(_("User · database"), 130),
    }
    for name in ("waits_for", "blocked_by"):
        if not data[name].fillna("").astype(bool).any():
            del columns[name]  # an empty column would take width from the query
    key, row = _selected_row(tables.sessions)
    selected = selectable_table(data, columns, alt=_("Sessions"), key=key, max_rows=_MAX_VISIBLE_ROWS, selected=row)
    return tables.sessions[selected] if selected is not None else None


def _selected_row(sessions: Sequence[Session]) -> tuple[str, int | None]:
    """The key of the table, and the row of the session that the user selected.

    A selection is the number of a row. Its session is that of the row in the previous sample, and may have another row
    in this one: then the table gets a new key and its new row.
    """
    drawn, generation = st.session_state.get("drawn_sessions", ([], 0))
    selection = st.session_state.get(f"sessions_{generation}")
    rows = selection["selection"]["rows"] if selection else []
    ids = [(session.pid, session.backend_start) for session in sessions]
    selected = drawn[rows[0]] if rows and rows[0] < len(drawn) else None
    row = ids.index(selected) if selected in ids else None
    if rows and rows != [row]:
        generation += 1
    st.session_state["drawn_sessions"] = (ids, generation)
    return f"sessions_{generation}", row


def client_pool_table(reader: Reader) -> None:
    """Draw the pools of this process: the read side's, and the one of the test recordings."""
    read_pool = reader.pool_use()
    rows: list[dict[str, Any]] = [
        {"pool": _("Pages"), "used": read_pool.used, "idle": read_pool.idle, "max": read_pool.max}
    ]
    columns = {
        "pool": text_column(_("Pool"), 110),
        "used": number_column("used", exact, 60, "db.client.connection.count, state used"),
        "idle": number_column("idle", exact, 60, "db.client.connection.count, state idle"),
        "max": number_column("max", exact, 60, "db.client.connection.max"),
    }
    if (tracker_pool := tracker_pool_stats()) is not None:
        rows.append(
            {
                "pool": _("Test recordings"),
                "used": tracker_pool.used,
                "idle": tracker_pool.idle,
                "max": tracker_pool.max,
                "pending_requests": tracker_pool.pending_requests,
                "timeouts": tracker_pool.timeouts,
                "create_time": tracker_pool.create_time_ms,
            }
        )
        columns |= {
            "pending_requests": number_column("pending", exact, 70, "db.client.connection.pending_requests"),
            "timeouts": number_column("timeouts", exact, 72, "db.client.connection.timeouts"),
            "create_time": number_column("create_time", milliseconds, 90, "db.client.connection.create_time"),
        }
    table(pd.DataFrame(rows), columns, alt=_("Client pools"), placeholder="–")
    st.caption(_("Right now. Idle connections are closed after ten seconds. The dashboard opens at most five."))


def pgbouncer_table(sample: ConnectionSample) -> None:
    """Draw PgBouncer's pools, if its admin console is configured."""
    if sample.pools_error:
        st.text(translate(sample.pools_error))
        return
    data = pd.DataFrame(
        [
            {
                "pool": f"{pool.user} · {pool.database}",
                "cl_active": pool.cl_active,
                "cl_waiting": pool.cl_waiting,
                "sv_active": pool.sv_active,
                "sv_idle": pool.sv_idle,
                "maxwait": pool.maxwait_s if pool.cl_waiting else None,
                "mode": pool.pool_mode,
            }
            for pool in sample.pools or ()
        ],
        columns=["pool", "cl_active", "cl_waiting", "sv_active", "sv_idle", "maxwait", "mode"],
    )
    columns = {
        "pool": text_column(_("User · database"), 170),
        "cl_active": number_column("cl_active", exact, 80, _("Clients that are idle or have a server connection")),
        "cl_waiting": number_column("cl_waiting", exact, 84, _("Clients that wait for a server connection")),
        "maxwait": number_column("maxwait", age, 80, _("The waiting time of the oldest client")),
        "sv_active": number_column("sv_active", exact, 80, _("Server connections in use by a client")),
        "sv_idle": number_column("sv_idle", exact, 70, _("Idle server connections")),
        "mode": text_column("pool_mode", 100),
    }
    table(data, columns, alt="SHOW POOLS", placeholder="–")


def limited_view_notice(slots: Slots) -> None:
    """Draw a notice of what this role can't see, with the GRANT that shows it."""
    if slots.grant is None:
        return
    with st.container(border=True):
        st.markdown(f":material/visibility_off: **{_('Limited view')}**")
        st.markdown(
            _(
                "This role can't see the state and kind of other roles' sessions. It sees only their number per"
                " database. A superuser can grant access with:"
            )
        )
        st.code(slots.grant, language="sql")
