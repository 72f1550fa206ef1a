"""The Overview's figures and tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from pages.support import query_params
from pages.support.formats import ago, calls, change, count, exact, points, share, usd
from pages.support.i18n import _, plural
from pages.widgets.charts import stacked
from pages.widgets.time_range import Range
from tracker.reports.usage_totals import Totals

_ROW = 34
_ROWS = 6
# Names may be long; a column as wide as the longest would push the figures out of sight.
_NAME = 170


def _at_least() -> str:
    return _("≥ where some calls have no price: what they cost isn't known")


@dataclass(frozen=True, slots=True)
class Users:
    """How many users there were, in the period before, and in each bucket; `anonymous` is one of them, or nobody."""

    now: int
    before: int | None
    over_time: pd.Series[float]
    anonymous: bool


def figures(totals: Totals, before: Totals | None, users: Users, trend: pd.DataFrame, shown: Range) -> None:
    """Five figures, each with its change against the period before and how it developed."""
    # The bucket that is still running would draw a cliff at the end of every line.
    complete = trend.iloc[:-1] if len(trend) > 3 else trend
    failed = (complete["failed_calls"] / complete["calls"].where(complete["calls"] > 0)).fillna(0)
    against = shown.against if before else None
    named = users.now - users.anonymous

    def metric(label: str, value: str, delta: str | int | None, line: Any, help_text: str, color: str = "off") -> None:
        st.metric(
            label,
            value,
            delta,
            delta_color="blue" if delta is None else color if delta else "gray",  # type: ignore[arg-type]
            delta_description=against if delta is not None else None,
            chart_data=list(line) if len(line) > 1 and any(line) else None,
            chart_type="bar",  # from zero; an area would begin at its smallest value
            border=True,
            height="stretch",
            help=help_text,
        )

    with st.grid(5, min_column_width=150):
        metric(
            _("Tokens"),
            count(totals.total_tokens),
            change(totals.total_tokens, before.total_tokens) if before else None,
            complete["total_tokens"],
            _("{all} tokens: {input} in (of these {cached} cached), {output} out").format(
                all=exact(totals.total_tokens),
                input=exact(totals.input_tokens),
                cached=exact(totals.cache_read_input_tokens),
                output=exact(totals.output_tokens),
            ),
            "blue",
        )
        metric(_("Cost"), _cost(totals), _cost_change(totals, before), complete["cost_usd"], _cost_help(totals), "blue")
        metric(
            _("Calls"),
            count(totals.calls),
            change(totals.calls, before.calls) if before else None,
            complete["calls"],
            calls(totals.calls),
            "blue",
        )
        metric(
            _("Errors"),
            share(totals.failed_share),
            points(totals.failed_share, before.failed_share) if before else None,
            failed,
            _("{failed} of {calls} failed").format(failed=exact(totals.failed_calls), calls=calls(totals.calls)),
            "inverse" if totals.failed_calls else "gray",
        )
        metric(
            _("Users"),
            count(named),
            change(users.now, users.before) if users.before is not None else None,
            users.over_time.iloc[: len(complete)] if named else [],
            _users_help(named, anonymous=users.anonymous),
            "blue",
        )


def _users_help(users: int, *, anonymous: bool) -> str:
    text = plural("{n} user with at least one call", "{n} users with at least one call", users).format(n=exact(users))
    return f"{text}. {_('Calls without a user_id are beside them.')}" if anonymous else text


def _cost(totals: Totals) -> str:
    return (
        f"≥ {usd(totals.cost_usd)}" if totals.unpriced_calls and totals.cost_usd is not None else usd(totals.cost_usd)
    )


def _cost_change(totals: Totals, before: Totals | None) -> str | int | None:
    if before is None or totals.cost_usd is None or not before.cost_usd:
        return None
    return change(float(totals.cost_usd), float(before.cost_usd))


def _cost_help(totals: Totals) -> str:
    source = _(
        "A call's cost is what the app gave with it, or its tokens at the model's list price where the extra `prices`"
        " is installed; `cost_source` says which."
    )
    if totals.cost_usd is None:
        return f"{_('None of these calls has a price.')} {source}"
    amount = _("{amount} US dollars.").format(amount=f"{totals.cost_usd:,.6f}")
    return f"{amount} {source}"


def tokens_by() -> None:
    """The switch between tokens by model and by what they are."""
    query_params.prepare("tokens_by", "tokens", lambda text: "kind" if text == "kind" else "model")
    words = {"model": _("by model"), "kind": _("by kind")}
    chosen = st.segmented_control(
        _("Tokens"),
        list(words),
        format_func=words.__getitem__,
        required=True,
        key="tokens_by",
        label_visibility="collapsed",
        persist_state="session",
    )
    query_params.put("tokens", None if chosen == "model" else chosen)


def tokens(over_time: pd.DataFrame, shared: dict[str, Any]) -> None:
    """Tokens over time, as `tokens_by` says."""
    given: dict[str, Any] = {"number": "count", "label": _("Tokens"), **shared}
    if st.session_state["tokens_by"] == "model":
        stacked(over_time, "total_tokens", alt=_("Tokens over time by model"), **given)
        return
    kinds = _by_kind(over_time)
    names = list(dict.fromkeys(kinds["name"]))
    stacked(
        kinds,
        "tokens",
        alt=_("Tokens over time by kind"),
        colors="kind",
        name_label=_("Kind"),
        **(given | {"names": names}),
    )


def _by_kind(over_time: pd.DataFrame) -> pd.DataFrame:
    """Input and output without those parts of them that have their own names: cached, and reasoning."""
    cached, reasoning = over_time["cache_read_input_tokens"], over_time["reasoning_output_tokens"]
    kinds = {
        _("input"): (over_time["input_tokens"] - cached).clip(lower=0),
        _("input, cached"): cached,
        _("output"): (over_time["output_tokens"] - reasoning).clip(lower=0),
        _("output, reasoning"): reasoning,
    }
    parts = [pd.DataFrame({"at": over_time["at"], "name": name, "tokens": values}) for name, values in kinds.items()]
    return pd.concat(parts, ignore_index=True)


def _bar(label: str, data: pd.DataFrame, column: str, help_text: str | None = None) -> Any:
    largest = float(data[column].max() or 0)
    return st.column_config.ProgressColumn(
        label, format="compact", min_value=0, max_value=largest or 1.0, help=help_text, color="blue", width=70
    )


def _money(label: str, help_text: str | None = None, width: int | None = 74) -> Any:
    return st.column_config.TextColumn(label, help=help_text, alignment="right", width=width)


def costs(data: pd.DataFrame) -> list[str]:
    """Costs as text, marked where they leave calls without a price out."""
    pairs = zip(data["cost_usd"], data["unpriced_calls"], strict=True)
    return [f"≥ {usd(cost)}" if unpriced and not pd.isna(cost) else usd(cost) for cost, unpriced in pairs]


def table(data: pd.DataFrame, config: dict[str, Any], *, alt: str) -> None:
    """Rows of our look, as high as they are."""
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
    data = data.sort_values("total_tokens", ascending=False).head(_ROWS)
    data = data.assign(cost=costs(data))
    config = {
        "model": st.column_config.TextColumn(_("Model"), width=_NAME),
        "total_tokens": _bar(_("Tokens"), data, "total_tokens"),
        "cost": _money(_("Cost"), _at_least()),
    }
    table(data, config, alt=_("Tokens and cost by model"))


def by_operation(data: pd.DataFrame, all_tokens: int) -> None:
    """Tokens with their share of all, cost, and the cost of one call, by operation."""
    data = data.assign(
        share=[share(tokens / all_tokens if all_tokens else None) for tokens in data["total_tokens"]],
        cost=costs(data),
        per_call=[usd(cost) for cost in data["cost_per_call_usd"]],
    )
    config = {
        "operation": st.column_config.TextColumn(_("Operation"), width=130),
        "total_tokens": _bar(_("Tokens"), data, "total_tokens"),
        "share": st.column_config.TextColumn(_("Share"), alignment="right", width=48),
        "cost": _money(_("Cost"), _at_least()),
        "per_call": _money(_("Per call"), _("The mean cost of a call, of those that have a price"), 72),
    }
    table(data, config, alt=_("Tokens and cost by operation"))


def top_users(data: pd.DataFrame) -> None:
    """Who used most, with each one's trend."""
    data = data.assign(cost=costs(data))
    config = {
        "user_id": st.column_config.TextColumn(_("User"), width=120),
        "total_tokens": _bar(_("Tokens"), data, "total_tokens"),
        "trend": st.column_config.AreaChartColumn(_("Trend"), y_min=0, width=60),
        "cost": _money(_("Cost"), _at_least()),
    }
    table(data, config, alt=_("The users with the most tokens"))


