"""Environment: what is set here, and what follows from it?"""

from __future__ import annotations

import os

import pandas as pd
import streamlit as st
from _environment_parts import against, checklist, current_report, findings
from _parts import card, head, question
from _words import _

from tracker.diagnostics.flags import Flag, flags, policy, url_notes
from tracker.reports import source
from tracker.settings import Settings


def main() -> None:
    settings = source.settings()
    head(_("Environment"), live=False)
    question(_("What is set here, and what follows from it?"))
    runtime_figures(settings)
    problems(settings)
    report = current_report()
    with card("Findings", "the debug report of this process"):
        findings(report)
    with card("Here against there"):
        against(report)
    with card("Checklist"):
        checklist()
    with card("Flags", "secrets show only whether they are set"):
        flag_table(flags(os.environ))
    with card("Connection policy", "in force in this process"):
        policy_table(settings)
    with card("The database's URL"):
        cleaning(settings)


def runtime_figures(settings: Settings) -> None:
    """The platform that was detected, and what it is taken for."""
    runtime = settings.runtime
    kind = "serverless" if runtime.serverless else "a server" if runtime.deployed else "this machine"
    with st.grid(4, min_column_width=170):
        st.metric("Platform", runtime.platform, border=True, help=f"Detected from the platform's variables: {kind}")
        st.metric("Environment", _plain(runtime.environment), border=True)
        st.metric("Region", _plain(runtime.region or "not known"), border=True)
        st.metric("Deployment", _plain(runtime.deployment or "not known"), border=True)


def _plain(value: str) -> str:
    """Text that Markdown, which a metric renders, leaves as it is."""
    return "".join(f"\\{char}" if char in r"\`*_{}[]()<>#+-.!|~$:&@/" else char for char in value)


def problems(settings: Settings) -> None:
    """Variables that couldn't be read, and what is used instead."""
    for problem in settings.problems:
        with st.container(border=True):
            st.markdown(":orange[:material/warning:] **A setting can't be read**")
            st.text(problem)


def flag_table(found: tuple[Flag, ...]) -> None:
    """Every flag: its value, or whether it is set."""
    data = pd.DataFrame(
        [{"name": flag.name, "value": _shown(flag), "meaning": flag.problem or flag.meaning} for flag in found]
    )
    config = {
        "name": st.column_config.TextColumn("Variable", width=230),
        "value": st.column_config.TextColumn("Here", width=110),
        "meaning": st.column_config.TextColumn("Meaning"),
    }
    st.dataframe(data, column_config=config, hide_index=True, row_height=34, height="content", alt="Environment flags")


def _shown(flag: Flag) -> str:
    if flag.problem:
        return "malformed"
    if not flag.is_set:
        return "not set"
    return "set" if flag.value is None else flag.value


def policy_table(settings: Settings) -> None:
    """What the recorder does with connections here, and why."""
    data = pd.DataFrame([{"rule": rule.name, "value": rule.value, "why": rule.reason} for rule in policy(settings)])
    config = {
        "rule": st.column_config.TextColumn("Rule", width=260),
        "value": st.column_config.TextColumn("Value", width=90, alignment="right"),
        "why": st.column_config.TextColumn("Why"),
    }
    st.dataframe(data, column_config=config, hide_index=True, row_height=34, height="content", alt="Connection policy")


def cleaning(settings: Settings) -> None:
    """What was dropped from the URL, or read differently."""
    if not settings.database_url:
        st.markdown("DATABASE_URL is not set: the embedded database is used on this machine.")
        return
    notes = url_notes(settings)
    if not notes:
        st.markdown(":green[:material/check:] It was taken as it is: nothing had to be dropped.")
    for note in notes:
        st.text(f"• {note}")


main()
