"""The button *Views* of the sidebar and its dialog: open, save, replace and delete saved views."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import streamlit as st

from pages.support import auth, query_params
from pages.support.formats import escape_markdown, long_date
from pages.support.i18n import _, keep_language
from pages.support.page_titles import page_titles
from pages.widgets.error_box import show_error
from pages.widgets.time_range import user_timezone
from tracker import saved_views, settings
from tracker.audit.table_rights import WRITES, TableRights
from tracker.database.connect import Connection
from tracker.errors import TrackerError
from tracker.property_names import PREFIX
from tracker.reports.engine import current_reader
from tracker.saved_views import SAVED_VIEWS, SavedView

_PAGES = {file.stem for file in Path(__file__).parent.parent.glob("*.py")} - {"__init__", "shell"}
# The time zone and the language belong to the reader, not to the view. Streamlit reserves names with `embed`.
_READER_SETTINGS = {"tz", "lang"}
_PARAMETER = re.compile(r"(?!embed)[a-z][a-z_]{0,39}")
Result = TypeVar("Result")
_RESULT, _REPLACED, _DELETED, _SELECTED = "views_result", "views_replaced", "views_deleted", "views_selected"


def views_button(page: str) -> None:
    """Draw the button in the sidebar; a click opens the dialog. `page` is the path of the open page."""
    with st.sidebar:
        is_clicked = st.button(_("Views"), icon=":material/bookmarks:", key="views", width="stretch")
    if is_clicked:
        for key in (_RESULT, _REPLACED, _DELETED, _SELECTED):
            st.session_state.pop(key, None)
        st.dialog(_("Saved views"))(keep_language(_draw))(page or "overview")


def _draw(page: str) -> None:
    try:
        rights, views = _with_views(lambda connection, rights: (rights, _read(connection, rights)))
    except TrackerError as error:
        show_error(error)
        return
    if not rights.exists(SAVED_VIEWS):
        st.markdown(_("The table of the saved views does not exist yet. Create it:"))
        st.code("token-tracker migrate", language="sh")
        return
    if not rights.allows(SAVED_VIEWS, ["SELECT"]):
        st.markdown(_("The database role of the dashboard may not read the saved views. Allow it:"))
        st.code(rights.grant(SAVED_VIEWS, ["SELECT"]), language="sql", wrap_lines=True)
        return
    is_editor = auth.current_editor() is not None
    can_write = is_editor and rights.allows(SAVED_VIEWS, WRITES)
    if result := st.session_state.pop(_RESULT, None):
        st.success(result, icon=":material/check_circle:")
    _view_list(page, views, can_write=can_write)
    if can_write:
        _save_form(page)
    elif is_editor and rights.read_only:
        st.markdown(_("The database takes no writes now, so views can't be saved."))
    elif is_editor:
        st.markdown(_("The database role of the dashboard may not save views. Allow it:"))
        st.code(rights.grant(SAVED_VIEWS, WRITES), language="sql", wrap_lines=True)
    else:
        st.caption(auth.write_refusal())


def _read(connection: Connection, rights: TableRights) -> list[SavedView]:
    return saved_views.read_views(connection, rights) if rights.allows(SAVED_VIEWS, ["SELECT"]) else []


def _with_views(action: Callable[[Connection, TableRights], Result]) -> Result:
    reader = current_reader.reader()
    with reader.borrow() as connection:
        return action(connection, saved_views.read_access(connection, reader.database.url.schema))


def _view_list(page: str, views: list[SavedView], *, can_write: bool) -> None:
    if not views:
        st.caption(_("No view is saved yet."))
        return
    by_name = {view.name: view for view in views}
    previous = st.session_state.get(_SELECTED)
    if previous and previous not in by_name:
        st.warning(_("The view {name} no longer exists.").format(name=escape_markdown(previous)))
    name = st.selectbox(_("View"), list(by_name), key="view_name")
    view = by_name.get(name or "")
    if view is None:
        return
    st.session_state[_SELECTED] = view.name
    st.text(_description(view))
    # The keys contain the name: a click on a view that another reader deleted does not apply to another view.
    with st.container(horizontal=True):
        if st.button(_("Open the view"), type="primary", icon=":material/open_in_new:", key=f"open_view {view.name}"):
            _open(page, view)
        if can_write and st.button(_("Delete"), icon=":material/delete:", key=f"delete_view {view.name}"):
            st.session_state[_DELETED] = view.name
    if can_write and st.session_state.get(_DELETED) == view.name:
        st.warning(_("All readers lose the view {name}.").format(name=escape_markdown(view.name)))
        if st.button(_("Delete the view"), type="primary", key=f"confirm_delete_view {view.name}"):
            _delete(view.name)


def _description(view: SavedView) -> str:
    title = page_titles().get(view.page, view.page)
    if view.saved_at is None:
        return title
    at = view.saved_at.astimezone(settings.load_time_zone(user_timezone()))
    when = f"{long_date(at)}, {at:%H:%M}"
    if view.saved_by:
        return _("Page {page}, saved on {when} by {who}").format(page=title, when=when, who=view.saved_by)
    return _("Page {page}, saved on {when}").format(page=title, when=when)


def _open(page: str, view: SavedView) -> None:
    """Open the page of a view. The page's widgets parse the parameters as they parse those of a link."""
    if view.page not in _PAGES:
        st.error(_("The page of this view does not exist in this version of the dashboard."))
        return
    names = query_params.NAMES | query_params.view().keys() | view.parameters.keys()
    chosen = {name: view.parameters.get(name) for name in names if _is_saved(name)}
    if view.page == page:
        query_params.set_and_rerun(**chosen)
    query_params.switch_page(f"{view.page}.py", chosen)


