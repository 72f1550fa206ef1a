"""The content of a page without calls: the reason, and buttons that help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import streamlit as st

from pages.support import query_params, ttl_cache
from pages.support.formats import ago, calls, exact, long_date, percentage
from pages.support.i18n import _
from pages.widgets import filter_pills
from pages.widgets.time_range import TimeRange, clamp_time, user_timezone
from pages.widgets.time_span import format_days
from tracker import settings
from tracker.database.schema import quote
from tracker.maintenance import delete_test_records
from tracker.maintenance.sample_data import DEFAULT_DAYS
from tracker.reports import Reader, usage_totals

_SAMPLES_TTL_S = 30.0


def empty_section(text: str) -> None:
    """A section of a page without data. `text` is Markdown, so it must not contain text from the database."""
    st.caption(f":material/inbox: {text}")


@contextmanager
def empty_page(title: str) -> Iterator[None]:
    """The box of a page without data, which contains the reason and the next actions."""
    with st.container(border=True, horizontal_alignment="center", gap="small", key="nothing"):
        st.markdown(f"**{title}**", width="content")
        yield


def no_calls(reader: Reader) -> None:
    """Show why there are no calls: row-level security, the filters, the range, only test calls, or an empty table."""
    if reader.table().sees_no_rows:
        no_visible_rows(reader)
        return
    tests = filter_pills.includes_tests()
    last_at = usage_totals.extent(reader, include_tests=tests).last_at
    if last_at:
        no_calls_in_range(last_at)
    elif not tests and usage_totals.extent(reader, include_tests=True).last_at:
        only_test_calls(reader)
    else:
        first_steps(reader)


def no_visible_rows(reader: Reader) -> None:
    """Row-level security hides every row from this role."""
    with empty_page(_("This role sees no rows")):
        st.caption(
            _("Row-level security is on, and no policy allows this role to read. The table's owner can add one:"),
            text_alignment="center",
        )
        schema, user = quote(reader.table().schema), quote(reader.database.url.user or "role")
        policy = f"CREATE POLICY token_tracker_reads ON {schema}.token_usage FOR SELECT TO {user} USING (true);"
        st.code(policy, language="sql", wrap_lines=True)


def no_calls_in_range(last_at: datetime) -> None:
    """No calls in this range: show the time of the last call and a button for its day."""
    if filter_pills.active_filters():
        with empty_page(_("No calls in this range with these filters")):
            if st.button(_("Clear the filters"), type="primary", key="clear_filters"):
                query_params.set_and_rerun(**dict.fromkeys(filter_pills.active_filters()))
        return
    local = clamp_time(last_at).astimezone(settings.load_time_zone(user_timezone()))
    with empty_page(_("No calls in this range")):
        st.caption(
            _("The last call was on {day} at {time} ({ago}).").format(
                day=long_date(local), time=f"{local:%H:%M}", ago=ago(last_at)
            ),
            width="content",
        )
        if st.button(_("Show that day"), type="primary", key="show_day"):
            query_params.set_and_rerun(range=format_days((local.date(), local.date())))


def only_test_calls(reader: Reader) -> None:
    """The table contains test calls only."""
    with empty_page(_("Only test recordings so far")):
        st.caption(_("Test calls are excluded unless *Include tests* is on."), width="content")
        with st.container(horizontal=True, horizontal_alignment="center"):
            if st.button(_("Include tests"), type="primary", key="show_tests"):
                query_params.set_and_rerun(tests="true")
            _sample_button(reader)
    code_snippet(reader)


def first_steps(reader: Reader) -> None:
    """The table is empty: an introduction, and buttons for a test call and sample data."""
    with empty_page(_("Nothing recorded yet")):
        st.caption(
            _(
                "The database is connected and its table is ready. When your app records its first AI call, this page"
                " shows tokens, cost, and users."
            ),
            text_alignment="center",
        )
        with st.container(horizontal=True, horizontal_alignment="center"):
            if st.button(_("Record a test call"), type="primary", icon=":material/science:", key="greet_test"):
                st.switch_page("recordings.py")
            _sample_button(reader)
    code_snippet(reader)


def _sample_button(reader: Reader) -> None:
    if st.button(
        _("Load sample data"),
        icon=":material/dataset:",
        key="greet_sample",
        help=_("{days} days of synthetic calls, marked as sample data. One click removes them.").format(
            days=DEFAULT_DAYS
        ),
    ):
        bar = st.progress(0.0, text=_("Loading sample data"))
        delete_test_records.add_samples(reader, lambda share: _show_progress(bar, share))
        ttl_cache.clear()
        st.rerun()


def _show_progress(bar: st.delta_generator.DeltaGenerator, share: float) -> None:
    bar.progress(share, text=_("Loading sample data: {share}").format(share=percentage(share)))


def code_snippet(reader: Reader) -> None:
    """Sample code that records a call to this database."""
    with st.container(border=True, gap="small"):
        st.markdown(f"**{_('From your app')}**")
        if reader.database.embedded:
            st.markdown(_("This database runs on this machine. An app on this machine connects with:"))
            st.code(f'export DATABASE_URL="{reader.database.url.with_password()}"', language="sh", wrap_lines=True)
        else:
            st.markdown(_("Use the same `DATABASE_URL` as this dashboard:"))
        st.code(
            "from tracker import Tracker, TokenUsage\n\n"
            'Tracker().record(TokenUsage(model="gemini-2.5-flash", input_tokens=812, output_tokens=164))',
            language="python",
        )


def sample_notice(reader: Reader, sample_calls: int, all_calls: int) -> None:
    """A notice that the range contains sample calls, with a button that removes them."""
    if not sample_calls:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="sample_notice"):
        if sample_calls == all_calls:
            text = _("**Sample data.** All calls in this range are synthetic.")
        else:
            text = _("**Sample data.** {n} of {calls} in this range are synthetic.").format(
                n=exact(sample_calls), calls=calls(all_calls)
            )
        st.markdown(f":material/dataset: {text}", width="stretch")
        if st.button(_("Remove sample data"), key="remove_sample"):
            delete_test_records.remove_samples(reader)
            ttl_cache.clear()
            st.rerun()


def range_sample_notice(reader: Reader, range_: TimeRange) -> None:
    """`sample_notice` for a page that doesn't read the totals of the range."""
    key = "range_samples", ttl_cache.generation(reader), range_.cache_key
    totals = ttl_cache.cached(key, _SAMPLES_TTL_S, lambda: usage_totals.totals(reader, range_.filters))
    sample_notice(reader, totals.sample_calls, totals.calls)
