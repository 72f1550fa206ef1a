"""The calls that the cost leaves out and the calls with inconsistent usage, with the reason and the remedy."""

from __future__ import annotations

import json

import pandas as pd
import streamlit as st

from pages.support.formats import calls, count, exact
from pages.support.i18n import _, plural
from pages.support.message_text import told
from tracker.prices.unpriced_reasons import PREFIX, describe_reason, read_reason
from tracker.providers.consistency import is_aggregated, problem_text
from tracker.reports.usage_totals import Totals

_MOST = 3
_LONGEST = 60
_MAX_REASONS = 100


def unpriced(totals: Totals, models: pd.DataFrame, reasons: pd.DataFrame) -> None:
    """How many calls have no price and of which models, and why; nothing if all calls have a price.

    `reasons` also contains the calls with inconsistent usage.
    """
    if totals.unpriced_calls:
        _summary(totals, models)
    if len(reasons):
        _list(reasons)


def _summary(totals: Totals, models: pd.DataFrame) -> None:
    names = without_price(models)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="unpriced"):
        st.text(summary(totals, names), width="content")
        if names:
            with st.popover(_("Set a price"), icon=":material/sell:", type="tertiary"):
                st.markdown(
                    _(
                        "Write USD for a million tokens into a TOML file, name it in `TRACKER_PRICES` where the"
                        " dashboard runs, and give the calls so far their cost with `token-tracker reprice`."
                    )
                )
                st.code(example(names), language="toml")


def _list(reasons: pd.DataFrame) -> None:
    marked = [isinstance(problem, str) and not is_aggregated(problem) for problem in reasons["usage_problem"]]
    inconsistent = int(reasons.loc[marked, "calls"].sum())
    label = _("Calls without a price: {unpriced}. Calls with inconsistent usage: {inconsistent}.").format(
        unpriced=exact(int(reasons["unpriced_calls"].sum())), inconsistent=exact(inconsistent)
    )
    with st.expander(label, key="unpriced_reasons"):
        data = listed(reasons)
        config = {
            "calls": st.column_config.NumberColumn(_("Calls"), format="localized", width=70),
            "model": st.column_config.TextColumn(_("Model"), width=170),
            "provider": st.column_config.TextColumn(_("Provider"), width=100),
            "source": st.column_config.TextColumn(_("Source"), width=130),
            "reason": st.column_config.TextColumn(_("Reason")),
        }
        st.dataframe(
            data,
            column_config=config,
            column_order=list(config),
            hide_index=True,
            height="content",
            placeholder="",
            alt=_("Calls without a price or with inconsistent usage, by reason"),
        )
        if len(reasons) > len(data):
            st.caption(_("The {n} reasons with the most calls are listed.").format(n=len(data)))


def listed(reasons: pd.DataFrame) -> pd.DataFrame:
    """calls, model, provider, source and reason as text, those with the most calls first."""
    data = reasons.head(_MAX_REASONS)
    texts = [_reason(*values) for values in data[["usage_problem", "reason", "unpriced_calls"]].values]
    return pd.DataFrame(
        {
            "calls": data["calls"].astype(int),
            "model": data["model"].fillna(""),
            "provider": data["provider"].fillna(""),
            "source": data["usage_source"].fillna(""),
            "reason": texts,
        }
    )


def _reason(problem: str | None, reason: str | None, unpriced_calls: int) -> str:
    if isinstance(problem, str):
        text = told(problem_text(problem))
        return text if unpriced_calls else f"{text} {_('The cost was given.')}"
    found = read_reason(f"{PREFIX}{reason}") if isinstance(reason, str) else None
    if found is None:
        return _("Not looked up in a price list yet. `token-tracker reprice` sets the cost or the reason.")
    return told(describe_reason(found))


def without_price(models: pd.DataFrame) -> list[str]:
    """The models of a range with calls that have no price, the one with most such calls first."""
    counts = models.groupby("model")["unpriced_calls"].sum()
    return [str(name) for name in counts[counts > 0].sort_values(ascending=False, kind="stable").index]


def summary(totals: Totals, names: list[str]) -> str:
    """How many calls and tokens have no price; plain text, since it contains names from the database."""
    text = _("Without a price, and in no cost: {calls} with {tokens} tokens ({models}).")
    shown = [name[:_LONGEST] for name in names[:_MOST]]
    if more := len(names) - _MOST:
        shown += [plural("{n} more", "{n} more", more).format(n=more)] if more > 0 else []
    return text.format(
        calls=calls(totals.unpriced_calls), tokens=count(totals.unpriced_tokens), models=", ".join(shown)
    )


def example(names: list[str]) -> str:
    """The lines of the file; a JSON string is one of TOML too."""
    prices = [f"[[price]]\nmodel = {json.dumps(name)}\ninput = 0.50\noutput = 1.50\n" for name in names[:_MOST]]
    return "\n".join(prices)
