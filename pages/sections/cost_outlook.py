"""The line below the Overview's metrics: the projected cost of the month, and the savings of prompt caches."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from pages.sections.budget_bars import budget_report
from pages.support.formats import cost, count, escape_dollars, exact
from pages.support.i18n import _
from pages.support.shared_prices import shared_catalog
from pages.support.ttl_cache import cached_as_of, generation
from pages.widgets.live_refresh import computed_at_text
from pages.widgets.time_range import TimeRange, now
from tracker.errors import DatabaseError
from tracker.reports import Reader
from tracker.reports.cache_savings import CacheSavings, cache_savings
from tracker.reports.cost_projection import CostProjection, project_month

_SAVINGS_TTL_S = 300.0


def cost_outlook(reader: Reader, range_: TimeRange) -> None:
    """Draw the projection and the savings; nothing for a part that does not apply."""
    try:
        projection = _projection(reader, range_)
        savings, at = _savings(reader, range_)
    except DatabaseError:
        return  # the metrics of the page show the error
    with st.container(horizontal=True, gap="medium", key="cost_outlook"):
        if projection:
            st.caption(
                escape_dollars(projection_text(projection)),
                help=escape_dollars(_projection_help(projection)),
                width="content",
            )
        if savings.read_tokens or savings.write_tokens:
            text = f"{savings_text(savings)}, {computed_at_text(at)}"
            st.caption(escape_dollars(text), help=escape_dollars(_savings_help(savings)), width="content")


def _projection(reader: Reader, range_: TimeRange) -> CostProjection | None:
    # Not cached: the bars of the budgets on the same page come from these states, too.
    return project_month(reader, range_.filters, budget_report(reader).states, now())


def _savings(reader: Reader, range_: TimeRange) -> tuple[CacheSavings, datetime]:
    catalog = shared_catalog(reader)
    # A new catalog after a change of prices has another number.
    key = ("cache_savings", generation(reader), range_.cache_key, catalog.generation if catalog else 0)
    return cached_as_of(key, _SAVINGS_TTL_S, lambda: cache_savings(reader, range_.filters, catalog))


def projection_text(projection: CostProjection) -> str:
    """The projected cost of the month, or that it is too early for one."""
    if projection.at_end is None:
        return _("Projected cost this month: too early for a forecast")
    at_least = "≥ " if projection.unpriced_calls else ""
    return _("Projected cost this month: {amount}").format(amount=f"{at_least}{cost(projection.at_end_local)}")


def _projection_help(projection: CostProjection) -> str:
    text = _("The cost of this month until now, {amount}, continued at the same rate. It does not depend on the range.")
    text = text.format(amount=cost(projection.spent_local))
    if projection.unpriced_calls:
        missing = _("Not included: {n} calls without a price.").format(n=exact(projection.unpriced_calls))
        text = f"{text} {missing}"
    return text


def savings_text(savings: CacheSavings) -> str:
    """The estimated savings, or that no price is known."""
    if savings.unpriced_tokens == savings.read_tokens + savings.write_tokens:
        return _("Cache savings: unknown, no price for the cached tokens")
    text = _("Cache savings: ≈ {amount}").format(amount=cost(savings.local))
    if savings.unpriced_tokens:
        missing = _("without {n} tokens that have no known price").format(n=count(savings.unpriced_tokens))
        text = f"{text}, {missing}"
    return text


def _savings_help(savings: CacheSavings) -> str:
    return _(
        "An estimate from the standard list prices: what {read} tokens read from a cache would have cost as normal"
        " input, minus their price and minus the extra price of {written} tokens written to a cache. It is negative if"
        " the writes cost more than the reads save."
    ).format(read=exact(savings.read_tokens), written=exact(savings.write_tokens))
