"""The columns of a table of calls, and the details of one call: its names, usage, cost, result, and delivery."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

import pandas as pd
import streamlit as st

from pages.sections.overview import delivery_label, delivery_labels
from pages.support import query_params
from pages.support.formats import ago, escape_markdown, exact, milliseconds, short_date, to_json_value, usd
from pages.support.i18n import _, keep_language, plural
from pages.support.message_text import translate
from pages.support.property_labels import property_value_label
from pages.widgets.empty_state import empty_section
from pages.widgets.error_box import show_error
from pages.widgets.filter_pills import column_label
from pages.widgets.tables import table
from pages.widgets.time_range import clamp_time, user_timezone
from tracker import settings
from tracker.errors import TrackerError
from tracker.prices.unpriced_reasons import describe_reason, read_reason
from tracker.property_names import dimension_of, property_pairs, value_to_text
from tracker.providers.consistency import problem_text
from tracker.providers.usage_notes import note_text
from tracker.reports import Reader, usage_totals

CallRow = Mapping[str, Any]
_OPENED, _GENERATION = "opened_call", "calls_generation"
_MAX_PROPERTIES = 40


def call_rows(data: pd.DataFrame, timezone: str) -> pd.DataFrame:
    """The calls with the texts that `call_columns` shows."""
    return data.assign(
        at=pd.to_datetime(data["created_at"], utc=True).dt.tz_convert(timezone),
        cost=[usd(cost) for cost in data["cost_usd"].astype(float)],
        result=[_("ok") if ok else _("failed") for ok in data["success"]],
        arrived=delivery_labels(data),
    )


def call_columns() -> dict[str, Any]:
    """The columns of a table of calls, the most important first, as a phone shows only these."""
    return {
        "at": st.column_config.DatetimeColumn(_("When"), format=_("D MMM YYYY, HH:mm:ss"), width=132),
        "model": st.column_config.TextColumn(_("Model"), width=100),
        "cost": st.column_config.TextColumn(_("Cost"), alignment="right", width=70),
        "total_tokens": st.column_config.NumberColumn(_("Tokens"), format="localized", width=80),
        "result": st.column_config.TextColumn(_("Result"), width=70),
        "operation": st.column_config.TextColumn(_("Operation"), width=140),
        "user_id": st.column_config.TextColumn(_("User"), width=120),
        "processing_time": st.column_config.NumberColumn(_("Duration"), format="%d ms"),
        "arrived": st.column_config.TextColumn(_("Delivery")),
    }


def calls_key(ids: Iterable[object]) -> str:
    """The key of a table of calls. Other calls, and a closed dialog, reset the selection.

    A selection is a row number, which would select another call after a refresh.
    """
    return f"calls_{hash(tuple(map(str, ids)))}_{st.session_state.get(_GENERATION, 0)}"


def open_call(record_id: str | None) -> None:
    """Run the page again with the dialog of a newly selected call."""
    if record_id is not None and record_id != query_params.get("call"):
        query_params.set_and_rerun(call=record_id)


def call_dialog(reader: Reader) -> None:
    """Draw the dialog of the call in the address. Called outside the refreshed fragment, which would close it."""
    record_id = query_params.get("call")
    if record_id is None:
        if st.session_state.pop(_OPENED, None) is not None:  # closed, or left by the browser's Back button
            st.session_state[_GENERATION] = st.session_state.get(_GENERATION, 0) + 1
        return
    st.session_state[_OPENED] = record_id

    def draw() -> None:
        try:
            _all_columns(reader, record_id)
        except TrackerError as error:
            show_error(error)

    st.dialog(_("Call details"), width="large", on_dismiss=_forget_call)(keep_language(draw))()


def _forget_call() -> None:
    query_params.set("call", None)


def _all_columns(reader: Reader, record_id: str) -> None:
    try:
        row = usage_totals.record(reader, record_id)
    except ValueError:  # not an id
        row = None
    if row is None:
        empty_section(_("This record no longer exists."))
        return
    call_card(row)
    _session_link(row)
    _property_links(row.get("metadata"))
    st.json({name: to_json_value(value) for name, value in row.items() if value is not None}, expanded=True)


def _property_links(metadata: object) -> None:
    """Draw the properties of the call as buttons that filter by them. Nested values are in the JSON only."""
    pairs = list(property_pairs(metadata))
    if not pairs:
        return
    with st.container(horizontal=True, gap="small", key="call_properties"):
        for number, (key, value) in enumerate(pairs[:_MAX_PROPERTIES]):
            name, text = dimension_of(key), value_to_text(value)
            label = f"{column_label(name)}: {property_value_label(text)}"
            if st.button(escape_markdown(label), key=f"call_property_{number}", icon=":material/filter_alt:"):
                query_params.set_and_rerun(**{name: text, "call": None})
    if len(pairs) > _MAX_PROPERTIES:
        st.caption(_("{n} more properties are below.").format(n=exact(len(pairs) - _MAX_PROPERTIES)))


def _session_link(row: CallRow) -> None:
    """A button that opens the AI session of the call, unless the page shows it."""
    session_id = row["session_id"]
    if not session_id or query_params.get("session") == session_id:
        return
    if st.button(_("Show the AI session"), icon=":material/forum:", key="open_session"):
        query_params.switch_page("ai_sessions.py", {"session": str(session_id), "call": None})


def call_card(row: CallRow) -> None:
    """Draw the details as a table. Its cells don't render Markdown, because they contain names from the database."""
    lines = [(label, value) for label, value in _lines(row) if value]
    config: dict[str, Any] = {
        "what": st.column_config.TextColumn(_("What"), width=110),
        "value": st.column_config.TextColumn(_("Value")),
    }
    table(pd.DataFrame(lines, columns=["what", "value"]), config, alt=_("Call details"))


