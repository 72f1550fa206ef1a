"""The form that sets or changes a price, and the check of its values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

import streamlit as st

from pages.sections.pricing.price_table import kind_label
from pages.support import query_params
from pages.support.formats import exact
from pages.support.i18n import _
from tracker.prices.custom_prices import ALWAYS, MAX_RATE_USD, RATES, STORED_SOURCE, CustomPrice, is_valid_rate
from tracker.usage import replace_unstorable

_MAX_NAME_LENGTH = 200
_REQUIRED = ("input", "output")
_DRAFT, _NUMBER = "price_draft", "price_form_number"


@dataclass(frozen=True, slots=True)
class PriceDraft:
    """What the form starts with: the names of a model and a provider, and the price that is changed."""

    model: str = ""
    provider: str = ""
    price: CustomPrice | None = None


def start_draft(draft: PriceDraft) -> None:
    """Fill the form with other values; what the reader entered is lost."""
    st.session_state[_DRAFT] = draft
    st.session_state[_NUMBER] = st.session_state.get(_NUMBER, 0) + 1


def address_draft(*, is_selected: bool = False) -> None:
    """Fill the form with the model in the address bar when that changes, or when the reader selects a model."""
    address = query_params.get("price_model"), query_params.get("price_provider")
    if is_selected or st.session_state.get("price_address") != address:
        st.session_state["price_address"] = address
        if address[0]:
            start_draft(PriceDraft(address[0], address[1] or ""))


def price_form() -> CustomPrice | None:
    """Draw the form. Returns the price when the reader submits valid values.

    While a price is changed, the values that identify it are fixed: another model or day is another price.
    """
    draft = st.session_state.get(_DRAFT, PriceDraft())
    number = st.session_state.get(_NUMBER, 0)
    with st.form(f"price_form_{number}", border=False, enter_to_submit=False):
        left, right = st.columns(2)
        model = left.text_input(
            _("Model"),
            draft.model,
            max_chars=_MAX_NAME_LENGTH,
            help=_("A * at the end matches any ending."),
            disabled=draft.price is not None,
        )
        provider = right.text_input(
            _("Provider"),
            draft.provider,
            max_chars=_MAX_NAME_LENGTH,
            placeholder=_("any provider"),
            disabled=draft.price is not None,
        )
        texts = _rate_inputs(draft)
        with st.expander(_("More options"), expanded=_uses_options(draft.price)):
            options = _option_inputs(draft.price)
        with st.container(horizontal=True):
            is_submitted = st.form_submit_button(_("Save the price"), type="primary", icon=":material/save:")
            if draft.price is not None and st.form_submit_button(_("Cancel")):
                start_draft(PriceDraft())
                st.rerun()
    if not is_submitted:
        return None
    values, problems = read_form({"model": model, "provider": provider, **texts, **options})
    for problem in problems:
        st.error(problem, icon=":material/error:")
    return values


def _uses_options(price: CustomPrice | None) -> bool:
    return price is not None and bool(price.tier or price.same_as or price.since != ALWAYS)


def _rate_inputs(draft: PriceDraft) -> dict[str, str]:
    placeholders = {
        "cache_read": _("like input"),
        "cache_write": _("like input"),
        "reasoning": _("like output"),
    }
    rates: Mapping[str, Decimal] = draft.price.rates if draft.price else {}
    st.caption(_("USD per 1 M tokens. Write 0 if they are free."))
    texts = {}
    with st.grid(5, min_column_width=80):
        for kind in RATES:
            value = format(rates[kind].normalize(), "f") if kind in rates else ""
            placeholder = placeholders.get(kind, "0.50" if kind == "input" else "1.50")
            texts[kind] = st.text_input(kind_label(kind), value, max_chars=30, placeholder=placeholder)
    return texts


def _option_inputs(price: CustomPrice | None) -> dict[str, Any]:
    left, right = st.columns(2)
    since = None if price is None or price.since == ALWAYS else price.since.date()
    return {
        "tier": left.text_input(
            _("Service tier"),
            (price and price.tier) or "",
            max_chars=_MAX_NAME_LENGTH,
            placeholder=_("list price"),
            help=_("Only calls of this tier, such as flex, priority, or batch"),
            disabled=price is not None,
        ),
        "since": right.date_input(
            _("From (UTC)"),
            since,
            min_value=date(1971, 1, 1),
            max_value=date(2199, 12, 31),
            format="YYYY-MM-DD",
            disabled=price is not None,
        ),
        "same_as": left.text_input(
            _("Same price as the model"),
            (price and price.same_as) or "",
            max_chars=_MAX_NAME_LENGTH,
            help=_("The price list's price of this model applies. Leave the prices empty."),
        ),
        "same_provider": right.text_input(
            _("Provider of that model"), (price and price.same_provider) or "", max_chars=_MAX_NAME_LENGTH
        ),
    }


def read_form(values: Mapping[str, Any]) -> tuple[CustomPrice | None, list[str]]:
    """The price of the form's values, or None with a sentence for each value that is not valid."""
    problems: list[str] = []
    names = {
        name: replace_unstorable(values[name]).strip()
        for name in ("model", "provider", "tier", "same_as", "same_provider")
    }
    rates = _read_rates(values, problems)
    if not names["model"] or names["model"] == "*":
        problems.append(_("Enter the name of a model."))
    if names["same_as"] and any(values[kind].strip() for kind in RATES):
        problems.append(_("Enter either prices or the model with the same price, not both."))
    elif names["same_provider"] and not names["same_as"]:
        problems.append(_("Enter the model whose price applies, or remove its provider."))
    elif not names["same_as"] and any(not values[kind].strip() for kind in _REQUIRED):
        problems.append(_("Enter the price of input and of output. Write 0 if they are free."))
    if problems:
        return None, problems
    since = values["since"]
    price = CustomPrice(
        model=names["model"],
        provider=names["provider"] or None,
        since=datetime.combine(since, time(), UTC) if since else ALWAYS,
        rates=rates,
        same_as=names["same_as"] or None,
        same_provider=names["same_provider"] or None,
        tier=names["tier"] or None,
        source=STORED_SOURCE,
    )
    return price, []


def _read_rates(values: Mapping[str, Any], problems: list[str]) -> dict[str, Decimal]:
    """The rates that are not empty; adds a sentence for each one that is not valid."""
    rates = {}
    for kind in RATES:
        text = values[kind].strip()
        if not text:
            continue
        rate = _parse_rate(text)
        if rate is None:
            template = _("{label}: enter a number from 0 to {max}, with a point and at most 12 decimals, such as 0.50.")
            problems.append(template.format(label=kind_label(kind), max=exact(MAX_RATE_USD)))
        else:
            rates[kind] = rate
    return rates


def _parse_rate(text: str) -> Decimal | None:
    """Digits with at most one point; no sign, exponent, or separator, which readers of other countries understand
    differently.
    """
    if not text.isascii() or not text.replace(".", "", 1).isdigit():
        return None
    try:
        rate = Decimal(text)
    except InvalidOperation:
        return None
    return rate if is_valid_rate(rate) else None


def free_tokens(price: CustomPrice) -> str:
    """The kinds of tokens that a price makes free of charge."""
    return ", ".join(kind_label(kind) for kind in RATES if price.rates.get(kind) == 0)
