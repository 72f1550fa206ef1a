"""The card of the indexed properties: their progress, and the choice of the keys."""

from __future__ import annotations

import streamlit as st

from pages.sections.pricing.results import set_result, show_result, table_key
from pages.sections.pricing.write_access import require_editor
from pages.support.i18n import _, keep_language
from pages.support.property_labels import one_line
from pages.widgets.empty_state import empty_section
from pages.widgets.error_box import show_error
from pages.widgets.filter_pills import known_properties
from pages.widgets.layout import card
from tracker.errors import DatabaseError, SettingError
from tracker.reports import Reader
from tracker.reports.engine import current_reader
from tracker.rollups.property_keys import choose_keys
from tracker.rollups.refresh import property_shares
from tracker.setting_parsers import MAX_PROPERTIES, MAX_PROPERTY_LENGTH, is_property_key

RESULT = "properties_result"
_REFRESH_S = 2.0
_MAX_LABEL = 60


def properties_card(reader: Reader, *, can_choose: bool) -> None:
    """Draw the indexed properties, and the form for readers who may choose them; nothing without rollups."""
    if not reader.access().reads:
        return
    with reader.borrow() as connection:
        shares = property_shares(connection, reader.table())
    setting = current_reader.settings().properties
    with card(_("Indexed properties"), _("for fast totals by a key of the metadata")):
        show_result(RESULT)
        if shares:
            is_unfinished = min(shares.values()) < 1
            refresh_s = _REFRESH_S if is_unfinished else None
            st.fragment(keep_language(_draw_progress), run_every=refresh_s, key="property_progress")(
                reader, was_unfinished=is_unfinished
            )
        else:
            empty_section(_("None. Totals by a property read all calls of the range, which takes longer."))
        if setting is not None:
            st.caption(_("`TRACKER_PROPERTIES` of the dashboard sets these keys, so they can't be changed here."))
        elif can_choose:
            _form(reader, list(shares))


def _draw_progress(reader: Reader, *, was_unfinished: bool) -> None:
    """Draw the progress of each key. Reruns the page once after the end, so that it is not read again and again."""
    reader.rollup_state()  # starts the refresh that computes them
    try:
        with reader.borrow() as connection:
            shares = property_shares(connection, reader.table())
    except DatabaseError as error:
        show_error(error)
        return
    if was_unfinished and all(share == 1 for share in shares.values()):
        st.rerun()
    for name, share in shares.items():
        if share < 1:
            st.text(one_line(name, _MAX_LABEL))
            st.progress(share, _("{n}% of the time range is computed.").format(n=int(share * 100)))
        else:
            st.text(f"{one_line(name, _MAX_LABEL)} ✓")


def _form(reader: Reader, indexed: list[str]) -> None:
    known = [entry.key for entry in known_properties(reader).properties if is_property_key(entry.key)]
    with st.form("indexed_properties", border=False):
        chosen = st.multiselect(
            _("Keys (at most {n})").format(n=MAX_PROPERTIES),
            list(dict.fromkeys([*indexed, *known])),
            default=indexed,
            format_func=lambda key: one_line(key, _MAX_LABEL),
            max_selections=MAX_PROPERTIES,
            accept_new_options=True,
            key=table_key("indexed_keys"),
        )
        st.caption(
            _(
                "A key with a value of its own in each call, such as a request id, is not faster with an index. If you"
                " remove a key, the values of calls that are pruned afterwards are lost."
            )
        )
        is_submitted = st.form_submit_button(_("Save the keys"), icon=":material/save:")
    if is_submitted:
        _save(reader, [str(key).strip() for key in chosen])


def _save(reader: Reader, keys: list[str]) -> None:
    if not all(map(is_property_key, keys)):
        st.error(_("A key has 1 to {n} printable characters.").format(n=MAX_PROPERTY_LENGTH), icon=":material/error:")
        return
    try:
        editor = require_editor()
        with reader.borrow() as connection:
            choose_keys(connection, reader.table(), keys, editor)
    except (SettingError, DatabaseError) as error:
        show_error(error)
        return
    set_result(RESULT, _("The keys are saved. Past calls are computed in the background."))
    st.rerun()
