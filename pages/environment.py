"""Environment: what is set here, and what follows from it?"""

from __future__ import annotations

import os
from typing import Any

import pandas as pd
import streamlit as st

from pages.sections.environment import against, checklist, current_report, findings
from pages.support.formats import plain_markdown
from pages.support.i18n import _
from pages.support.message_text import told
from pages.widgets.layout import card, head, question
from tracker.diagnostics.environment_flags import Flag, connection_policy, read_flags, url_notes
from tracker.reports.engine import current_reader
from tracker.settings import Settings


def main() -> None:
    settings = current_reader.settings()
    head(_("Environment"), live=False)
    question(_("What is set here, and what follows from it?"))
    runtime_figures(settings)
    problems(settings)
    report = current_report()
    with card(_("Findings"), _("the debug report of this process")):
        findings(report)
    with card(_("Here against there")):
        against(report)
    with card(_("Checklist")):
        checklist()
    with card(_("Flags"), _("secrets show only whether they are set")):
        flag_table(read_flags(os.environ))
    with card(_("Connection policy"), _("in force in this process")):
        policy_table(settings)
    with card(_("The database's URL")):
        cleaning(settings)


def runtime_figures(settings: Settings) -> None:
    """The platform that was detected, and what it is taken for."""
    runtime = settings.runtime
    kind = _("serverless") if runtime.serverless else _("a server") if runtime.deployed else _("this machine")
    from_variables = _("Detected from the platform's variables: {kind}").format(kind=kind)
    with st.grid(4, min_column_width=170):
        st.metric(_("Platform"), runtime.platform, border=True, help=from_variables)
        st.metric(_("Environment"), plain_markdown(runtime.environment), border=True)
        st.metric(_("Region"), plain_markdown(runtime.region or _("not known")), border=True)
        st.metric(_("Deployment"), plain_markdown(runtime.deployment or _("not known")), border=True)


def problems(settings: Settings) -> None:
    """Variables that couldn't be read, and what is used instead."""
    title = _("A setting can't be read")
    for problem in settings.problems:
        with st.container(border=True):
            st.markdown(f":orange[:material/warning:] **{title}**")
            st.text(told(problem))


def flag_table(found: tuple[Flag, ...]) -> None:
    """Every flag: its value, or whether it is set."""
    data = pd.DataFrame(
        [{"name": flag.name, "value": _shown(flag), "meaning": told(flag.problem or flag.meaning)} for flag in found]
    )
    config = {
        "name": st.column_config.TextColumn(_("Variable"), width=200),
        "value": st.column_config.TextColumn(_("Here"), width=90),
        "meaning": st.column_config.TextColumn(_("Meaning")),
    }
    _table(data, config, _("Environment flags"))


def _table(data: pd.DataFrame, config: dict[str, Any], alt: str) -> None:
    st.dataframe(data, column_config=config, hide_index=True, row_height=34, height="content", alt=alt)


def _shown(flag: Flag) -> str:
    if flag.problem:
        return _("malformed")
    if not flag.is_set:
        return _("not set")
    return _("set") if flag.value is None else flag.value


def policy_table(settings: Settings) -> None:
    """What the recorder does with connections here, and why."""
    rules = [{"rule": rule.name, "value": rule.value, "why": rule.reason} for rule in connection_policy(settings)]
    data = pd.DataFrame([{name: told(text) for name, text in rule.items()} for rule in rules])
    config = {
        "rule": st.column_config.TextColumn(_("Rule"), width=200),
        "value": st.column_config.TextColumn(_("Value"), width=80, alignment="right"),
        "why": st.column_config.TextColumn(_("Why")),
    }
    _table(data, config, _("Connection policy"))


def cleaning(settings: Settings) -> None:
    """What was dropped from the URL, or read differently."""
    if not settings.database_url:
        st.markdown(_("DATABASE_URL is not set: the embedded database is used on this machine."))
        return
    notes = url_notes(settings)
    if not notes:
        st.markdown(f":green[:material/check:] {_('It was taken as it is: nothing had to be dropped.')}")
    for note in notes:
        st.text(f"• {told(note)}")


main()
