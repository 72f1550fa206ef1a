"""The Environment page: the configuration of this process, and its checks."""

from __future__ import annotations

import os

import pandas as pd
import streamlit as st

from pages.sections.environment import checklist, comparison, current_report, report_summary
from pages.support.formats import escape_markdown
from pages.support.i18n import _, keep_language
from pages.support.message_text import translate
from pages.widgets.layout import card, page_header, page_question
from pages.widgets.tables import TableColumn, right_aligned, table, text_column
from tracker.diagnostics.environment_flags import Flag, connection_policy, read_flags, url_notes
from tracker.prices.currency_rates import currency_problem
from tracker.reports.engine import current_reader
from tracker.settings import Settings

_REFRESH_S = 5


def main() -> None:
    settings = current_reader.settings()
    page_header(_("Environment"), live=False)
    page_question(_("How is this process configured, and can it record calls?"))
    runtime_metrics(settings)
    setting_problems(settings)
    with card(_("Debug report"), _("of this process")):
        st.fragment(keep_language(report_summary), run_every=_REFRESH_S)()
    with card(_("Compare with a deployment")):
        comparison(current_report().report)
    with card(_("Checklist")):
        checklist()
    with card(_("Flags"), _("for secrets, only whether they are set")):
        flag_table(read_flags(os.environ))
    with card(_("Connection policy"), _("of this process")):
        policy_table(settings)
    with card(_("Database URL")):
        url_notes_list(settings)


def runtime_metrics(settings: Settings) -> None:
    """Draw the detected platform, environment, region, and deployment."""
    runtime = settings.runtime
    kind = _("serverless") if runtime.serverless else _("server") if runtime.deployed else _("this machine")
    from_variables = _("Detected from the platform's environment variables: {kind}").format(kind=kind)
    with st.grid(4, min_column_width=170):
        st.metric(_("Platform"), runtime.platform, border=True, help=from_variables)
        st.metric(_("Environment"), escape_markdown(runtime.environment), border=True)
        st.metric(_("Region"), escape_markdown(runtime.region or _("unknown")), border=True)
        st.metric(_("Deployment"), escape_markdown(runtime.deployment or _("unknown")), border=True)


def setting_problems(settings: Settings) -> None:
    """Draw the variables that can't be read, and the values that are used instead."""
    title = _("A setting can't be read")
    for problem in (*settings.problems, *filter(None, [currency_problem(settings)])):
        with st.container(border=True):
            st.markdown(f":orange[:material/warning:] **{title}**")
            st.text(translate(problem))


def flag_table(all_flags: tuple[Flag, ...]) -> None:
    """Draw every environment variable with its value; for secrets only whether they are set."""
    data = pd.DataFrame(
        [
            {"name": flag.name, "value": _flag_value(flag), "meaning": translate(flag.problem or flag.meaning)}
            for flag in all_flags
        ]
    )
    columns = {
        "name": text_column(_("Variable"), 212),
        "value": text_column(_("Value"), 110),
        "meaning": text_column(_("Meaning")),
    }
    table(data, columns, alt=_("Environment flags"))


def _flag_value(flag: Flag) -> str:
    if flag.problem:
        return _("malformed")
    if not flag.is_set:
        return _("not set")
    return _("set") if flag.value is None else flag.value


def policy_table(settings: Settings) -> None:
    """Draw the connection settings of recorders in this environment, with the reasons."""
    rules = [{"rule": rule.name, "value": rule.value, "why": rule.reason} for rule in connection_policy(settings)]
    data = pd.DataFrame([{name: translate(text) for name, text in rule.items()} for rule in rules])
    columns: dict[str, TableColumn] = {
        "rule": text_column(_("Rule"), 220),
        "value": right_aligned(_("Value"), width=90),
        "why": text_column(_("Why")),
    }
    table(data, columns, alt=_("Connection policy"))


def url_notes_list(settings: Settings) -> None:
    """Draw the parts of the database URL that are ignored or changed."""
    if not settings.database_url:
        st.markdown(_("DATABASE_URL is not set. The embedded database of this machine is used."))
        return
    notes = url_notes(settings)
    if not notes:
        st.markdown(f":green[:material/check:] {_('The URL is used unchanged.')}")
    for note in notes:
        st.text(f"• {translate(note)}")


main()
