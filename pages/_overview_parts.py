"""The Overview's figures and tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st
from _formats import change, count, exact, points, share, usd
from _range import Range

from tracker.reports import Reader, removal
from tracker.reports.usage import Totals

_ROW = 34
_ROWS = 6
_AT_LEAST = "≥ where some calls have no price"


def sample_notice(reader: Reader, totals: Totals) -> None:
    """Whoever sees sample calls among the figures is told, and can remove them."""
    if not totals.sample_calls:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="sample_notice"):
        part = (
            "All" if totals.sample_calls == totals.calls else f"{exact(totals.sample_calls)} of {exact(totals.calls)}"
        )
        st.markdown(f":material/dataset: **Sample data.** {part} calls in this range are invented.", width="stretch")
        if st.button("Remove sample data", key="remove_sample"):
            removal.remove_samples(reader)
            st.rerun()


@dataclass(frozen=True, slots=True)
class Users:
    """How many users there were, in the period before, and in each bucket."""

    now: int
    before: int | None
    over_time: pd.Series[float]


def figures(totals: Totals, before: Totals | None, users: Users, trend: pd.DataFrame, shown: Range) -> None:
    """Five figures, each with its change against the period before and how it developed."""
    # The bucket that is still running would draw a cliff at the end of every line.
    complete = trend.iloc[:-1] if len(trend) > 3 else trend
    failed = (complete["failed_calls"] / complete["calls"].where(complete["calls"] > 0)).fillna(0)
    against = shown.against if before else None

    def metric(label: str, value: str, delta: str | int | None, line: Any, help_text: str, color: str = "off") -> None:
        st.metric(
            label,
            value,
            delta,
            delta_color="blue" if delta is None else color if delta else "gray",  # type: ignore[arg-type]
            delta_description=against if delta is not None else None,
            chart_data=list(line) if len(line) > 1 and any(line) else None,
            chart_type="area",
            border=True,
            height="stretch",
            help=help_text,
        )

    with st.grid(5, min_column_width=190):
        metric(
            "Tokens",
            count(totals.total_tokens),
            change(totals.total_tokens, before.total_tokens) if before else None,
            complete["total_tokens"],
            f"{exact(totals.total_tokens)} tokens: {exact(totals.input_tokens)} in (of these"
            f" {exact(totals.cache_read_input_tokens)} cached), {exact(totals.output_tokens)} out",
            "blue",
        )
        metric(
            "Cost",
            usd(totals.cost_usd),
            _cost_change(totals, before),
            complete["cost_usd"],
            _cost_help(totals),
            "blue",
        )
        metric(
            "Calls",
            count(totals.calls),
            change(totals.calls, before.calls) if before else None,
            complete["calls"],
            f"{exact(totals.calls)} calls",
            "blue",
        )
        metric(
            "Errors",
            share(totals.failed_share),
            points(totals.failed_share, before.failed_share) if before else None,
            failed,
            f"{exact(totals.failed_calls)} of {exact(totals.calls)} calls failed",
            "inverse" if totals.failed_calls else "gray",
        )
        metric(
            "Users",
            count(users.now),
            change(users.now, users.before) if users.before is not None else None,
            users.over_time.iloc[: len(complete)],
            f"{exact(users.now)} users with at least one call",
            "blue",
        )
    if totals.unpriced_calls and totals.cost_usd is not None:
        st.caption(
            f":material/info: The cost leaves out {exact(totals.unpriced_calls)} calls with"
            f" {count(totals.unpriced_tokens)} tokens that have no price."
        )


def _cost_change(totals: Totals, before: Totals | None) -> str | int | None:
    if before is None or totals.cost_usd is None or not before.cost_usd:
        return None
    return change(float(totals.cost_usd), float(before.cost_usd))


def _cost_help(totals: Totals) -> str:
    if totals.cost_usd is None:
        return f"None of the {exact(totals.calls)} calls has a price."
    unpriced = f"; {exact(totals.unpriced_calls)} calls have no price" if totals.unpriced_calls else ""
    return f"{totals.cost_usd:,.6f} US dollars{unpriced}"


def _bar(label: str, data: pd.DataFrame, column: str, help_text: str | None = None) -> Any:
    largest = float(data[column].max() or 0)
    return st.column_config.ProgressColumn(
        label, format="compact", min_value=0, max_value=largest or 1.0, help=help_text, color="blue", width=74
    )


def _money(label: str, help_text: str | None = None, width: int | None = 76) -> Any:
    return st.column_config.TextColumn(label, help=help_text, alignment="right", width=width)


def _costs(data: pd.DataFrame) -> list[str]:
    """Costs as text, marked where they leave calls without a price out."""
    pairs = zip(data["cost_usd"], data["unpriced_calls"], strict=True)
    return [f"≥ {usd(cost)}" if unpriced and not pd.isna(cost) else usd(cost) for cost, unpriced in pairs]


def _table(data: pd.DataFrame, config: dict[str, Any], *, alt: str) -> None:
    st.dataframe(
        data,
        column_config=config,
        column_order=list(config),
        hide_index=True,
        row_height=_ROW,
        height="content",
        placeholder="",
        alt=alt,
    )


def by_model(models: pd.DataFrame) -> None:
    """Tokens, calls and cost of each model, with what has no price said."""
    data = models.groupby("model", as_index=False).agg(
        total_tokens=("total_tokens", "sum"),
        calls=("calls", "sum"),
        cost_usd=("cost_usd", lambda costs: costs.sum(min_count=1)),
        unpriced_calls=("unpriced_calls", "sum"),
    )
    data = data.sort_values("total_tokens", ascending=False)
    data = data.head(_ROWS).assign(cost=_costs(data.head(_ROWS)))
    config = {
        "model": st.column_config.TextColumn("Model"),
        "total_tokens": _bar("Tokens", data, "total_tokens"),
        "cost": _money("Cost", _AT_LEAST),
    }
    _table(data, config, alt="Tokens and cost by model")


def by_operation(data: pd.DataFrame) -> None:
    """Tokens, calls and the cost of one call, by operation."""
    data = data.assign(cost=_costs(data), per_call=[usd(cost) for cost in data["cost_per_call_usd"]])
    config = {
        "operation": st.column_config.TextColumn("Operation", width=118),
        "total_tokens": _bar("Tokens", data, "total_tokens"),
        "cost": _money("Cost", _AT_LEAST),
        "per_call": _money("Per call", "The mean cost of a call, of those that have a price"),
    }
    _table(data, config, alt="Tokens and cost by operation")


def top_users(data: pd.DataFrame) -> None:
    """Who used most, with each one's trend."""
    data = data.assign(cost=_costs(data))
    config = {
        "user_id": st.column_config.TextColumn("User"),
        "total_tokens": _bar("Tokens", data, "total_tokens"),
        "trend": st.column_config.AreaChartColumn("Trend", y_min=0, width=60),
        "cost": _money("Cost", _AT_LEAST),
    }
    _table(data, config, alt="The users with the most tokens")


