"""One call as a small card: what it was, what it used and cost, how it got here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

import pandas as pd
import streamlit as st

from pages.sections.overview import arrived
from pages.support.formats import ago, exact, milliseconds, short_day, usd
from pages.support.i18n import _, plural
from pages.support.message_text import told
from pages.widgets.time_range import charted, zone
from tracker import settings
from tracker.prices.unpriced_reasons import describe_reason, read_reason
from tracker.providers.consistency import problem_text
from tracker.providers.usage_notes import note_text

_ROW = 32
Row = Mapping[str, Any]


def card_of(row: Row) -> None:
    """The card. A table, since its cells show no Markdown and hold names of the database."""
    lines = [(label, value) for label, value in _lines(row) if value]
    config: dict[str, Any] = {
        "what": st.column_config.TextColumn(_("What"), width=110),
        "value": st.column_config.TextColumn(_("Value")),
    }
    st.dataframe(
        pd.DataFrame(lines, columns=["what", "value"]),
        column_config=config,
        hide_index=True,
        row_height=_ROW,
        height="content",
        alt=_("One call"),
    )


def _lines(row: Row) -> Iterator[tuple[str, str]]:
    yield _("When"), _moment(row["created_at"])
    yield _("Model"), _joined(row["model"], row["provider"])
    yield _("Operation"), _joined(row["operation"])
    yield _("User"), _joined(row["user_id"], row["session_id"])
    yield _("Tokens"), _tokens(row)
    yield _("Note"), _usage_note(row.get("metadata"))
    yield _("Cost"), _joined(usd(cast("Decimal | None", row["cost"])), _cost_source(row["cost_source"]))
    took = row["processing_time"]
    yield _("Took"), milliseconds(took) if took is not None else ""
    yield _("Result"), _joined(_("failed") if row["success"] is False else _("ok"), row["error_message"])
    yield _("Environment"), _joined(row["environment"], row["platform"], row["region"], row["deployment"])
    yield _("Arrived"), _way(row)


def _cost_source(source: object) -> str:
    """Where the cost comes from, or the sentence that says why there is none."""
    reason = read_reason(str(source or ""))
    return told(describe_reason(reason)) if reason else str(source or "")


def _usage_note(metadata: object) -> str:
    """Why the token counts contradict each other or may be incomplete, or how one was derived; "" if neither."""
    if not isinstance(metadata, Mapping):
        return ""
    problem, note = metadata.get("usage_problem"), metadata.get("usage_note")
    if isinstance(problem, str):
        return told(problem_text(problem))
    return told(note_text(note)) if isinstance(note, str) else ""


def _joined(*parts: object) -> str:
    return " · ".join(str(part) for part in parts if part not in {None, ""})


def _moment(moment: object) -> str:
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        return str(moment)  # as the table of another app holds it
    local = charted(moment).astimezone(settings.load_time_zone(zone()))
    return f"{short_day(local)}, {local:%H:%M:%S} · {ago(moment)}"


def _tokens(row: Row) -> str:
    used, made = int(row["input_tokens"] or 0), int(row["output_tokens"] or 0)
    text = _("{input} in, {output} out").format(input=exact(used), output=exact(made))
    parts = (
        (_("{n} cached"), row["cache_read_input_tokens"]),
        (_("{n} written to the cache"), row["cache_write_input_tokens"]),
        (_("{n} reasoning"), row["reasoning_output_tokens"]),
    )
    return _joined(text, *(words.format(n=exact(int(number))) for words, number in parts if number))


def _way(row: Row) -> str:
    retries = int(row["retry_count"] or 0)
    connection = row["connection_ms"]
    return _joined(
        arrived(cast("str | None", row["delivery"])),
        _("connected in {time}").format(time=milliseconds(float(connection))) if connection is not None else "",
        plural("{n} retry", "{n} retries", retries).format(n=exact(retries)) if retries else "",
    )
