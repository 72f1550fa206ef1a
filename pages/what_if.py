"""The What-if costs page: what the calls of the range cost at the current list prices of other models."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from pages.sections.what_if import (
    comparison_table,
    download_table,
    gap_table,
    model_picker,
    own_costs,
    read_models,
    report_notes,
)
from pages.support.formats import currency_label
from pages.support.i18n import _
from pages.support.message_text import translate
from pages.support.shared_prices import shared_catalog
from pages.support.ttl_cache import cached_as_of, generation
from pages.widgets.downloads import download_buttons
from pages.widgets.empty_state import empty_section, no_calls, range_sample_notice
from pages.widgets.layout import card, current_range, page_header, page_question
from pages.widgets.live_refresh import computed_at_text, loading_skeleton
from pages.widgets.time_range import TimeRange, now
from tracker.prices.price_catalog import PriceCatalog
from tracker.prices.what_if_models import WhatIfModel
from tracker.reports import Reader
from tracker.reports.costs.what_if import WhatIfReport, what_if
from tracker.reports.engine import current_reader

_TTL_S = 300.0


def main() -> None:
    reader = current_reader.reader()
    page_header(_("What-if costs"), reader, live=False)
    page_question(_("What would the same tokens cost at other models?"))
    range_ = current_range(reader)
    catalog = shared_catalog(reader)
    if catalog is None:
        empty_section(_("No price list is available. Install the extra `prices`, or check the file of TRACKER_PRICES."))
        return
    # The catalog caches the rates of an hour.
    at = now().replace(minute=0, second=0, microsecond=0)
    model_picker(catalog)
    models, problems = read_models(catalog, at)
    for problem in problems:
        st.text(translate(problem))
    with loading_skeleton(metrics=3, charts=1):
        report, computed_at = _report(reader, range_, catalog, models, at)
    if not report.range_calls:
        no_calls(reader)
        return
    range_sample_notice(reader, range_)
    own_costs(report)
    report_notes(report, range_.filters.timezone)
    with card(_("Other models"), f"{_('current list prices')}, {currency_label()}, {computed_at_text(computed_at)}"):
        if models:
            comparison_table(report)
            download_buttons(download_table(report), "what-if", "what_if")
        else:
            empty_section(_("Select models above to compare with."))
        st.caption(
            _(
                "Other models divide the same text into another number of tokens, and may write longer or shorter"
                " outputs. This is the price of the same token counts."
            )
        )
    if report.own.gaps or any(entry.priced.gaps for entry in report.models):
        with card(_("Not compared"), _("calls without a price, by reason")):
            gap_table(report)


def _report(
    reader: Reader, range_: TimeRange, catalog: PriceCatalog, models: list[WhatIfModel], at: datetime
) -> tuple[WhatIfReport, datetime]:
    key = ("what_if", generation(reader), range_.cache_key, catalog.generation, tuple(models))
    return cached_as_of(key, _TTL_S, lambda: what_if(reader, range_.filters, catalog, models, at))


main()
