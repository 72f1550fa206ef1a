"""The models of the range with their prices, and the prices that were set on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages.sections.pricing.results import table_key
from pages.support.formats import cost, count, exact, usd_rate
from pages.support.i18n import _
from pages.support.message_text import translate
from pages.widgets.tables import right_aligned, selectable_table, table
from tracker.prices.custom_prices import ALWAYS, FILE_SOURCE, STORED_SOURCE, CustomPrice
from tracker.prices.model_rates import ModelRates
from tracker.prices.price_sources import CustomPrices
from tracker.prices.unpriced_reasons import Unpriced, describe_reason
from tracker.reports.priced_models import PricedModel

_MAX_VISIBLE_ROWS = 8
_MAX_VISIBLE_PRICES = 6
_KINDS = ("input", "output", "cache_read", "cache_write", "reasoning")


def kind_label(kind: str) -> str:
    """The label of a kind of tokens."""
    labels = {
        "input": _("Input"),
        "output": _("Output"),
        "cache_read": _("Cached input"),
        "cache_write": _("Cache writes"),
        "reasoning": _("Reasoning"),
    }
    return labels[kind]


def source_text(rates: ModelRates | Unpriced | None) -> str:
    """The source of a price, or why there is none."""
    if rates is None:
        return _("Prices can't be calculated")
    if isinstance(rates, Unpriced):
        return translate(describe_reason(rates))
    return {FILE_SOURCE: _("File of TRACKER_PRICES"), STORED_SOURCE: _("Set on this page")}.get(
        rates.source, rates.source
    )


def model_price_table(models: Sequence[PricedModel], *, selectable: bool) -> PricedModel | None:
    """Draw the models. Returns the selected one."""
    rows = [_model_row(entry) for entry in models]
    data = pd.DataFrame(rows, columns=["model", "provider", *_KINDS, "source", "calls", "tokens", "cost", "unpriced"])
    config = {
        "model": st.column_config.TextColumn(_("Model"), width=150, pinned=True),
        **{kind: right_aligned(kind_label(kind), _("USD per 1 M tokens"), 82) for kind in _KINDS},
        "unpriced": right_aligned(_("Unpriced calls"), _("Calls of this range without a cost"), 98),
        "calls": right_aligned(_("Calls"), width=62),
        "tokens": right_aligned(_("Tokens"), width=70),
        "cost": right_aligned(_("Cost"), _("Cost of the range, without the unpriced calls"), 70),
        "provider": st.column_config.TextColumn(_("Provider"), width=80),
        "source": st.column_config.TextColumn(_("Price from")),
    }
    # A column that repeats another one takes the width of the source.
    for kind, usual in (("cache_read", "input"), ("cache_write", "input"), ("reasoning", "output")):
        if (data[kind] == data[usual]).all():
            del config[kind]
    if not data["unpriced"].astype(bool).any():
        del config["unpriced"]
    alt = _("Models of the range with their prices in USD per million tokens")
    selected = _draw_table(data, config, "price_models", alt, _MAX_VISIBLE_ROWS, selectable=selectable)
    return models[selected] if selected is not None else None


def _model_row(entry: PricedModel) -> dict[str, str]:
    rates = entry.rates if isinstance(entry.rates, ModelRates) else None
    return {
        "model": entry.model,
        "provider": entry.provider,
        **{kind: usd_rate(getattr(rates, kind)) if rates else "–" for kind in _KINDS},
        "source": source_text(entry.rates),
        "calls": exact(entry.calls),
        "tokens": count(entry.total_tokens),
        "cost": "–" if entry.cost_usd is None else cost(entry.cost_local),
        "unpriced": exact(entry.unpriced_calls) if entry.unpriced_calls else "",
    }


def stored_price_table(prices: CustomPrices, *, selectable: bool) -> CustomPrice | None:
    """Draw the prices that were set on the page. Returns the selected one."""
    rows = [_stored_row(price, prices) for price in prices.stored]
    data = pd.DataFrame(rows)
    config = {
        "model": st.column_config.TextColumn(_("Model"), width=160, pinned=True),
        **{kind: right_aligned(kind_label(kind), _("USD per 1 M tokens"), 84) for kind in _KINDS},
        "same_as": st.column_config.TextColumn(_("Same as"), width=120),
        "provider": st.column_config.TextColumn(_("Provider"), width=90),
        "tier": st.column_config.TextColumn(_("Tier"), width=70),
        "since": st.column_config.TextColumn(_("From"), width=90),
        "note": st.column_config.TextColumn(_("Note"), width=220),
    }
    for name in ("cache_read", "cache_write", "reasoning", "same_as", "provider", "tier", "since", "note"):
        if not data[name].astype(bool).any():
            del config[name]
    alt = _("Prices that were set on this page, in USD per million tokens")
    selected = _draw_table(data, config, "stored_prices", alt, _MAX_VISIBLE_PRICES, selectable=selectable)
    return prices.stored[selected] if selected is not None else None


def _draw_table(
    data: pd.DataFrame, config: dict[str, Any], name: str, alt: str, max_rows: int, *, selectable: bool
) -> int | None:
    """Draw a table. Returns the position of the selected row."""
    if not selectable:
        table(data, config, alt=alt, max_rows=max_rows)
        return None
    return selectable_table(data, config, alt=alt, key=table_key(name), max_rows=max_rows)


def _stored_row(price: CustomPrice, prices: CustomPrices) -> dict[str, str]:
    is_overridden = prices.overriding(price) is not None
    return {
        "model": price.model,
        **{kind: usd_rate(price.rates[kind]) if kind in price.rates else "" for kind in _KINDS},
        "same_as": " / ".join(filter(None, (price.same_provider, price.same_as))),
        "provider": price.provider or "",
        "tier": price.tier or "",
        "since": "" if price.since == ALWAYS else price.since.date().isoformat(),
        "note": _("Not used: the file of TRACKER_PRICES has a price") if is_overridden else "",
    }
