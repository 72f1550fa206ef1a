"""The Environment page's parts: the report, here against there, the checklist."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st

from pages.support.formats import exact, milliseconds
from pages.support.i18n import _, plural
from pages.support.message_text import told
from pages.support.test_calls import TooMany, admit
from pages.widgets.time_range import zone
from tracker.diagnostics import dashboard_report
from tracker.diagnostics.checklist import ITEM_TITLES, Checklist, ChecklistItem
from tracker.diagnostics.compare_reports import ComparisonLine, compare_reports, recommendations_of
from tracker.diagnostics.fetch_report import REPORT_PATH, FetchError, fetch_report
from tracker.diagnostics.rollup_check import rollup_check
from tracker.reports import usage_totals
from tracker.reports.engine import current_reader

FRESH_S = 30.0
_SIGNS = {
    "error": ":red[:material/error:]",
    "warning": ":orange[:material/warning:]",
    "info": ":blue[:material/info:]",
    "passed": ":green[:material/check_circle:]",
    "failed": ":red[:material/cancel:]",
    "not_checked": ":gray[:material/radio_button_unchecked:]",
}


def current_report() -> dict[str, Any]:
    """The debug report of this session; made again when it is old or somebody asks."""
    kept: tuple[float, dict[str, Any]] | None = st.session_state.get("report")
    if kept is None or time.monotonic() - kept[0] > FRESH_S:
        with st.spinner(_("Looking at variables, network, database and outbox")):
            kept = (time.monotonic(), dashboard_report.build_dashboard_report().as_dict(users=False))
        st.session_state["report"] = kept
    return kept[1]


def forget_report() -> None:
    st.session_state.pop("report", None)


def findings(report: Mapping[str, Any]) -> None:
    """The verdict, and what to do about it, the most likely cause first."""
    with st.container(horizontal=True, vertical_alignment="center"):
        good, bad = _("Calls can be recorded from here."), _("Calls can't be recorded from here.")
        sign, verdict = ("passed", good) if report["healthy"] else ("failed", bad)
        st.markdown(f"{_SIGNS[sign]} **{verdict}**", width="content")
        st.button(_("Check again"), icon=":material/refresh:", key="check_again", on_click=forget_report)
    recommendations(recommendations_of(report))
    steps = [step for step in report["database"]["steps"] if step["ok"] is not None]
    if steps:
        st.caption(" · ".join(_step(step) for step in steps))


def _step(step: Mapping[str, Any]) -> str:
    words = _("{step} {time}") if step["ok"] else _("{step} failed after {time}")
    return words.format(step=step["name"], time=milliseconds(step["ms"]))


def recommendations(found: list[dict[str, str]]) -> None:
    """Each with its cause, evidence and remedy; as text, since they hold names out of addresses."""
    if not found:
        st.caption(_("Nothing to do."))
    for item in found:
        with st.container(gap="xxsmall"):
            with st.container(horizontal=True, wrap=False, gap="small"):
                st.markdown(_SIGNS.get(item["severity"], _SIGNS["info"]), width="content")
                st.text(told(item["cause"]), width="stretch")
            if item["remedy"]:
                st.text(_("To do: {remedy}").format(remedy=told(item["remedy"])))
            if item["evidence"]:
                with st.expander(_("Evidence")):
                    st.text(told(item["evidence"]))


def against(report: Mapping[str, Any]) -> None:
    """Fetch a deployed report and set both side by side, differences first."""
    st.markdown(_("The debug report of a deployment beside this one: what differs, and what that explains."))
    local = not report["runtime"]["deployed"]
    with st.form("against", border=False):
        left, right = st.columns(2)
        url = left.text_input(_("Address of the deployed report"), placeholder="https://your-app.vercel.app")
        token = right.text_input(_("Its TRACKER_DEBUG_TOKEN"), type="password")
        private = local and st.checkbox(_("It is on this machine or in a private network"))
        asked = st.form_submit_button(_("Compare"), type="primary", icon=":material/compare_arrows:")
    if asked:
        try:
            with st.spinner(_("Fetching the report")):
                st.session_state["there"] = fetch_report(url, token or None, private=bool(private))
        except FetchError as error:
            st.session_state.pop("there", None)
            st.text(told(str(error)))
    if (there := st.session_state.get("there")) is not None:
        side_by_side(compare_reports(report, there))
        st.markdown(f"**{_('What the report there recommends')}**")
        recommendations(recommendations_of(there))


def side_by_side(lines: tuple[ComparisonLine, ...]) -> None:
    """Here | there; the equal lines are folded away."""
    different = [line for line in lines if line.differs]
    same = [line for line in lines if not line.differs]
    number = plural("{n} difference", "{n} differences", len(different)).format(n=exact(len(different)))
    st.markdown(f"**{number if different else _('No difference')}**")
    if different:
        _table(different, _("Differences between here and there"))
    if same:
        with st.expander(_("{n} lines are the same or known on one side only").format(n=exact(len(same)))):
            _table(same, _("What is the same here and there"))


def _table(lines: list[ComparisonLine], alt: str) -> None:
    said = ("here", "there", "explains")
    data = pd.DataFrame([line.as_dict() | {name: told(getattr(line, name)) for name in said} for line in lines])
    weights = {"error": _("error"), "warning": _("warning"), "info": _("info"), "same": _("same")}
    data["weight"] = data["weight"].map(weights)
    config = {
        "weight": st.column_config.TextColumn("", width=70),
        "key": st.column_config.TextColumn(_("What"), width=230),
        "here": st.column_config.TextColumn(_("Here"), width=150),
        "there": st.column_config.TextColumn(_("There"), width=150),
        "explains": st.column_config.TextColumn(_("What it explains")),
    }
    order = [name for name in config if name != "explains" or lines[0].differs]
    st.dataframe(
        data, column_config=config, column_order=order, hide_index=True, row_height=34, height="content", alt=alt
    )


def checklist() -> None:
    """The seven items; one button checks them all."""
    st.markdown(_("Two test recordings are made, read back, repeated and removed; nothing else is written."))
    place = st.container(gap="xsmall")
    if st.button(_("Run all"), type="primary", icon=":material/play_arrow:", key="run_checklist"):
        try:
            admit()
        except TooMany as refusal:
            text = _("Too many test recordings at the moment. The next one can be made in {n} s.")
            st.warning(text.format(n=f"{refusal.wait_s:.0f}"))
        else:
            st.session_state["checklist"] = _run_all()
    found: list[ChecklistItem] = st.session_state.get("checklist", [])
    with place:
        for number, title in enumerate(ITEM_TITLES):
            _item(title, found[number] if number < len(found) else None)
        if found:
            passed = sum(item.status == "passed" for item in found)
            st.progress(passed / len(ITEM_TITLES), _("{n} of {all} passed").format(n=passed, all=len(ITEM_TITLES)))


def _run_all() -> list[ChecklistItem]:
    bar, items = st.progress(0.0, _("Checking")), []
    for item in _checks().run():
        items.append(item)
        bar.progress(len(items) / len(ITEM_TITLES), told(item.title))
    bar.empty()
    return items


def _checks() -> Checklist:
    def shown(identifier: object) -> bool:
        return usage_totals.record(current_reader.reader(), identifier) is not None

    def ask() -> tuple[int, Mapping[str, Any]]:
        # Asked as anybody else would, over the server's own port.
        port, base = st.get_option("server.port"), str(st.get_option("server.baseUrlPath") or "").strip("/")
        address = f"http://127.0.0.1:{port}/" + (f"{base}/" if base else "") + REPORT_PATH.strip("/")
        answer = fetch_report(address, current_reader.settings().debug_token, private=True)
        return (200 if answer.get("healthy") else 503), answer

    address = dashboard_report.dashboard_database_url()
    rollup = rollup_check(address.schema) if address else None
    return Checklist(
        dashboard_report.build_dashboard_report,
        address,
        dashboard_reads=shown,
        call_debug_route=ask,
        reserve_connections=dashboard_report.reserve_two_connections,
        check_rollup=rollup,
    )


def _item(title: str, item: ChecklistItem | None) -> None:
    with st.container(horizontal=True, wrap=False, gap="small"):
        st.markdown(_SIGNS[item.status if item else "not_checked"], width="content")
        with st.container(gap=None, width="stretch"):
            st.markdown(told(title))
            if item is not None:
                at = item.checked_at.astimezone(ZoneInfo(zone()))
                st.text(f"{told(item.evidence)} ({at:%H:%M:%S}, {milliseconds(item.ms)})")
