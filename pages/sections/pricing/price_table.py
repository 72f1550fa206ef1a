"""The models of the range with their prices, and the prices that were set on the page."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pandas as pd

from pages.sections.pricing.results import table_key
from pages.support.formats import DASH, cost, count, exact, usd_rate
from pages.support.i18n import _
from pages.support.message_text import translate
from pages.widgets.tables import TableColumn, number_column, selectable_table, table, text_column
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
    columns = {
        "model": text_column(_("Model"), 132),
        **{kind: number_column(kind_label(kind), _model_rate_text, 84, _("USD per 1 M tokens")) for kind in _KINDS},
        "cost": number_column(_("Cost"), _cost_text, 76, _("Cost of the range, without the unpriced calls")),
        "unpriced": number_column(_("Unpriced calls"), _unpriced_text, 96, _("Calls of this range without a cost")),
        "calls": number_column(_("Calls"), exact, 62),
        "tokens": number_column(_("Tokens"), count, 66),
        "provider": text_column(_("Provider"), 78),
        "source": text_column(_("Price from"), 150),
    }
    # A column that repeats another one takes the width of the source.
    for kind, usual in (("cache_read", "input"), ("cache_write", "input"), ("reasoning", "output")):
        if data[kind].equals(data[usual]):
            del columns[kind]
    if not data["unpriced"].any():
        del columns["unpriced"]
    alt = _("Models of the range with their prices in USD per million tokens")
    selected = _draw_table(data, columns, "price_models", alt, _MAX_VISIBLE_ROWS, selectable=selectable)
    return models[selected] if selected is not None else None


def _cost_text(amount: float | None) -> str:
    """The cost of a model in the range; a dash if no call has a price."""
    return DASH if amount is None or amount != amount else cost(amount)  # NaN


def _model_rate_text(rate: float | None) -> str:
    return _rate_text(rate) or DASH


def _unpriced_text(calls: int) -> str:
    return exact(calls) if calls else ""


def _model_row(entry: PricedModel) -> dict[str, object]:
    rates = entry.rates if isinstance(entry.rates, ModelRates) else None
    return {
        "model": entry.model,
        "provider": entry.provider,
        **{kind: float(getattr(rates, kind)) if rates else None for kind in _KINDS},
        "source": source_text(entry.rates),
        "calls": entry.calls,
        "tokens": entry.total_tokens,
        "cost": None if entry.cost_local is None else float(entry.cost_local),
        "unpriced": entry.unpriced_calls,
    }


def stored_price_table(prices: CustomPrices, *, selectable: bool) -> CustomPrice | None:
    """Draw the prices that were set on the page. Returns the selected one."""
    rows = [_stored_row(price, prices) for price in prices.stored]
    data = pd.DataFrame(rows)
    columns = {
        "model": text_column(_("Model"), 132),
        **{kind: number_column(kind_label(kind), _rate_text, 84, _("USD per 1 M tokens")) for kind in _KINDS},
        "same_as": text_column(_("Same as"), 120),
        "provider": text_column(_("Provider"), 90),
        "tier": text_column(_("Tier"), 70),
        "since": text_column(_("From"), 90),
        "note": text_column(_("Note"), 220),
    }
    for name in ("cache_read", "cache_write", "reasoning", "same_as", "provider", "tier", "since", "note"):
        if not data[name].replace("", None).notna().any():
            del columns[name]
    alt = _("Prices that were set on this page, in USD per million tokens")
    selected = _draw_table(data, columns, "stored_prices", alt, _MAX_VISIBLE_PRICES, selectable=selectable)
    return prices.stored[selected] if selected is not None else None


def _draw_table(
    data: pd.DataFrame, columns: dict[str, TableColumn], name: str, alt: str, max_rows: int, *, selectable: bool
) -> int | None:
    """Draw a table. Returns the position of the selected row."""
    if not selectable:
        table(data, columns, alt=alt, max_rows=max_rows)
        return None
    return selectable_table(data, columns, alt=alt, key=table_key(name), max_rows=max_rows)


def _rate_text(rate: float | None) -> str:
    """A rate of a stored price; empty if the price does not have it."""
    return "" if rate is None or rate != rate else usd_rate(Decimal(str(rate)))  # NaN


def _stored_row(price: CustomPrice, prices: CustomPrices) -> dict[str, object]:
    is_overridden = prices.overriding(price) is not None
    return {
        "model": price.model,
        **{kind: float(price.rates[kind]) if kind in price.rates else None for kind in _KINDS},
        "same_as": " / ".join(filter(None, (price.same_provider, price.same_as))),
        "provider": price.provider or "",
        "tier": price.tier or "",
        "since": "" if price.since == ALWAYS else price.since.date().isoformat(),
        "note": _("Not used: the file of TRACKER_PRICES has a price") if is_overridden else "",
    }
