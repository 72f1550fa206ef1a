"""The form that adds or changes a budget, and the dialog that removes one."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

import streamlit as st

from pages.sections.budget_bars import forget_budgets
from pages.sections.pricing.budget_table import period_label, scope_label
from pages.sections.pricing.results import set_result
from pages.sections.pricing.write_access import require_editor
from pages.support.formats import escape_markdown
from pages.support.i18n import _, keep_language
from pages.support.message_text import translate
from pages.widgets.error_box import show_error
from pages.widgets.time_range import timezone_names, user_timezone
from tracker.budgets import budget_store
from tracker.budgets.budget import ALERT_PERCENT, PERIODS, SCOPES, Budget
from tracker.budgets.property_pairs import Pairs, from_subject, pair_text, parse_pair, to_subject
from tracker.errors import DatabaseError, SettingError
from tracker.reports import Reader
from tracker.usage import replace_unstorable

RESULT = "budget_result"
_EDITED, _NUMBER = "edited_budget", "budget_form_number"
_MAX_NAME_LENGTH = 200
_TOKENS = re.compile(r"\d{1,3}(?:,\d{3})+|\d+", re.ASCII)
_DOLLARS = re.compile(rf"(?:{_TOKENS.pattern})(?:\.\d+)?", re.ASCII)


def edit_budget(budget: Budget | None) -> None:
    """Fill the form with a budget to change it, or empty it for a new one."""
    st.session_state[_EDITED] = budget
    st.session_state[_NUMBER] = st.session_state.get(_NUMBER, 0) + 1


def budget_form(reader: Reader, names: Collection[str]) -> None:
    """Draw the form, and save the budget when the reader submits valid values. `names` are those of the budgets."""
    edited: Budget | None = st.session_state.get(_EDITED)
    number = st.session_state.get(_NUMBER, 0)
    label = _("Change the budget") if edited else _("Add a budget")
    with (
        st.expander(label, icon=":material/savings:", expanded=edited is not None or not names),
        st.form(f"budget_form_{number}", border=False, enter_to_submit=False),
    ):
        if edited:
            st.text(edited.name)
        values = _inputs(edited)
        with st.container(horizontal=True):
            is_submitted = st.form_submit_button(_("Save the budget"), type="primary", icon=":material/save:")
            if edited and st.form_submit_button(_("Cancel")):
                edit_budget(None)
                st.rerun()
        if is_submitted:
            budget, problems = read_form(values, edited, names)
            for problem in problems:
                st.error(problem, icon=":material/error:")
            if budget is not None:
                _save(reader, budget)


def _inputs(edited: Budget | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    with st.grid(3, min_column_width=200):
        if edited is None:
            values["name"] = st.text_input(_("Name"), max_chars=_MAX_NAME_LENGTH, placeholder="team")
        values["amount"] = st.text_input(
            _("Limit"), format(edited.amount.normalize(), "f") if edited else "", max_chars=30, placeholder="200"
        )
        values["measure"] = st.segmented_control(
            _("Unit"),
            ("usd", "tokens"),
            default=edited.measure if edited else "usd",
            required=True,
            format_func=lambda measure: {"usd": _("US dollars"), "tokens": _("tokens")}[measure],
        )
        values["period"] = st.segmented_control(
            _("Per"), PERIODS, default=edited.period if edited else "month", required=True, format_func=period_label
        )
        values["scope"] = st.selectbox(
            _("Applies to"), SCOPES, SCOPES.index(edited.scope) if edited else 0, format_func=scope_label
        )
        values["subject"] = st.text_input(
            _("User, model, or operation"),
            (edited and not edited.properties and edited.subject) or "",
            max_chars=_MAX_NAME_LENGTH,
            help=_("Empty for a budget of everybody or of properties"),
        )
        values["properties"] = st.text_area(
            _("Properties"),
            _properties_text(edited.properties if edited else ()),
            placeholder="team = growth",
            height=68,
            help=_("For a budget of properties: one key = value a line. A call must match all lines."),
        )
        alert = edited.alert_percent if edited and edited.alert_percent else ALERT_PERCENT
        values["alert_percent"] = st.number_input(_("First alert at (%)"), 1, 100, alert, step=5)
        zone = edited.timezone if edited else user_timezone()
        zones = list(dict.fromkeys([zone, "UTC", *timezone_names()]))
        values["timezone"] = st.selectbox(_("Time zone of its days"), zones)
    return values


def read_form(
    values: Mapping[str, Any], edited: Budget | None, names: Collection[str] = ()
) -> tuple[Budget | None, list[str]]:
    """The budget of the form's values, or None with a sentence for each value that is not valid."""
    problems = []
    name = edited.name if edited else replace_unstorable(values["name"]).strip()
    subject = replace_unstorable(values["subject"]).strip()
    amount = _parse_amount(values["amount"], values["measure"])
    if not name:
        problems.append(_("Enter a name."))
    elif edited is None and name in names:
        problems.append(_("A budget with this name exists. Select it in the table to change it."))
    if amount is None:
        problems.append(_("Limit: enter a number above 0, for tokens a whole number. Commas separate thousands."))
    if values["scope"] in {"everybody", "property"} and subject:
        problems.append(_("Only a budget of a user, a model, or an operation names one."))
    elif values["scope"] == "property":
        subject = _parse_properties(values["properties"], problems)
    elif values["scope"] != "everybody" and not subject:
        problems.append(_("Enter the user, the model, or the operation."))
    if problems or amount is None:
        return None, problems
    try:
        budget = Budget(
            name=name,
            scope=values["scope"],
            subject=subject or None,
            period=values["period"],
            measure=values["measure"],
            amount=amount,
            alert_percent=int(values["alert_percent"]),
            timezone=values["timezone"],
        )
    except SettingError as error:
        return None, [escape_markdown(translate(str(error)))]
    return budget, []


