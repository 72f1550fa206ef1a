"""What the cost leaves out: the calls of models that nobody has a price for, and how to give them one."""

from __future__ import annotations

import json

import pandas as pd
import streamlit as st
from _formats import calls, count
from _words import _, plural

from tracker.reports.usage import Totals

_MOST = 3
_LONGEST = 60


def unpriced(totals: Totals, models: pd.DataFrame) -> None:
    """A line that says how much has no price and of which models; nothing where all calls have one."""
    if not totals.unpriced_calls:
        return
    names = without_price(models)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="unpriced"):
        st.text(sentence(totals, names), width="content")
        if names:
            with st.popover(_("Set a price"), icon=":material/sell:", type="tertiary"):
                st.markdown(
                    _(
                        "Write USD for a million tokens into a TOML file, name it in `TRACKER_PRICES` where the"
                        " dashboard runs, and give the calls so far their cost with `token-tracker reprice`."
                    )
                )
                st.code(example(names), language="toml")


def without_price(models: pd.DataFrame) -> list[str]:
    """The models of a range with calls that have no price, the one with most such calls first."""
    counts = models.groupby("model")["unpriced_calls"].sum()
    return [str(name) for name in counts[counts > 0].sort_values(ascending=False, kind="stable").index]


def sentence(totals: Totals, names: list[str]) -> str:
    """As text, since it names models of the database."""
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
