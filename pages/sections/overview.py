"""The sections of the Overview: metrics, charts, and tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from pages.sections.explorer_links import explorer_table, open_bar, open_explorer, table_key
from pages.support import query_params
from pages.support.currency.display_currency import convert_column, is_usd
from pages.support.formats import (
    ago,
    calls,
    cost,
    count,
    escape_markdown,
    exact,
    milliseconds,
    percent_change,
    percent_number,
    percentage,
    point_change,
    usd,
)
from pages.support.i18n import _, plural
from pages.widgets.charts import stacked
from pages.widgets.tables import (
    TableColumn,
    number_column,
    percent_bar_column,
    selectable_table,
    text_column,
    trend_column,
)
from pages.widgets.time_range import TimeRange
from pages.widgets.time_span import to_local
from tracker.reports.explorer.explorer_query import UNKNOWN
from tracker.reports.usage_totals import Totals

_MAX_MODELS = 6
# The widths let a phone show the name, the tokens and the cost.
_NAME_WIDTH, _TOKENS_WIDTH, _COST_WIDTH = 136, 64, 92


def _at_least_help() -> str:
    return _("≥ means that some calls have no price and are not included")


@dataclass(frozen=True, slots=True)
class UserCounts:
    """The number of users in the range, in the previous range, and in each bucket.

    `has_anonymous`: the numbers count the calls without a user as one user.
    """

    current: int
    previous: int | None
    over_time: pd.Series[float]
    has_anonymous: bool


def usage_metrics(
    totals: Totals, previous: Totals | None, users: UserCounts, trend: pd.DataFrame, range_: TimeRange
) -> None:
    """Draw five metrics with their change from the previous range and their trend."""
    # Without the incomplete buckets at the ends, which would look like sharp drops.
    start = to_local(range_.filters.start, range_.filters.timezone)
    is_cut = range_.name != "all" and len(trend) > 0 and trend.index[0] < start
    complete = trend.iloc[int(is_cut) : -1] if len(trend) > 3 else trend
    failed = (complete["failed_calls"] / complete["calls"].where(complete["calls"] > 0)).fillna(0)
    comparison = range_.comparison_label if previous else None
    named_users = users.current - users.has_anonymous

    def metric(label: str, value: str, delta: str | int | None, line: Any, help_text: str, color: str = "off") -> None:
        st.metric(
            label,
            value,
            delta,
            delta_color="blue" if delta is None else color if delta else "gray",  # type: ignore[arg-type]
            delta_description=comparison if delta is not None else None,
            chart_data=list(line) if len(line) > 1 and any(line) else None,
            chart_type="bar",  # starts at zero; an area chart starts at its smallest value
            border=True,
            height="stretch",
            help=help_text,
        )

    with st.grid(5, min_column_width=150):
        metric(
            _("Tokens"),
            count(totals.total_tokens),
            percent_change(totals.total_tokens, previous.total_tokens) if previous else None,
            complete["total_tokens"],
            _("{all} tokens: {input} in (of these {cached} cached), {output} out").format(
                all=exact(totals.total_tokens),
                input=exact(totals.input_tokens),
                cached=exact(totals.cache_read_input_tokens),
                output=exact(totals.output_tokens),
            ),
            "blue",
        )
        metric(
            _("Cost"), _cost(totals), _cost_change(totals, previous), complete["cost_local"], _cost_help(totals), "blue"
        )
        metric(
            _("Calls"),
            count(totals.calls),
            percent_change(totals.calls, previous.calls) if previous else None,
            complete["calls"],
            calls(totals.calls),
            "blue",
        )
        metric(
            _("Errors"),
            percentage(totals.failed_share),
            point_change(totals.failed_share, previous.failed_share) if previous else None,
            failed,
            _("{failed} of {calls} failed").format(failed=exact(totals.failed_calls), calls=calls(totals.calls)),
            "inverse" if totals.failed_calls else "gray",
        )
        metric(
            _("Users"),
            count(named_users),
            percent_change(users.current, users.previous) if users.previous is not None else None,
            users.over_time.reindex(complete.index).fillna(0.0) if named_users else [],
            _users_help(named_users, has_anonymous=users.has_anonymous),
            "blue",
        )


def _users_help(users: int, *, has_anonymous: bool) -> str:
    text = plural("{n} user with at least one call", "{n} users with at least one call", users).format(n=exact(users))
    return f"{text}. {_('Calls without a user_id are not counted here.')}" if has_anonymous else text


def _cost(totals: Totals) -> str:
    amount = cost(totals.cost_local)
    return f"≥ {amount}" if totals.unpriced_calls and totals.cost_usd is not None else amount


def _cost_change(totals: Totals, previous: Totals | None) -> str | int | None:
    if previous is None or totals.cost_local is None or not previous.cost_local:
        return None
    return percent_change(float(totals.cost_local), float(previous.cost_local))


def _cost_help(totals: Totals) -> str:
    source = _(
        "The cost of a call comes from the app or, with the extra `prices`, from the model's list price. `cost_source`"
        " shows which."
    )
    if totals.cost_usd is None:
        return f"{_('None of these calls has a price.')} {source}"
    amounts = usd(totals.cost_usd, all_digits=True)
    if not is_usd():
        amounts = f"{cost(totals.cost_local, all_digits=True)} ({amounts})"
    return f"{escape_markdown(amounts)}. {source}"


def tokens_by_switch() -> None:
    """Draw the switch between tokens by model and by kind."""
    query_params.init_widget("tokens_by", "tokens", lambda text: "kind" if text == "kind" else "model")
    labels = {"model": _("by model"), "kind": _("by kind")}
    selected = st.segmented_control(
        _("Tokens"),
        list(labels),
        format_func=labels.__getitem__,
        required=True,
        key="tokens_by",
        label_visibility="collapsed",
        persist_state="session",
    )
    query_params.set("tokens", None if selected == "model" else selected)


def tokens_chart(over_time: pd.DataFrame, chart_options: dict[str, Any]) -> None:
    """Draw the tokens over time, by model or by kind."""
    options: dict[str, Any] = {
        "number": "count",
        "label": _("Tokens"),
        "on_click": lambda clicked: open_bar(clicked, chart_options["bucket"], "total_tokens"),
        **chart_options,
    }
    if st.session_state["tokens_by"] == "model":
        stacked(over_time, "total_tokens", alt=_("Tokens over time by model"), **options)
        return
    kinds = _by_kind(over_time)
    names = list(dict.fromkeys(kinds["name"]))
    stacked(
        kinds,
        "tokens",
        alt=_("Tokens over time by kind"),
        colors="kind",
        **(options | {"names": names}),
    )


def _by_kind(over_time: pd.DataFrame) -> pd.DataFrame:
    """Tokens by kind: input without cached, cached, output without reasoning, and reasoning."""
    cached, reasoning = over_time["cache_read_input_tokens"], over_time["reasoning_output_tokens"]
    kinds = {
        _("input"): (over_time["input_tokens"] - cached).clip(lower=0),
        _("input, cached"): cached,
        _("output"): (over_time["output_tokens"] - reasoning).clip(lower=0),
        _("output, reasoning"): reasoning,
    }
    parts = [pd.DataFrame({"at": over_time["at"], "name": name, "tokens": values}) for name, values in kinds.items()]
    return pd.concat(parts, ignore_index=True)


def cost_texts(data: pd.DataFrame) -> list[str]:
    """The costs as text, with ≥ if calls without a price are missing."""
    pairs = zip(data["cost_local"], data["unpriced_calls"], strict=True)
    return [f"≥ {cost(amount)}" if unpriced and not pd.isna(amount) else cost(amount) for amount, unpriced in pairs]


def _usage_columns(data: pd.DataFrame) -> dict[str, TableColumn]:
    return {
        "total_tokens": number_column(_("Tokens"), count, _TOKENS_WIDTH),
        "cost_local": number_column(_("Cost"), cost_texts(data), _COST_WIDTH, _at_least_help()),
    }


def _shares(data: pd.DataFrame, all_tokens: int) -> list[float]:
    return [percent_number(tokens / all_tokens if all_tokens else 0.0) for tokens in data["total_tokens"]]


def model_table(models: pd.DataFrame) -> None:
    """Draw the tokens and cost of the models with the most tokens."""
    by_model = models.groupby("model")
    data = by_model[["total_tokens", "calls", "unpriced_calls"]].sum()
    data = data.assign(cost_local=by_model["cost_local"].sum(min_count=1)).reset_index()
    data = data.sort_values("total_tokens", ascending=False).head(_MAX_MODELS)
    data = data.assign(share=_shares(data, int(models["total_tokens"].sum())))
    config = {
        "model": text_column(_("Model"), _NAME_WIDTH),
        **_usage_columns(data),
        "share": percent_bar_column(_("Share"), 110),
    }
    alt = _("Tokens and cost by model")
    explorer_table(data, config, alt=alt, key="models", dimension="model", names=list(data["model"]))


def operation_table(data: pd.DataFrame, all_tokens: int) -> None:
    """Draw the tokens, their share of all tokens, the cost, and the cost per call, by operation."""
    data = data.assign(share=_shares(data, all_tokens))
    config = {
        "operation": text_column(_("Operation"), _NAME_WIDTH),
        **_usage_columns(data),
        "cost_per_call_local": number_column(
            _("Per call"), cost, 78, _("The mean cost of the calls that have a price")
        ),
        "share": percent_bar_column(_("Share"), 84),
    }
    alt = _("Tokens and cost by operation")
    explorer_table(data, config, alt=alt, key="operations", dimension="operation", names=list(data["operation"]))


def user_table(data: pd.DataFrame) -> None:
    """Draw the users with the most tokens, and the trend of each."""
    config = {
        "user_id": text_column(_("User"), _NAME_WIDTH),
        **_usage_columns(data),
        "trend": trend_column(_("Trend"), 110),
    }
    alt = _("The users with the most tokens")
    explorer_table(data, config, alt=alt, key="users", dimension="user", names=list(data["user_id"]))


def record_table(data: pd.DataFrame, timezone: str) -> None:
    """Draw the newest records of the range."""
    data = data.assign(
        ago=[ago(created_at) for created_at in pd.to_datetime(data["created_at"], utc=True)],
        cost_local=pd.Series(convert_column(data, timezone), index=data.index, dtype=float),
        result=[_result(ok, test, sample) for ok, test, sample in data[["success", "is_test", "is_sample"]].values],
        arrived=delivery_labels(data),
    )
    config = {
        "ago": text_column(_("When"), 82),
        "model": text_column(_("Model"), 130),
        "cost_local": number_column(_("Cost"), cost, 82),
        "input_tokens": number_column(_("In"), exact, 66),
        "output_tokens": number_column(_("Out"), exact, 62),
        "result": text_column(_("Result"), 92),
        "processing_time": number_column(_("Duration"), milliseconds, 74),
        "operation": text_column(_("Operation"), 134),
        "user_id": text_column(_("User"), 98),
        "arrived": text_column(
            _("Delivery"),
            86,
            _(
                "direct: written before record returned; background: by the app's worker thread; outbox: queued first;"
                " OTLP: from an OpenTelemetry span; imported: from a file or by another program"
            ),
        ),
    }
    if data["error_message"].notna().any():
        config["error_message"] = text_column(_("Error"), 150)
    alt, key = _("The newest records"), table_key("records")
    selected = selectable_table(data, config, alt=alt, key=key, max_rows=len(data))
    if selected is not None:
        record = data.iloc[selected]
        model = UNKNOWN if pd.isna(record["model"]) else str(record["model"])
        open_explorer(rows="model", row=model, call=str(record["id"]))


def delivery_labels(data: pd.DataFrame) -> list[str]:
    """The label of each row's delivery, for rows with `delivery` and `is_span`."""
    return [delivery_label(*values) for values in data[["delivery", "is_span"]].values]


def delivery_label(delivery: object, is_span: object) -> str:
    """The label of a row's delivery. A row that no Tracker recorded has none, or NaN in a column with other texts."""
    labels = {"direct": _("direct"), "background": _("background"), "outbox": _("outbox")}
    if isinstance(delivery, str) and delivery:
        return labels.get(delivery, delivery)
    return "OTLP" if is_span else _("imported")


def _result(success: bool, is_test: bool, is_sample: bool) -> str:
    parts = [_("ok") if success else _("failed"), _("test") if is_test else "", _("sample") if is_sample else ""]
    return ", ".join(part for part in parts if part)