def _is_saved(name: str) -> bool:
    is_parameter = name.startswith(PREFIX) or _PARAMETER.fullmatch(name) is not None
    return name not in _READER_SETTINGS and is_parameter


def _save_form(page: str) -> None:
    with st.form("save_view", border=False):
        text = st.text_input(
            _("Save the present view as"), max_chars=saved_views.MAX_NAME_LENGTH, placeholder=_("Name"), key="view_text"
        )
        is_submitted = st.form_submit_button(_("Save"), icon=":material/save:")
    if is_submitted:
        st.session_state.pop(_REPLACED, None)
        name = saved_views.clean_name(text or "")
        if name is None:
            st.error(_("Enter a name of 1 to {n} characters.").format(n=saved_views.MAX_NAME_LENGTH))
        else:
            _save(page, name, replace=False)
    if replaced := st.session_state.get(_REPLACED):
        st.warning(_("A view with this name exists: {name}").format(name=escape_markdown(replaced)))
        if st.button(_("Replace the view"), type="primary", key="confirm_replace_view"):
            _save(page, replaced, replace=True)


def _save(page: str, name: str, *, replace: bool) -> None:
    editor = auth.current_editor()
    if editor is None:
        st.error(auth.write_refusal())
        return
    parameters = {key: value for key, value in query_params.view().items() if _is_saved(key)}
    view = SavedView(name, page, parameters, editor.name)
    try:
        result = _with_views(
            lambda connection, rights: saved_views.save_view(connection, rights, view, replace=replace)
        )
    except TrackerError as error:
        show_error(error)
        return
    if result == "exists":
        st.session_state[_REPLACED] = name
    elif result == "full":
        st.error(_("There are {n} saved views, which is the limit. Delete one first.").format(n=saved_views.MAX_VIEWS))
    else:
        _finish(_("The view {name} is saved.").format(name=escape_markdown(name)))


def _delete(name: str) -> None:
    if auth.current_editor() is None:
        st.error(auth.write_refusal())
        return
    try:
        _with_views(lambda connection, rights: saved_views.delete_view(connection, rights, name))
    except TrackerError as error:
        show_error(error)
        return
    _finish(_("The view {name} is deleted.").format(name=escape_markdown(name)))


def _finish(text: str) -> None:
    """Draw the dialog again with the changed list and a message."""
    for key in (_REPLACED, _DELETED, _SELECTED):
        st.session_state.pop(key, None)
    st.session_state[_RESULT] = text
    st.rerun(scope="fragment")
