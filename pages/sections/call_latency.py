"""The latency sections of the Latency and errors page: metrics, the chart of first tokens, and the table of models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from pages.support.formats import DASH, exact, milliseconds, percentage, three_digits
from pages.support.i18n import _
from pages.widgets.charts import lines
from pages.widgets.empty_state import empty_section
from pages.widgets.tables import number_column, table, text_column
from tracker.errors import DatabaseError
from tracker.reports import Filters, Reader
from tracker.reports.ai_calls import call_speed
from tracker.reports.usage_totals import Totals

_MAX_MODELS = 12


@dataclass(frozen=True, slots=True)
class CallSpeed:
    """The reports that read the rows: in total, by model, and over time; `too_slow` if the time limit ended them."""

    first_token: pd.DataFrame
    first_token_by_model: pd.DataFrame
    first_token_over_time: pd.DataFrame
    output: pd.DataFrame
    too_slow: bool = False


def read_speed(reader: Reader, filters: Filters) -> CallSpeed:
    """The reports that read the rows. Raises `DatabaseError`, except for the time limit."""
    try:
        return CallSpeed(
            call_speed.first_token(reader, filters),
            call_speed.first_token(reader, filters, ("model",)),
            call_speed.first_token(reader, filters, ("step",)),
            call_speed.output_speed(reader, filters),
        )
    except DatabaseError as error:
        if error.code != "statement_timeout":
            raise
        first = pd.DataFrame(columns=["bucket", "model", "first_token_calls", *call_speed.FIRST_TOKEN_COLUMNS])
        output = pd.DataFrame(columns=["model", "output_tokens", "duration_ms", "tokens_per_s"])
        return CallSpeed(first, first, first, output, too_slow=True)


def latency_metrics(overall: pd.DataFrame, speed: CallSpeed, totals: Totals) -> None:
    """Draw the percentiles of the duration, the time to the first token, the output speed, and the error rate."""
    duration = overall.iloc[0] if len(overall) else pd.Series(dtype=float)
    first = speed.first_token.iloc[0] if len(speed.first_token) else pd.Series(dtype=float)
    with st.grid(6, min_column_width=140):
        for percent in (50, 95, 99):
            st.metric(
                _("Duration, p{n}").format(n=percent),
                milliseconds(duration.get(f"latency_p{percent}_ms")),
                border=True,
                help=_("{n}% of the calls took at most this time").format(n=percent),
            )
        st.metric(
            _("First token, p95"),
            milliseconds(first.get("first_token_p95_ms")),
            border=True,
            help=_("Time to the first content of a stream. p50: {p50}. Calls with this time: {n}").format(
                p50=milliseconds(first.get("first_token_p50_ms")), n=exact(first.get("first_token_calls", 0))
            ),
        )
        st.metric(
            _("Output tokens/s"),
            tokens_per_second(call_speed.overall_tokens_per_s(speed.output)),
            border=True,
            help=_("Output tokens of the successful calls, divided by the sum of their durations"),
        )
        st.metric(
            _("Error rate"),
            percentage(totals.failed_share),
            border=True,
            help=_("{failed} of {n} calls failed").format(failed=exact(totals.failed_calls), n=exact(totals.calls)),
        )


def tokens_per_second(value: float | None) -> str:
    """Output tokens per second: 84.2 · 3.2; a dash for an unknown value."""
    return DASH if value is None or pd.isna(value) else three_digits(value)


def first_token_chart(reader: Reader, speed: CallSpeed, axis: dict[str, Any]) -> None:
    """Draw the time to the first token over time, or why there is none."""
    data = speed.first_token_over_time
    if speed.too_slow:
        empty_section(_("The range has too many calls for this figure. Select a shorter range."))
    elif reader.table().missing_optional_columns:
        empty_section(_("The table has no column for the time to the first token. Run token-tracker migrate."))
    elif data.empty:
        empty_section(
            _(
                "No call in this range has a time to the first token. It is recorded for streams of wrapped clients,"
                " track blocks, callbacks, OpenTelemetry and imports."
            )
        )
    else:
        named = dict(zip(call_speed.FIRST_TOKEN_COLUMNS, ("p50", "p95"), strict=True))
        long = data.rename(columns={"bucket": "at"}).melt("at", list(named), "name", "ms").replace({"name": named})
        label, alt = _("Time to first token"), _("Time to first token over time")
        lines(long, "ms", number="ms", label=label, alt=alt, **axis)


def model_latency_table(latency: pd.DataFrame, speed: CallSpeed) -> None:
    """Draw the duration, the time to the first token, and the output speed of the models with the most calls."""
    if latency.empty:
        empty_section(_("No call in this range has a duration."))
        return
    first = speed.first_token_by_model.set_index("model")[[*call_speed.FIRST_TOKEN_COLUMNS]]
    data = latency.join(first, on="model").join(speed.output.set_index("model")["tokens_per_s"], on="model")
    data = data.head(_MAX_MODELS)
    data = data.assign(model=data["model"].fillna("unknown"))
    columns = {
        "model": text_column(_("Model"), 130),
        "calls": number_column(_("Calls"), exact, 64),
        "latency_p50_ms": number_column("p50", milliseconds, 66, _("Duration of the call, for 50% of the calls")),
        "latency_p95_ms": number_column("p95", milliseconds, 66),
        "latency_p99_ms": number_column("p99", milliseconds, 66),
        "max_ms": number_column(_("max"), milliseconds, 66),
        "first_token_p50_ms": number_column(
            _("first token p50"), milliseconds, 110, _("Time to the first content of a stream")
        ),
        "first_token_p95_ms": number_column(_("first token p95"), milliseconds, 110),
        "tokens_per_s": number_column(
            _("tokens/s"), tokens_per_second, 76, _("Output tokens divided by the duration, of successful calls")
        ),
    }
    table(data, columns, alt=_("Latency by model"), placeholder="–")
    if speed.too_slow:
        st.caption(_("The range has too many calls for the first token and the tokens per second."))
