"""The shell around every page: access check, navigation, database, status badge, time zone, and language."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pages.support import auth, query_params
from pages.support.i18n import _, keep_language, language, language_for_locale, set_language
from pages.support.page_titles import page_titles
from pages.widgets import status_badge
from pages.widgets.error_box import draw_guarded
from pages.widgets.layout import database_name
from pages.widgets.time_range import (
    canonical_timezone,
    default_timezone,
    timezone_names,
    unknown_browser_timezone,
    user_timezone,
)
from pages.widgets.view_dialog import views_button
from tracker.errors import TrackerError
from tracker.messages.translation import LANGUAGES
from tracker.reports.engine import current_reader

PAGES = Path(__file__).parent
_STATUS_EVERY_S = 10
# Korean words are not broken at the end of a line. On a phone, a table's toolbar would cover the content above it; the
# table's menu has the same actions. Primary buttons need dark text in the dark theme: white on light blue is too pale.
_STYLE = """
[data-testid=stApp] :is(p, label, [data-testid=stText], [data-testid=stText] *) {
  word-break: keep-all; overflow-wrap: break-word;
}
@media (max-width: 640px) { [data-testid=stElementToolbar] { display: none } }
[data-testid=stMetric] { font-variant-numeric: tabular-nums }
[data-testid^=stBaseButton-primary] :is(p, span) { color: light-dark(#ffffff, #0e121a) }
"""


def main() -> None:
    st.set_page_config(page_icon=str(PAGES / "logo.svg"), layout="wide")
    st.html(f"<style>{_STYLE}</style>")
    st.logo(str(PAGES / "wordmark.svg"), size="large", icon_image=str(PAGES / "logo.svg"))
    selected = st.query_params.get("lang") or query_params.get("lang")
    set_language(selected if selected in LANGUAGES else language_for_locale(st.context.locale))
    if not auth.require_access():
        return
    page = st.navigation(
        {
            _("Usage"): [
                _page("overview", "monitoring"),
                _page("explorer", "table_chart"),
                _page("latency", "timer"),
                _page("calls", "list_alt"),
                _page("ai_sessions", "forum"),
                _page("what_if", "compare_arrows"),
            ],
            _("Live"): [_page("connections", "cable"), _page("performance", "speed")],
            _("Setup"): [
                _page("environment", "checklist"),
                _page("prices", "sell"),
                _page("recordings", "science"),
            ],
        },
        expanded=True,
    )
    st.set_page_config(page_title=f"{page.title} · Token Tracker")
    query_params.sync_from_address(page.url_path)
    with st.sidebar:
        database_info()
        recording_status()
        user_settings()
        auth.sign_out_button()
    views_button(page.url_path)
    draw_guarded(page.run)


def database_info() -> None:
    """Draw the label of the database."""
    with st.container(gap="xxsmall"):
        st.caption(_("Database"))
        try:
            reader = current_reader.reader()
        except TrackerError:
            st.text(_("No usable database"))
        else:
            st.text(database_name(reader))
            if reader.database.embedded:
                st.caption(_("Your data stays on this machine."))


def recording_status() -> None:
    """Draw the status badge, which refreshes while the page is open."""
    st.fragment(keep_language(status_badge.show), run_every=_STATUS_EVERY_S)()


def user_settings() -> None:
    """Draw the time zone and the language of the user."""
    default_zone = default_timezone()
    zones = list(dict.fromkeys([default_zone, user_timezone(), "UTC", *timezone_names()]))
    query_params.init_widget("tz", "tz", lambda text: canonical_timezone(text) or default_zone)
    zone = st.selectbox(_("Time zone"), zones, key="tz", persist_state="session")
    if (unknown := unknown_browser_timezone()) and zone == "UTC":
        text = _("Your browser's time zone {zone} is unknown to this server. Times are in UTC.")
        st.caption(text.format(zone=unknown[:60]))
    query_params.set("tz", zone if zone and zone != default_zone else None)
    default_language = language_for_locale(st.context.locale)
    query_params.init_widget("lang", "lang", lambda text: text if text in LANGUAGES else default_language)
    selected = st.segmented_control(
        _("Language"),
        list(LANGUAGES),
        format_func=LANGUAGES.__getitem__,
        required=True,
        key="lang",
        persist_state="session",
    )
    if selected is not None and selected != language():
        query_params.set_and_rerun(lang=None if selected == default_language else selected)
    query_params.set("lang", None if selected == default_language else selected)


def _page(name: str, icon: str) -> st.Page:
    return st.Page(
        f"{name}.py",
        title=page_titles()[name],
        icon=f":material/{icon}:",
        url_path=None if name == "overview" else name,
        default=name == "overview",
    )


main()
