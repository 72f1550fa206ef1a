"""Saves and removes prices: checks the policy, writes, and offers to price past calls."""

from __future__ import annotations

import streamlit as st

from pages.sections.pricing.past_calls_card import offer_past_calls
from pages.sections.pricing.price_form import PriceDraft, free_tokens, start_draft
from pages.sections.pricing.results import set_result
from pages.sections.pricing.write_access import require_editor
from pages.support import query_params
from pages.support.formats import escape_markdown
from pages.support.i18n import _, keep_language
from pages.support.shared_prices import forget_prices
from pages.widgets.error_box import show_error
from tracker.errors import DatabaseError
from tracker.prices import price_store
from tracker.prices.custom_prices import CustomPrice
from tracker.reports import Reader

RESULT = "price_result"


def submit_price(reader: Reader, price: CustomPrice) -> None:
    """Save a price; ask first if tokens are free of charge."""
    if price.is_free:
        st.dialog(_("Free of charge?"))(keep_language(_confirm_free))(reader, price)
    else:
        _save(reader, price)


def _confirm_free(reader: Reader, price: CustomPrice) -> None:
    st.text(price.model)
    st.markdown(_("These tokens get a cost of 0: {kinds}.").format(kinds=free_tokens(price)))
    if st.button(_("Save as free of charge"), type="primary", key="confirm_free"):
        _save(reader, price)


def _save(reader: Reader, price: CustomPrice) -> None:
    try:
        editor = require_editor()
        with reader.borrow() as connection:
            access = price_store.read_access(connection, reader.database.url.schema)
            price_store.save_price(connection, access, price, editor)
    except DatabaseError as error:
        show_error(error)
        return
    _finish(reader, price, _("The price of {name} is saved. It applies to new calls within a minute."))


def confirm_removal(reader: Reader, price: CustomPrice) -> None:
    """Open the dialog that removes a price."""
    st.dialog(_("Remove the price?"))(keep_language(_confirm_removal))(reader, price)


def _confirm_removal(reader: Reader, price: CustomPrice) -> None:
    st.text(price.model)
    st.markdown(
        _("New calls get the price of the price list, or no price. Past calls keep their cost until you price them.")
    )
    if st.button(_("Remove the price"), type="primary", key="confirm_remove_price"):
        try:
            editor = require_editor()
            with reader.borrow() as connection:
                access = price_store.read_access(connection, reader.database.url.schema)
                price_store.remove_price(connection, access, price, editor)
        except DatabaseError as error:
            show_error(error)
            return
        _finish(reader, price, _("The price of {name} is removed."))


def _finish(reader: Reader, price: CustomPrice, text: str) -> None:
    forget_prices(reader)
    set_result(RESULT, text.format(name=escape_markdown(price.model)))
    offer_past_calls(price)
    for name in ("price_model", "price_provider"):
        query_params.set(name, None)
    start_draft(PriceDraft())
    st.rerun()
