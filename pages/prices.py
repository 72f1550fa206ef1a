"""The page Prices and budgets: prices of the used models, past calls, budgets, and who changed what."""

from __future__ import annotations

import streamlit as st

from pages.sections.budget_bars import budget_report
from pages.sections.pricing import budget_form, price_actions
from pages.sections.pricing.budget_table import budget_table
from pages.sections.pricing.change_table import change_table
from pages.sections.pricing.past_calls_card import offer_past_calls, past_calls_card
from pages.sections.pricing.price_form import PriceDraft, address_draft, price_form, start_draft
from pages.sections.pricing.price_table import model_price_table, stored_price_table
from pages.sections.pricing.properties_card import properties_card
from pages.sections.pricing.results import show_result
from pages.sections.pricing.write_access import WriteAccess, read_write_access, write_notice
from pages.sections.unpriced import example_prices
from pages.support import query_params
from pages.support.currency.display_currency import is_usd
from pages.support.i18n import _
from pages.support.message_text import translate
from pages.support.shared_prices import shared_catalog, shared_prices
from pages.widgets.empty_state import empty_section, range_sample_notice
from pages.widgets.error_box import show_error
from pages.widgets.layout import card, current_range, page_header, page_question
from pages.widgets.time_range import now, user_timezone
from tracker.audit.change_log import read_changes
from tracker.errors import DatabaseError, SettingError
from tracker.prices.custom_prices import CustomPrice
from tracker.reports import Reader
from tracker.reports.engine import current_reader
from tracker.reports.priced_models import PricedModel, priced_models


def main() -> None:
    reader = current_reader.reader()
    page_header(_("Prices and budgets"), reader, live=False)
    page_question(_("What does each model cost, and how much may be used?"))
    access = read_write_access(reader)
    write_notice(access)
    range_sample_notice(reader, current_range(reader))
    with card(_("Models"), _("of this range, those without a price first")):
        models = models_section(reader, access)
    if access.prices:
        left, right = st.columns(2)
        with left, card(_("Set a price")):
            if (price := price_form()) is not None:
                price_actions.submit_price(reader, price)
        with right:
            past_calls_card(reader)
            prices_section(reader, access)
    else:
        prices_section(reader, access)
    budget_note = _("use and forecast") if is_usd() else f"{_('use and forecast')}, {_('US dollars')}"
    with card(_("Budgets"), budget_note):
        budgets_section(reader, access)
    properties_card(reader, can_choose=access.properties)
    file_section(models)
    changes_section(reader)


def models_section(reader: Reader, access: WriteAccess) -> list[PricedModel]:
    """Draw the models of the range; a selected one fills the form. Returns the models."""
    show_result(price_actions.RESULT)
    # The catalog caches the rates of an hour.
    at = now().replace(minute=0, second=0, microsecond=0)
    models = priced_models(reader, current_range(reader).filters, shared_catalog(reader), at)
    address_draft()
    if not models:
        empty_section(_("No calls in this range."))
        return models
    selected = model_price_table(models, selectable=access.prices)
    key = (selected.provider, selected.model) if selected else None
    if access.prices and key != st.session_state.get("selected_price_model"):
        st.session_state["selected_price_model"] = key
        if selected:
            query_params.set("price_model", selected.model)
            query_params.set("price_provider", selected.provider or None)
            address_draft(is_selected=True)
    if access.prices:
        st.caption(_("Select a row to set its price. Prices are USD per 1 M tokens."))
    else:
        st.caption(_("Prices are USD per 1 M tokens."))
    return models


def prices_section(reader: Reader, access: WriteAccess) -> None:
    """Draw the prices that were set on the page, and the actions for the selected one."""
    try:
        prices = shared_prices(reader)
    except (SettingError, DatabaseError) as error:
        show_error(error)
        return
    if not prices.stored and not access.prices:
        return
    with card(_("Prices that were set on this page"), _("USD per 1 M tokens")):
        if not prices.stored:
            empty_section(_("None yet. Without one, the price of the price list applies."))
            return
        selected = stored_price_table(prices, selectable=access.prices)
        if access.prices and selected is not None:
            _price_buttons(reader, selected)
        if any(prices.overriding(price) for price in prices.stored):
            st.caption(_("A price in the file of `TRACKER_PRICES` takes precedence over a price that was set here."))


def _price_buttons(reader: Reader, price: CustomPrice) -> None:
    with st.container(horizontal=True):
        if st.button(_("Change"), icon=":material/edit:", key="change_price"):
            start_draft(PriceDraft(price.model, price.provider or "", price))
            st.rerun()
        if st.button(_("Remove"), icon=":material/delete:", key="remove_price"):
            price_actions.confirm_removal(reader, price)
        if st.button(_("Price past calls"), icon=":material/history:", key="offer_past_calls"):
            offer_past_calls(price)
            st.rerun()


def budgets_section(reader: Reader, access: WriteAccess) -> None:
    """Draw the budgets with their use, the actions for the selected one, and the form."""
    show_result(budget_form.RESULT)
    report = budget_report(reader)
    if report.states:
        selected = budget_table(report.states, selectable=access.budgets)
        if access.budgets and selected is not None and selected.budget.own:
            with st.container(horizontal=True):
                if st.button(_("Change"), icon=":material/edit:", key="change_budget"):
                    budget_form.edit_budget(selected.budget)
                if st.button(_("Remove"), icon=":material/delete:", key="remove_budget"):
                    budget_form.confirm_removal(reader, selected.budget)
        elif access.budgets and selected is not None:
            st.caption(_("This limit comes from the app's own table, which the dashboard does not change."))
    elif not access.budgets:
        empty_section(_("No budget is set."))
    for remark in report.remarks:
        st.text(translate(remark))
    if access.budgets:
        budget_form.budget_form(reader, {state.budget.name for state in report.states})


def file_section(models: list[PricedModel]) -> None:
    """Draw how to set prices in a file instead, which needs no access to the dashboard."""
    with st.expander(_("Prices in a file"), icon=":material/description:"):
        st.markdown(
            _(
                "A TOML file with USD per million tokens also sets prices. Set `TRACKER_PRICES` to this file for the"
                " dashboard. It takes precedence over the prices that were set here. `token-tracker reprice` prices"
                " past calls."
            )
        )
        names = [entry.model for entry in models if not entry.has_price and entry.model]
        st.code(example_prices(names or ["my-finetune"]), language="toml")


def changes_section(reader: Reader) -> None:
    """Draw the change log; nothing before the first change."""
    with reader.borrow() as connection:
        changes = read_changes(connection, reader.table().schema)
    if changes:
        with card(_("Changes"), _("the latest 100")):
            change_table(changes, user_timezone())


main()
