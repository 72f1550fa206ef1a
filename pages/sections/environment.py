"""The sections of the Environment page: debug report, comparison with a deployment, and checklist."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st

from pages.support.formats import exact, milliseconds
from pages.support.i18n import _, plural
from pages.support.message_text import translate
from pages.support.test_calls import RateLimited, check_rate_limit
from pages.widgets.empty_state import empty_section
from pages.widgets.live_refresh import computed_at_text
from pages.widgets.tables import table, text_column
from pages.widgets.time_range import user_timezone
from tracker.diagnostics import dashboard_report
from tracker.diagnostics.checklist import ITEM_TITLES, Checklist, ChecklistItem
from tracker.diagnostics.compare_reports import ComparisonLine, compare_reports, recommendations_of
from tracker.diagnostics.fetch_report import REPORT_PATH, FetchError, fetch_report
from tracker.diagnostics.rollup_check import rollup_check
from tracker.errors import TrackerError
from tracker.reports import usage_totals
from tracker.reports.engine import current_reader

REPORT_TTL = timedelta(seconds=30)
_ICONS = {
    "error": ":red[:material/error:]",
    "warning": ":orange[:material/warning:]",
    "info": ":blue[:material/info:]",
    "passed": ":green[:material/check_circle:]",
    "failed": ":red[:material/cancel:]",
    "not_checked": ":gray[:material/radio_button_unchecked:]",
}


@dataclass(frozen=True, slots=True)
class CheckedReport:
    """A debug report, when it was made, and whether the database responded then."""

    report: Mapping[str, Any]
    at: datetime
    is_database_responding: bool


def current_report() -> CheckedReport:
    """The debug report, cached in this browser session until the database starts or stops to respond."""
    cached: CheckedReport | None = st.session_state.get("report")
    is_responding = _is_database_responding()
    if (
        cached is not None
        and cached.is_database_responding == is_responding
        and datetime.now(UTC) - cached.at < REPORT_TTL
    ):
        return cached
    # A refresh replaces the report without a spinner, which would move the page.
    with nullcontext() if cached else st.spinner(_("Checking variables, network, database, and outbox")):
        at = datetime.now(UTC)
        report = dashboard_report.build_dashboard_report().as_dict(users=False)
    checked = CheckedReport(report, at, is_responding)
    st.session_state["report"] = checked
    return checked


def _is_database_responding() -> bool:
    try:
        current_reader.ping()
    except TrackerError:
        return False
    return True


def discard_report() -> None:
    st.session_state.pop("report", None)


def report_summary() -> None:
    """Draw whether calls can be recorded now, and the recommendations, the most likely cause first."""
    checked = current_report()
    report = checked.report
    with st.container(horizontal=True, vertical_alignment="center"):
        healthy, unhealthy = _("This process can record calls."), _("This process can't record calls.")
        icon, verdict = ("passed", healthy) if report["healthy"] else ("failed", unhealthy)
        st.markdown(f"{_ICONS[icon]} **{verdict}**", width="content")
        st.caption(computed_at_text(checked.at), width="content")
        st.button(_("Check again"), icon=":material/refresh:", key="check_again", on_click=discard_report)
    recommendation_list(recommendations_of(report))
    steps = [step for step in report["database"]["steps"] if step["ok"] is not None]
    if steps:
        st.caption(" · ".join(_step_text(step) for step in steps))


def _step_text(step: Mapping[str, Any]) -> str:
    text = _("{step} {time}") if step["ok"] else _("{step} failed after {time}")
    return text.format(step=step["name"], time=milliseconds(step["ms"]))


def recommendation_list(items: list[dict[str, str]]) -> None:
    """Draw the cause, evidence, and remedy of each item. Not Markdown, because they contain names from URLs."""
    if not items:
        empty_section(_("Nothing to do."))
    for item in items:
        with st.container(horizontal=True, wrap=False, gap="small"):
            st.markdown(_ICONS.get(item["severity"], _ICONS["info"]), width="content")
            with st.container(gap="xxsmall"):
                st.text(translate(item["cause"]))
                if item["remedy"]:
                    st.text(_("To do: {remedy}").format(remedy=translate(item["remedy"])))
                if item["evidence"]:
                    with st.expander(_("Evidence")):
                        st.text(translate(item["evidence"]))


def comparison(report: Mapping[str, Any]) -> None:
    """Draw the form that fetches the report of a deployment, and the differences from this report."""
    st.markdown(_("Compares this debug report with the report of a deployment, and explains the differences."))
    local = not report["runtime"]["deployed"]
    with st.form("against", border=False):
        left, right = st.columns(2)
        url = left.text_input(_("URL of the deployment"), placeholder="https://your-app.vercel.app")
        token = right.text_input(_("TRACKER_DEBUG_TOKEN of the deployment"), type="password")
        private = local and st.checkbox(_("The deployment is on this machine or in a private network"))
        is_submitted = st.form_submit_button(_("Compare"), type="primary", icon=":material/compare_arrows:")
    if is_submitted:
        try:
            with st.spinner(_("Fetching the report")):
                st.session_state["deployed_report"] = fetch_report(url, token or None, private=bool(private))
        except FetchError as error:
            st.session_state.pop("deployed_report", None)
            st.text(translate(str(error)))
    if (deployed_report := st.session_state.get("deployed_report")) is not None:
        comparison_tables(compare_reports(report, deployed_report))
        st.markdown(f"**{_('Recommendations for the deployment')}**")
        recommendation_list(recommendations_of(deployed_report))


def comparison_tables(lines: tuple[ComparisonLine, ...]) -> None:
    """Draw the differences, and the equal lines in an expander."""
    different = [line for line in lines if line.differs]
    same = [line for line in lines if not line.differs]
    number = plural("{n} difference", "{n} differences", len(different)).format(n=exact(len(different)))
    st.markdown(f"**{number if different else _('No difference')}**")
    if different:
        for line in different:
            _difference(line)
    if same:
        title = plural(
            "{n} line is equal or known for one side only",
            "{n} lines are equal or known for one side only",
            len(same),
        )
        with st.expander(title.format(n=exact(len(same)))):
            _equal_lines_table(same)


def _difference(line: ComparisonLine) -> None:
    """Draw a difference with its whole texts, which the cells of a table would cut."""
    with st.container(border=True, gap="xxsmall"):
        with st.container(horizontal=True, wrap=False, gap="small"):
            st.markdown(_ICONS.get(line.weight, _ICONS["info"]), width="content")
            st.text(translate(line.key), width="stretch")
        for label, value in ((_("This process"), line.here), (_("Deployment"), line.there)):
            st.text(f"{label}: {translate(value)}")
        if line.explains:
            st.text(translate(line.explains))


def _equal_lines_table(lines: list[ComparisonLine]) -> None:
    names = ("key", "here", "there")
    data = pd.DataFrame([{name: translate(getattr(line, name)) for name in names} for line in lines])
    columns = {
        "key": text_column(_("What"), 200),
        "here": text_column(_("This process"), 380),
        "there": text_column(_("Deployment"), 380),
    }
    table(data, columns, alt=_("Equal lines"))


def checklist() -> None:
    """Draw the checklist and the button that runs it."""
    st.markdown(_("The checks write, read, repeat, and remove two test recordings. They write nothing else."))
    container = st.container(gap="xsmall")
    if st.button(_("Run all"), type="primary", icon=":material/play_arrow:", key="run_checklist"):
        try:
            check_rate_limit()
        except RateLimited as error:
            text = _("Too many test recordings. Try again in {n} s.")
            st.warning(text.format(n=exact(error.wait_s)))
        else:
            st.session_state["checklist"] = _run_all()
    results: list[ChecklistItem] = st.session_state.get("checklist", [])
    with container:
        for number, title in enumerate(ITEM_TITLES):
            _checklist_item(title, results[number] if number < len(results) else None)
        if results:
            passed = sum(item.status == "passed" for item in results)
            st.progress(passed / len(ITEM_TITLES), _("{n} of {all} passed").format(n=passed, all=len(ITEM_TITLES)))


def _run_all() -> list[ChecklistItem]:
    bar, items = st.progress(0.0, _("Checking")), []
    for item in _build_checklist().run():
        items.append(item)
        bar.progress(len(items) / len(ITEM_TITLES), translate(item.title))
    bar.empty()
    return items


def _build_checklist() -> Checklist:
    def has_record(identifier: object) -> bool:
        return usage_totals.record(current_reader.reader(), identifier) is not None

    def call_debug_route() -> tuple[int, Mapping[str, Any]]:
        # Over HTTP and the server's port, as other clients do.
        port, base = st.get_option("server.port"), str(st.get_option("server.baseUrlPath") or "").strip("/")
        report_url = f"http://127.0.0.1:{port}/" + (f"{base}/" if base else "") + REPORT_PATH.strip("/")
        report = fetch_report(report_url, current_reader.settings().debug_token, private=True)
        return (200 if report.get("healthy") else 503), report

    database_url = dashboard_report.dashboard_database_url()
    rollup = rollup_check(database_url.schema) if database_url else None
    return Checklist(
        dashboard_report.build_dashboard_report,
        database_url,
        dashboard_reads=has_record,
        call_debug_route=call_debug_route,
        reserve_connections=dashboard_report.reserve_two_connections,
        check_rollup=rollup,
    )


def _checklist_item(title: str, item: ChecklistItem | None) -> None:
    with st.container(horizontal=True, wrap=False, gap="small"):
        st.markdown(_ICONS[item.status if item else "not_checked"], width="content")
        with st.container(gap=None, width="stretch"):
            st.markdown(translate(title))
            if item is not None:
                checked_at = item.checked_at.astimezone(ZoneInfo(user_timezone()))
                st.text(f"{translate(item.evidence)} ({checked_at:%H:%M:%S}, {milliseconds(item.ms)})")