def _lines(row: CallRow) -> Iterator[tuple[str, str]]:
    yield _("When"), _time(row["created_at"])
    yield _("Model"), _joined(row["model"], row["provider"])
    yield _("Operation"), _joined(row["operation"])
    yield _("User"), _joined(row["user_id"], row["session_id"])
    yield _("Tokens"), _tokens(row)
    yield _("Note"), _usage_note(row.get("metadata"))
    yield _("Cost"), _joined(usd(cast("Decimal | None", row["cost"])), _cost_source(row["cost_source"]))
    duration_ms = row["processing_time"]
    yield _("Duration"), milliseconds(duration_ms) if duration_ms is not None else ""
    yield _("Result"), _joined(_("failed") if row["success"] is False else _("ok"), row["error_message"])
    yield _("Environment"), _joined(row["environment"], row["platform"], row["region"], row["deployment"])
    yield _("Delivery"), _delivery(row)


def _cost_source(source: object) -> str:
    """The source of the cost, or the reason why the call has no price."""
    reason = read_reason(str(source or ""))
    return translate(describe_reason(reason)) if reason else str(source or "")


def _usage_note(metadata: object) -> str:
    """The problem or note of the token counts: inconsistent, incomplete, or derived; "" if there is none."""
    if not isinstance(metadata, Mapping):
        return ""
    problem, note = metadata.get("usage_problem"), metadata.get("usage_note")
    if isinstance(problem, str):
        return translate(problem_text(problem))
    return translate(note_text(note)) if isinstance(note, str) else ""


def _is_span(metadata: object) -> bool:
    return isinstance(metadata, Mapping) and metadata.get("source") == "otlp"


def _joined(*parts: object) -> str:
    return " · ".join(str(part) for part in parts if part not in {None, ""})


def _time(created_at: object) -> str:
    if not isinstance(created_at, datetime) or created_at.tzinfo is None:
        return str(created_at)  # a table of another app may have another type
    local = clamp_time(created_at).astimezone(settings.load_time_zone(user_timezone()))
    return f"{short_date(local)}, {local:%H:%M:%S} · {ago(created_at)}"


def _tokens(row: CallRow) -> str:
    input_tokens, output_tokens = int(row["input_tokens"] or 0), int(row["output_tokens"] or 0)
    text = _("{input} in, {output} out").format(input=exact(input_tokens), output=exact(output_tokens))
    parts = (
        (_("{n} cached"), row["cache_read_input_tokens"]),
        (_("{n} written to the cache"), row["cache_write_input_tokens"]),
        (_("{n} reasoning"), row["reasoning_output_tokens"]),
    )
    return _joined(text, *(template.format(n=exact(int(number))) for template, number in parts if number))


def _delivery(row: CallRow) -> str:
    retries = int(row["retry_count"] or 0)
    connection = row["connection_ms"]
    return _joined(
        delivery_label(row["delivery"], _is_span(row.get("metadata"))),
        _("connected in {time}").format(time=milliseconds(float(connection))) if connection is not None else "",
        plural("{n} retry", "{n} retries", retries).format(n=exact(retries)) if retries else "",
    )