def _properties_text(pairs: Pairs) -> str:
    """The pairs for the form, one a line; as JSON if a line could not be read again."""
    lines = [pair_text(*pair) for pair in pairs]
    try:
        is_readable = tuple(map(parse_pair, "\n".join(lines).splitlines())) == pairs
    except SettingError:
        is_readable = False
    return "\n".join(lines) if is_readable else to_subject(pairs)


def _parse_properties(text: str, problems: list[str]) -> str:
    """The subject for the lines of the form, or for its JSON; adds a sentence if they are not valid."""
    try:
        if text.strip().startswith("[["):
            return to_subject(from_subject(text))
        pairs = [parse_pair(line) for line in text.splitlines() if line.strip()]
    except SettingError as error:
        problems.append(escape_markdown(translate(str(error))))
        return ""
    if not pairs:
        problems.append(_("Enter at least one property, such as team = growth."))
    return to_subject(pairs)


def _parse_amount(text: str, measure: str) -> Decimal | None:
    """The amount; None if it is not valid. A comma is valid between groups of three digits only: 1,5 is no amount."""
    pattern = _TOKENS if measure == "tokens" else _DOLLARS
    if pattern.fullmatch(text.strip()) is None:
        return None
    amount = Decimal(text.replace(",", ""))
    return amount if amount > 0 else None


def _save(reader: Reader, budget: Budget) -> None:
    try:
        editor = require_editor()
        with reader.borrow() as connection:
            access = budget_store.read_access(connection, reader.database.url.schema)
            budget_store.require_writable(connection, access)
            budget_store.save(connection, access, budget, editor)
    except DatabaseError as error:
        show_error(error)
        return
    _finish(reader, _("The budget {name} is saved.").format(name=escape_markdown(budget.name)))


def confirm_removal(reader: Reader, budget: Budget) -> None:
    """Open the dialog that removes a budget."""
    st.dialog(_("Remove the budget?"))(keep_language(_confirm_removal))(reader, budget)


def _confirm_removal(reader: Reader, budget: Budget) -> None:
    st.text(budget.name)
    st.markdown(_("Its alerts are removed, too. Calls and costs stay."))
    if st.button(_("Remove the budget"), type="primary", key="confirm_remove_budget"):
        try:
            editor = require_editor()
            with reader.borrow() as connection:
                access = budget_store.read_access(connection, reader.database.url.schema)
                budget_store.require_writable(connection, access)
                budget_store.remove(connection, access, budget.name, editor)
        except DatabaseError as error:
            show_error(error)
            return
        _finish(reader, _("The budget {name} is removed.").format(name=escape_markdown(budget.name)))


def _finish(reader: Reader, text: str) -> None:
    forget_budgets(reader)
    set_result(RESULT, text)
    edit_budget(None)
    st.rerun()
