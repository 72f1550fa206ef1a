"""What a page says when there is nothing to show, and the ways on from there."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from pages.support import query_params
from pages.support.formats import ago, calls, day
from pages.support.i18n import _
from pages.widgets import filter_pills
from pages.widgets.time_range import charted, zone
from pages.widgets.time_span import write_days
from tracker import settings
from tracker.database.schema import quote
from tracker.maintenance import delete_test_records
from tracker.reports import Reader, usage_totals
from tracker.reports.filter_choices import COLUMNS


def nothing(reader: Reader) -> None:
    """Nothing to show: because of the filters, of the range, of what counts, or since nothing is there at all."""
    if reader.table().sees_no_rows:
        sees_nothing(reader)
        return
    tests = filter_pills.tests_included()
    last_at = usage_totals.extent(reader, include_tests=tests).last_at
    if last_at:
        nothing_here(last_at)
    elif not tests and usage_totals.extent(reader, include_tests=True).last_at:
        only_tests(reader)
    else:
        greet(reader)


def sees_nothing(reader: Reader) -> None:
    """Row-level security hides every row from this role: that is not an empty table."""
    with st.container(border=True, gap="medium"):
        st.subheader(_("This role sees no rows"), anchor=False)
        st.markdown(
            _("Row-level security is on, and no policy lets this role read. The table's owner can change that:")
        )
        schema, user = quote(reader.table().schema), quote(reader.database.url.user or "role")
        policy = f"CREATE POLICY token_tracker_reads ON {schema}.token_usage FOR SELECT TO {user} USING (true);"
        st.code(policy, language="sql", wrap_lines=True)


def nothing_here(last_at: datetime) -> None:
    """There are calls, but none in this range: say when the last one was and offer to go there."""
    with _box():
        if filter_pills.active():
            st.markdown(f"**{_('No calls in this range with these filters')}**", width="content")
            if st.button(_("Clear the filters"), type="primary", key="clear_filters"):
                query_params.change(**dict.fromkeys(COLUMNS))
            return
        local = charted(last_at).astimezone(settings.zone(zone()))
        st.markdown(f"**{_('No calls in this range')}**", width="content")
        st.caption(
            _("The last one was on {day} at {time}, {ago}.").format(
                day=day(local), time=f"{local:%H:%M}", ago=ago(last_at)
            ),
            width="content",
        )
        if st.button(_("Show that day"), type="primary", key="show_day"):
            query_params.change(range=write_days((local.date(), local.date())))


def only_tests(reader: Reader) -> None:
    """There are test recordings and nothing else."""
    with _box():
        st.markdown(f"**{_('Only test recordings so far')}**", width="content")
        st.caption(_("They are in no figure unless you ask for it."), width="content")
        with st.container(horizontal=True, horizontal_alignment="center"):
            if st.button(_("Include tests"), type="primary", key="show_tests"):
                query_params.change(tests="true")
            _sample_button(reader)
    snippet(reader)


def greet(reader: Reader) -> None:
    """The table is empty: what this is, and two ways on."""
    with st.container(border=True, gap="medium"):
        st.subheader(_("Nothing recorded yet"), anchor=False)
        st.markdown(
            _(
                "The database is reached and its table is ready. As soon as your app records its first AI call,"
                " this page shows tokens, cost and users."
            )
        )
        with st.container(horizontal=True):
            if st.button(_("Record a test call"), type="primary", icon=":material/science:", key="greet_test"):
                st.switch_page("recordings.py")
            _sample_button(reader)
    snippet(reader)


def _sample_button(reader: Reader) -> None:
    if st.button(
        _("Load sample data"),
        icon=":material/dataset:",
        key="greet_sample",
        help=_("30 days of invented calls, marked as sample data. One click removes them again."),
    ):
        with st.spinner(_("Inventing calls")):
            delete_test_records.add_samples(reader)
        st.rerun()


def snippet(reader: Reader) -> None:
    """The first call of an app, as it works with this very database."""
    with st.container(border=True, gap="small"):
        st.markdown(f"**{_('From your app')}**")
        if reader.database.embedded:
            st.markdown(_("This database runs on this machine. An app here reaches it with:"))
            st.code(f'export DATABASE_URL="{reader.database.url.with_password()}"', language="sh", wrap_lines=True)
        else:
            st.markdown(_("With the same `DATABASE_URL` as this dashboard's in its environment:"))
        st.code(
            "from tracker import Tracker, TokenUsage\n\n"
            'Tracker().record(TokenUsage(model="gemini-2.5-flash", input_tokens=812, output_tokens=164))',
            language="python",
        )


def sample_notice(reader: Reader, sample_calls: int, all_calls: int) -> None:
    """Whoever sees sample calls among the figures is told, and can remove them."""
    if not sample_calls:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="sample_notice"):
        if sample_calls == all_calls:
            text = _("**Sample data.** All calls in this range are invented.")
        else:
            text = _("**Sample data.** {n} of {calls} in this range are invented.").format(
                n=f"{sample_calls:,}", calls=calls(all_calls)
            )
        st.markdown(f":material/dataset: {text}", width="stretch")
        if st.button(_("Remove sample data"), key="remove_sample"):
            delete_test_records.remove_samples(reader)
            st.rerun()


def _box() -> st.delta_generator.DeltaGenerator:
    return st.container(border=True, horizontal_alignment="center", gap="small", key="nothing")
