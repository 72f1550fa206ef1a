"""The sections of the What-if costs page: model picker, current costs, comparison, and calls that are not compared."""

from __future__ import annotations

from datetime import datetime

import pandas as pd
import streamlit as st

from pages.support import query_params
from pages.support.currency.display_currency import is_usd, local_name
from pages.support.formats import DASH, calls, cost, count, exact, short_date, signed_percentage, time_of_day
from pages.support.i18n import _
from pages.support.message_text import translate
from pages.widgets.tables import right_aligned, table, text_column
from pages.widgets.time_range import clamp_time
from tracker import settings
from tracker.errors import SettingError
from tracker.prices.price_catalog import PriceCatalog
from tracker.prices.sellers import MAKERS
from tracker.prices.what_if_models import MAX_MODELS, WhatIfModel, find_model, listed_names
from tracker.reports.costs.what_if import Comparison, WhatIfReport

_KEY, _PARAMETER = "what_if_models", "what_if"
_MAX_VISIBLE_ROWS = 12


def model_picker(catalog: PriceCatalog) -> None:
    """Draw the selection of models, and write it to the address bar."""
    query_params.init_widget(_KEY, _PARAMETER, _parse_names)
    names = dict.fromkeys([*st.session_state[_KEY], *_offered_names(catalog)])
    selected = st.multiselect(
        _("Compare with"),
        list(names),
        key=_KEY,
        placeholder=_("Model, such as gpt-5-mini"),
        accept_new_options=True,
        max_selections=MAX_MODELS,
        select_all=False,
        persist_state="session",
    )
    query_params.set(_PARAMETER, ",".join(selected) or None)


def _parse_names(text: str | None) -> list[str]:
    names = (name.strip() for name in (text or "").split(","))
    return list(dict.fromkeys(name for name in names if name))[:MAX_MODELS]


def _offered_names(catalog: PriceCatalog) -> list[str]:
    """The models with a custom price and those of the makers; other names can be typed."""
    custom = [price.model for price in catalog.custom_prices if not price.model.endswith("*")]
    listed = (name.partition("/") for name in listed_names())
    return [*custom, *(model for provider, _slash, model in listed if provider in MAKERS)]


def read_models(catalog: PriceCatalog, at: datetime) -> tuple[list[WhatIfModel], list[str]]:
    """The selected models, and a message for each name without a price."""
    models: list[WhatIfModel] = []
    problems: list[str] = []
    for name in _parse_names(query_params.get(_PARAMETER)):
        try:
            models.append(find_model(catalog, name, at))
        except SettingError as error:
            problems.append(str(error))
    return models, problems


def own_costs(report: WhatIfReport) -> None:
    """Draw the current cost: as recorded, and at the current prices of the own models."""
    missing = report.calls - report.recorded_calls
    recorded = cost(report.recorded_local if report.recorded_calls else None)
    own = cost(report.own.local if report.own.calls else None)
    with st.grid(3, min_column_width=200):
        st.metric(
            _("Cost as recorded"),
            f"≥ {recorded}" if missing and report.recorded_calls else recorded,
            help=_without_cost(missing),
            border=True,
        )
        unpriced = report.own.missing_calls.total()
        st.metric(
            _("Own models, current prices"),
            f"≥ {own}" if unpriced and report.own.calls else own,
            help=f"{_('The same calls at the current list prices of their own models.')} {_without_cost(unpriced)}",
            border=True,
        )
        st.metric(_("Calls"), count(report.calls), help=_calls_help(report), border=True)
    if missing or unpriced:
        text = _("Without a recorded cost: {recorded}. Without a current price: {own}.")
        st.caption(text.format(recorded=calls(missing), own=calls(unpriced)))


def _without_cost(number: int) -> str:
    return _("Not included: {calls} without a price.").format(calls=calls(number)) if number else ""


def _calls_help(report: WhatIfReport) -> str:
    return _("{calls}, {n} tokens").format(calls=calls(report.calls), n=exact(report.tokens))


