"""The frame of every page: navigation, which database this is, whether recording works, time zone and language."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from zoneinfo import available_timezones

import streamlit as st

from pages.support import auth, query_params
from pages.support.i18n import LANGUAGES, _, language, preferred, speak, spoken
from pages.widgets import status_badge
from pages.widgets.error_box import guarded
from pages.widgets.layout import database_name
from pages.widgets.time_range import foreign_zone, home_zone, known_zone, zone
from tracker.errors import TrackerError
from tracker.reports.engine import current_reader

HERE = Path(__file__).parent
_STATUS_EVERY_S = 10
# Korean words stay whole at the end of a line. On a phone a table's toolbar would cover what stands above it; the same
# is in its own menu. Streamlit writes white on a main button, which the dark theme's light blue doesn't bear.
_STYLE = """
[data-testid=stApp] :is(p, label, [data-testid=stText], [data-testid=stText] *) {
  word-break: keep-all; overflow-wrap: break-word;
}
@media (max-width: 640px) { [data-testid=stElementToolbar] { display: none } }
[data-testid=stMetric] { font-variant-numeric: tabular-nums }
[data-testid^=stBaseButton-primary] :is(p, span) { color: light-dark(#ffffff, #0e121a) }
"""


def main() -> None:
    st.set_page_config(page_title="Token Tracker", page_icon=str(HERE / "logo.svg"), layout="wide")
    st.html(f"<style>{_STYLE}</style>")
    st.logo(str(HERE / "wordmark.svg"), size="large", icon_image=str(HERE / "logo.svg"))
    asked = st.query_params.get("lang") or query_params.text("lang")
    speak(asked if asked in LANGUAGES else preferred(st.context.locale))
    if not auth.admitted():
        return
    page = st.navigation(
        {
            _("Usage"): [
                st.Page("overview.py", title=_("Overview"), icon=":material/monitoring:", default=True),
                st.Page("explorer.py", title=_("Explorer"), icon=":material/table_chart:", url_path="explorer"),
            ],
            _("Live"): [
                st.Page("connections.py", title=_("Connections"), icon=":material/cable:", url_path="connections"),
                st.Page("performance.py", title=_("Performance"), icon=":material/speed:", url_path="performance"),
            ],
            _("Setup"): [
                st.Page("environment.py", title=_("Environment"), icon=":material/checklist:", url_path="environment"),
                st.Page("recordings.py", title=_("Test recordings"), icon=":material/science:", url_path="recordings"),
            ],
        }
    )
    query_params.follow(page.url_path)
    with st.sidebar:
        where()
        status()
        reader_settings()
        auth.leaving()
    guarded(page.run)


def where() -> None:
    """Which database the figures come from."""
    with st.container(gap="xxsmall"):
        st.caption(_("Database"))
        try:
            reader = current_reader.reader()
        except TrackerError:
            st.text(_("None that can be used"))
        else:
            st.text(database_name(reader))
            if reader.database.embedded:
                st.caption(_("Your data stays on this machine."))


def status() -> None:
    """Whether recording works; kept true while the page is open."""
    st.fragment(spoken(status_badge.show), run_every=_STATUS_EVERY_S)()


def reader_settings() -> None:
    """In whose days the figures are counted, and in which words."""
    browsers = home_zone()
    zones = list(dict.fromkeys([browsers, zone(), "UTC", *_zones()]))
    query_params.prepare("tz", "tz", lambda text: known_zone(text) or browsers)
    place = st.selectbox(_("Time zone"), zones, key="tz", persist_state="session")
    if (foreign := foreign_zone()) and place == "UTC":
        st.caption(_("Your browser's time zone, {zone}, isn't known here: times are in UTC.").format(zone=foreign[:60]))
    query_params.put("tz", place if place and place != browsers else None)
    own = preferred(st.context.locale)
    query_params.prepare("lang", "lang", lambda text: text if text in LANGUAGES else own)
    chosen = st.segmented_control(
        _("Language"),
        list(LANGUAGES),
        format_func=LANGUAGES.__getitem__,
        required=True,
        key="lang",
        persist_state="session",
    )
    if chosen is not None and chosen != language():
        query_params.change(lang=None if chosen == own else chosen)
    query_params.put("lang", None if chosen == own else chosen)


@cache
def _zones() -> list[str]:
    return sorted(
        name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "posix", "right"))
    )


main()