def last_records(data: pd.DataFrame, timezone: str) -> None:
    """The newest records of the range."""
    data = data.assign(
        at=pd.to_datetime(data["created_at"], utc=True).dt.tz_convert(timezone),
        ago=[ago(moment) for moment in pd.to_datetime(data["created_at"], utc=True)],
        cost=[usd(cost) for cost in data["cost_usd"]],
        result=[_result(ok, test, made_up) for ok, test, made_up in data[["success", "is_test", "is_sample"]].values],
        arrived=[arrived(delivery) for delivery in data["delivery"]],
    )
    config: dict[str, Any] = {
        "ago": st.column_config.TextColumn(_("When"), width=90),
        "model": st.column_config.TextColumn(_("Model"), width=140),
        "operation": st.column_config.TextColumn(_("Operation"), width=140),
        "user_id": st.column_config.TextColumn(_("User"), width=110),
        "input_tokens": st.column_config.NumberColumn(_("In"), format="localized"),
        "output_tokens": st.column_config.NumberColumn(_("Out"), format="localized"),
        "cost": _money(_("Cost"), width=None),
        "processing_time": st.column_config.NumberColumn(_("Took"), format="%d ms"),
        "result": st.column_config.TextColumn(_("Result")),
        "arrived": st.column_config.TextColumn(
            _("Arrived"),
            help=_("direct: written before record returned; background: by the app's own thread; outbox: queued first"),
        ),
        "at": st.column_config.DatetimeColumn(_("At"), format=_("D MMM YYYY, HH:mm:ss"), width=150),
    }
    if data["error_message"].notna().any():
        config["error_message"] = st.column_config.TextColumn(_("Error"))
    table(data, config, alt=_("The newest records"))


def arrived(delivery: str | None) -> str:
    """How a row got here, in words; what no Tracker recorded was brought by an import or as a sample."""
    words = {"direct": _("direct"), "background": _("background"), "outbox": _("outbox")}
    return words.get(delivery, delivery) if delivery else _("imported")


def _result(success: bool, is_test: bool, is_sample: bool) -> str:
    parts = [_("ok") if success else _("failed"), _("test") if is_test else "", _("sample") if is_sample else ""]
    return ", ".join(part for part in parts if part)