def last_records(data: pd.DataFrame, timezone: str) -> None:
    """The newest records of the range."""
    data = data.assign(
        at=pd.to_datetime(data["created_at"], utc=True).dt.tz_convert(timezone),
        cost=[usd(cost) for cost in data["cost_usd"]],
        result=[_result(ok, test, made_up) for ok, test, made_up in data[["success", "is_test", "is_sample"]].values],
    )
    config: dict[str, Any] = {
        "at": st.column_config.DatetimeColumn("When", format="distance", width=130),
        "model": st.column_config.TextColumn("Model", width=150),
        "operation": st.column_config.TextColumn("Operation", width=150),
        "user_id": st.column_config.TextColumn("User"),
        "input_tokens": st.column_config.NumberColumn("In", format="localized"),
        "output_tokens": st.column_config.NumberColumn("Out", format="localized"),
        "cost": _money("Cost", width=None),
        "processing_time": st.column_config.NumberColumn("Took", format="%d ms"),
        "result": st.column_config.TextColumn("Result"),
        "delivery": st.column_config.TextColumn(
            "Arrived", help="How the row got here; empty for imported and sample rows"
        ),
    }
    if data["error_message"].notna().any():
        config["error_message"] = st.column_config.TextColumn("Error")
    _table(data, config, alt="The newest records")


def _result(success: bool, is_test: bool, is_sample: bool) -> str:
    return ("ok" if success else "failed") + (", test" if is_test else "") + (", sample" if is_sample else "")
