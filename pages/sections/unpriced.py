"""The notice on calls without a price and calls with inconsistent usage, with the reason and the remedy."""

from __future__ import annotations

import json

import pandas as pd
import streamlit as st

from pages.support import query_params
from pages.support.formats import calls, count, exact
from pages.support.i18n import _, plural
from pages.support.message_text import translate
from pages.widgets.tables import number_column, table, text_column
from tracker.prices.unpriced_reasons import PREFIX, describe_reason, read_reason
from tracker.providers.consistency import is_aggregated, problem_text
from tracker.reports.usage_totals import Totals

_MAX_MODELS = 3
_MAX_NAME_LENGTH = 60
_MAX_REASONS = 100


def unpriced_notice(totals: Totals, models: pd.DataFrame, reasons: pd.DataFrame) -> None:
    """Draw the number of calls without a price, their models, and the reasons; nothing if all calls have a price.

    `reasons` also contains the calls with inconsistent usage.
    """
    if totals.unpriced_calls:
        _summary(totals, models)
    if len(reasons):
        _reason_list(reasons)


def _summary(totals: Totals, models: pd.DataFrame) -> None:
    names = unpriced_models(models)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="unpriced"):
        st.text(summary_text(totals, names), width="content")
        if names and st.button(_("Set a price"), icon=":material/sell:", type="tertiary", key="set_a_price"):
            query_params.switch_page("prices.py", {"price_model": names[0]})


def _reason_list(reasons: pd.DataFrame) -> None:
    marked = [isinstance(problem, str) and not is_aggregated(problem) for problem in reasons["usage_problem"]]
    inconsistent = int(reasons.loc[marked, "calls"].sum())
    label = _("Calls without a price: {unpriced}. Calls with inconsistent usage: {inconsistent}.").format(
        unpriced=exact(int(reasons["unpriced_calls"].sum())), inconsistent=exact(inconsistent)
    )
    with st.expander(label, key="unpriced_reasons"):
        data = reason_table(reasons)
        columns = {
            "calls": number_column(_("Calls"), exact, 60),
            "model": text_column(_("Model"), 130),
            "reason": text_column(_("Reason"), 540),
            "provider": text_column(_("Provider"), 96),
            "source": text_column(_("Source"), 120),
        }
        table(data, columns, alt=_("Calls without a price or with inconsistent usage, by reason"))
        if len(reasons) > len(data):
            st.caption(_("The {n} reasons with the most calls are listed.").format(n=len(data)))


def reason_table(reasons: pd.DataFrame) -> pd.DataFrame:
    """The columns calls, model, provider, source, and reason as text, the reasons with the most calls first."""
    data = reasons.head(_MAX_REASONS)
    texts = [_reason_text(*values) for values in data[["usage_problem", "reason", "unpriced_calls"]].values]
    return pd.DataFrame(
        {
            "calls": data["calls"].astype(int),
            "model": data["model"].fillna(""),
            "provider": data["provider"].fillna(""),
            "source": data["usage_source"].fillna(""),
            "reason": texts,
        }
    )


def _reason_text(problem: str | None, reason: str | None, unpriced_calls: int) -> str:
    if isinstance(problem, str):
        text = translate(problem_text(problem))
        return text if unpriced_calls else f"{text} {_('The cost comes from the app.')}"
    parsed = read_reason(f"{PREFIX}{reason}") if isinstance(reason, str) else None
    if parsed is None:
        return _("Not looked up in a price list yet. `token-tracker reprice` sets the cost or the reason.")
    return translate(describe_reason(parsed))


def unpriced_models(models: pd.DataFrame) -> list[str]:
    """The models that have calls without a price, the one with the most such calls first."""
    counts = models.groupby("model")["unpriced_calls"].sum()
    return [str(name) for name in counts[counts > 0].sort_values(ascending=False, kind="stable").index]


def summary_text(totals: Totals, names: list[str]) -> str:
    """The number of calls and tokens without a price. Not Markdown, because it contains names from the database."""
    text = plural(
        "{calls} ({tokens} tokens) has no price and is not in the cost: {models}.",
        "{calls} ({tokens} tokens) have no price and are not in the cost: {models}.",
        totals.unpriced_calls,
    )
    listed = [name[:_MAX_NAME_LENGTH] for name in names[:_MAX_MODELS]]
    if more := len(names) - _MAX_MODELS:
        listed += [plural("{n} more", "{n} more", more).format(n=more)] if more > 0 else []
    return text.format(
        calls=calls(totals.unpriced_calls), tokens=count(totals.unpriced_tokens), models=", ".join(listed)
    )


def example_prices(names: list[str]) -> str:
    """The content of a TOML price file. A JSON string is a valid TOML string."""
    prices = [f"[[price]]\nmodel = {json.dumps(name)}\ninput = 0.50\noutput = 1.50\n" for name in names[:_MAX_MODELS]]
    return "\n".join(prices)