def report_notes(report: WhatIfReport, timezone: str) -> None:
    """Draw which calls the report does not contain."""
    if report.oldest_at is not None:
        local = clamp_time(report.oldest_at).astimezone(settings.load_time_zone(timezone))
        text = _("The time limit ended the comparison: only the newest {n} of {all} calls, since {time}, are included.")
        at = f"{short_date(local)}, {time_of_day(local)}"
        text = text.format(n=exact(report.calls), all=exact(report.range_calls), time=at)
        st.caption(f":orange[:material/hourglass:] {text} {_('Select a shorter range for all of them.')}")
    if report.pruned_calls:
        text = _("{calls} were pruned and are not included.").format(calls=calls(report.pruned_calls))
        st.caption(f":material/inventory_2: {text}")


def comparison_table(report: WhatIfReport) -> None:
    """Draw the cost at each model beside the cost of the same calls at their own models."""
    rows = [
        {
            "model": entry.model.name,
            "cost": cost(entry.repriced.local) if entry.repriced.calls else DASH,
            "own": cost(entry.repriced.own_local) if entry.repriced.calls else DASH,
            "difference": _difference(entry.repriced),
            "change": signed_percentage(entry.repriced.change),
            "recorded": signed_percentage(entry.recorded.change),
            "calls": exact(entry.repriced.calls),
            "missing": exact(report.calls - entry.repriced.calls),
        }
        for entry in report.models
    ]
    config = {
        "model": text_column(_("Model"), 170, pinned=True),
        "cost": right_aligned(_("Cost"), _("The calls that have a current price at both models")),
        "own": right_aligned(_("Own models"), _("The same calls at the current list prices of their own models")),
        "difference": right_aligned(_("Difference")),
        "change": right_aligned(_("Change"), width=80),
        "recorded": right_aligned(_("vs recorded"), _("The change from the recorded cost, of calls that have one")),
        "calls": right_aligned(_("Calls")),
        "missing": right_aligned(_("Not compared"), _("Calls without a price at one of the models; see below")),
    }
    table(pd.DataFrame(rows), config, alt=_("Cost at other models"))


def _difference(comparison: Comparison) -> str:
    if not comparison.calls:
        return DASH
    difference = comparison.local - comparison.own_local
    return f"{'+' if difference > 0 else ''}{cost(difference)}"


def gap_table(report: WhatIfReport) -> None:
    """Draw the calls without a price by model and reason."""
    gaps = [(_("Own models"), gap) for gap in report.own.gaps]
    gaps += [(entry.model.name, gap) for entry in report.models for gap in entry.priced.gaps]
    rows = [
        {"model": name, "reason": translate(reason), "calls": exact(number), "tokens": count(tokens)}
        for name, (reason, number, tokens) in gaps
    ]
    config = {
        "model": text_column(_("Model"), 170),
        "calls": right_aligned(_("Calls"), width=80),
        "tokens": right_aligned(_("Tokens"), width=80),
        "reason": text_column(_("Reason")),
    }
    table(pd.DataFrame(rows), config, alt=_("Calls that are not compared"), max_rows=_MAX_VISIBLE_ROWS)


def download_table(report: WhatIfReport) -> pd.DataFrame:
    """The comparison with all digits, in US dollars and the display currency."""
    rows = [
        {
            "model": entry.model.name,
            "calls": entry.repriced.calls,
            "cost_usd": float(entry.repriced.usd),
            "own_models_cost_usd": float(entry.repriced.own_usd),
            "difference_usd": float(entry.repriced.difference_usd),
            "calls_with_recorded_cost": entry.recorded.calls,
            "recorded_cost_usd": float(entry.recorded.own_usd),
            "cost_of_recorded_calls_usd": float(entry.recorded.usd),
            "calls_not_compared": report.calls - entry.repriced.calls,
            **_local_costs(entry.repriced),
        }
        for entry in report.models
    ]
    return pd.DataFrame(rows)


def _local_costs(comparison: Comparison) -> dict[str, float]:
    if is_usd():
        return {}
    costs = {"cost_usd": comparison.local, "own_models_cost_usd": comparison.own_local}
    return {local_name(name): float(amount) for name, amount in costs.items()}
