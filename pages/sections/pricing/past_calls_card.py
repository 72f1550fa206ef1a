"""The offer to price past calls after a change of a price: a preview, a button, and the progress."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from pages.sections.budget_bars import forget_budgets
from pages.sections.pricing.write_access import require_editor
from pages.support.formats import calls, count, escape_dollars, exact, long_date, usd
from pages.support.i18n import _, keep_language
from pages.support.message_text import translate
from pages.widgets.error_box import show_error
from pages.widgets.layout import card
from pages.widgets.time_range import clamp_time, user_timezone
from tracker import settings
from tracker.errors import DatabaseError, SettingError
from tracker.maintenance.price_past_calls import PastCallsJob, current_job
from tracker.prices.custom_prices import ALWAYS, CustomPrice
from tracker.prices.past_calls import PastCallsPreview, PastCallsTotals, preview_past_calls
from tracker.prices.price_sources import load_catalog
from tracker.prices.unpriced_calls import Scope, scope_since
from tracker.reports import Reader
from tracker.reports.engine import current_reader

TIME_LIMIT_S = 10
_REFRESH_S = 0.5
_REQUEST, _JOB, _FINISHED = "past_calls", "past_calls_job", "past_calls_finished"


@dataclass(slots=True)
class PastCallsRequest:
    """The calls of a model that a change of a price affects, and their preview after it was computed."""

    subject: str
    scope: Scope
    preview: PastCallsPreview | None = None


def offer_past_calls(price: CustomPrice) -> None:
    """Offer to price the past calls that this price applies to, or applied to before it was removed."""
    scope = scope_since(None if price.since == ALWAYS else price.since, model=price.model, provider=price.provider)
    st.session_state[_REQUEST] = PastCallsRequest(price.model, scope)
    st.session_state.pop(_JOB, None)  # the result of an earlier job


def past_calls_card(reader: Reader) -> None:
    """Draw the preview with its buttons, or the progress of a job; nothing if there is neither."""
    job = _visible_job()
    request: PastCallsRequest | None = st.session_state.get(_REQUEST)
    if job is not None:
        with card(_("Past calls")):
            refresh_s = _REFRESH_S if job.is_running else None
            st.fragment(keep_language(_draw_progress), run_every=refresh_s, key="past_calls_progress")(reader, job)
    elif request is not None:
        with card(_("Past calls")):
            _draw_request(reader, request)


def _visible_job() -> PastCallsJob | None:
    """The running job of this process, or the ended one of this session that the reader did not close yet."""
    job = current_job()
    return job if job is not None and job.is_running else st.session_state.get(_JOB)


def _draw_request(reader: Reader, request: PastCallsRequest) -> None:
    st.text(_("Model: {name}").format(name=request.subject))
    if request.preview is None:
        try:
            with st.spinner(_("Reading the past calls")):
                request.preview = _compute_preview(reader, request)
        except (SettingError, DatabaseError) as error:
            show_error(error)
            _close_button(_("Close"))
            return
    for line in preview_texts(request.preview):
        st.markdown(line)
    with st.container(horizontal=True):
        is_useful = request.preview.totals.changed > 0 or not request.preview.is_complete
        if is_useful and st.button(_("Price these calls"), type="primary", icon=":material/sell:", key="price_calls"):
            _start_job(reader, request)
        _close_button(_("Not now") if is_useful else _("Close"))


def _close_button(label: str) -> None:
    if st.button(label, key="past_calls_close"):
        del st.session_state[_REQUEST]
        st.rerun()


def _compute_preview(reader: Reader, request: PastCallsRequest) -> PastCallsPreview:
    schema = reader.database.url.schema
    with reader.borrow() as connection:
        catalog = load_catalog(connection, schema, current_reader.settings().prices)
        return preview_past_calls(connection, schema, catalog, request.scope, TIME_LIMIT_S)


def _start_job(reader: Reader, request: PastCallsRequest) -> None:
    try:
        job = PastCallsJob(reader, request.scope, request.subject, require_editor(), _expected_calls(request.preview))
    except DatabaseError as error:
        show_error(error)
        return
    if job.start():
        st.session_state[_JOB] = job
        del st.session_state[_REQUEST]
        st.rerun()
    st.warning(_("Past calls of another model are being priced. Try again later."))


def _expected_calls(preview: PastCallsPreview | None) -> int | None:
    """The number of calls that the job reads; None if the preview did not read all."""
    return preview.totals.read if preview is not None and preview.is_complete else None


def preview_texts(preview: PastCallsPreview) -> list[str]:
    """The preview as Markdown: what changes, what stays without a price, and whether all calls were read."""
    totals = preview.totals
    texts = [_totals_text(totals) if totals.changed else _("The cost of no past call changes.")]
    if totals.unpriced:
        texts.append(_("Without a price remain: {calls}.").format(calls=calls(totals.unpriced)))
    if not preview.is_complete:
        if totals.until is None:
            text = _("The preview stopped after {n} s and read no call. Pricing reads all calls.")
            texts.append(f":orange[:material/hourglass:] {text.format(n=TIME_LIMIT_S)}")
        else:
            local = clamp_time(totals.until).astimezone(settings.load_time_zone(user_timezone()))
            text = _("The preview stopped after {n} s. It contains the calls until {day}; pricing reads all calls.")
            texts.append(f":orange[:material/hourglass:] {text.format(n=TIME_LIMIT_S, day=long_date(local))}")
    return texts


def _totals_text(totals: PastCallsTotals) -> str:
    text = _("{calls} with {tokens} tokens get another cost: {old} before, {new} after.")
    old, new = (escape_dollars(usd(value)) for value in (totals.old_usd, totals.new_usd))
    return text.format(calls=calls(totals.changed), tokens=count(totals.tokens), old=old, new=new)


def _draw_progress(reader: Reader, job: PastCallsJob) -> None:
    """Draw the progress or the result. Reruns the page once after the end, so that its figures are read again."""
    if not job.is_running and st.session_state.get(_FINISHED) is not job:
        st.session_state[_FINISHED] = job
        forget_budgets(reader)  # a budget in dollars counts the new costs
        st.rerun()
    totals = job.totals
    st.text(_("Model: {name}").format(name=job.subject))
    if job.is_running:
        text = _("{n} calls read, {changed} priced")
        st.progress(job.progress, text.format(n=exact(totals.read), changed=exact(totals.changed)))
        if st.button(_("Stop"), icon=":material/stop:", key="past_calls_stop", disabled=job.is_stopped):
            job.stop()
        return
    if job.error is not None:
        st.error(_("Not all calls were priced. Start it again; costs that are set stay."), icon=":material/error:")
        st.text(translate(str(job.error)))
    elif job.is_stopped:
        st.warning(_("Stopped. Costs that are set stay."))
    if totals.changed:
        st.markdown(_result_text(totals))
    elif job.error is None:
        st.markdown(_("The cost of no past call changed."))
    if st.button(_("Close"), key="past_calls_done"):
        st.session_state.pop(_JOB, None)
        st.rerun()


def _result_text(totals: PastCallsTotals) -> str:
    text = _("{calls} with {tokens} tokens got another cost: {old} before, {new} after.")
    old, new = (escape_dollars(usd(value)) for value in (totals.old_usd, totals.new_usd))
    return text.format(calls=calls(totals.changed), tokens=count(totals.tokens), old=old, new=new)
