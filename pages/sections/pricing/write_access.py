"""Whether this reader may change prices, budgets and indexed properties, and a sentence on how to allow it."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from pages.support import auth
from pages.support.i18n import _
from pages.support.message_text import translate
from tracker.audit.change_log import Editor
from tracker.budgets import budget_store
from tracker.database.connect import Connection
from tracker.database.schema import Table
from tracker.errors import SetupError
from tracker.messages import Message
from tracker.prices import price_store
from tracker.reports import Reader
from tracker.rollups import property_keys

_EDITOR_REFUSED = "changes_refused"


@dataclass(frozen=True, slots=True)
class WriteAccess:
    """What this reader may change, and the problems of the database role that prevent it."""

    prices: bool
    budgets: bool
    properties: bool
    problems: tuple[SetupError, ...] = ()


def read_write_access(reader: Reader) -> WriteAccess:
    """The access of this reader by the policy and by the database role's privileges. Raises `DatabaseError`."""
    if auth.current_editor() is None:
        return WriteAccess(prices=False, budgets=False, properties=False)
    schema = reader.database.url.schema
    with reader.borrow() as connection:
        prices = _problem_of_prices(connection, schema)
        budgets = _problem_of_budgets(connection, schema)
        properties = _problem_of_properties(connection, reader.table())
    problems = {str(problem): problem for problem in (prices, budgets, properties) if problem}
    return WriteAccess(prices is None, budgets is None, properties is None, tuple(problems.values()))


def _problem_of_prices(connection: Connection, schema: str | None) -> SetupError | None:
    try:
        price_store.require_writable(price_store.read_access(connection, schema))
    except SetupError as error:
        return error
    return None


def _problem_of_budgets(connection: Connection, schema: str | None) -> SetupError | None:
    try:
        budget_store.require_writable(connection, budget_store.read_access(connection, schema))
    except SetupError as error:
        return error
    return None


def _problem_of_properties(connection: Connection, table: Table) -> SetupError | None:
    try:
        property_keys.require_writable(property_keys.read_key_rights(connection, table))
    except SetupError as error:
        return error
    return None


def require_editor() -> Editor:
    """The editor, for a change that starts now. Raises `SetupError` if the policy does not allow changes."""
    editor = auth.current_editor()
    if editor is None:
        raise SetupError(_EDITOR_REFUSED, Message("auth.changes_refused"), "")
    return editor


def write_notice(access: WriteAccess) -> None:
    """Draw why the forms are absent and how to allow changes; nothing if everything is allowed."""
    if access.prices and access.budgets and access.properties:
        return
    with st.container(border=True, gap="xsmall", key="write_notice"):
        if not access.problems:
            st.markdown(f":material/lock: {auth.write_refusal()}")
            return
        st.markdown(f":material/lock: **{_('Changes are not possible yet')}**")
        for problem in access.problems:
            st.text(translate(problem.cause))
            st.code(_command(problem), language="sql" if "GRANT" in problem.remedy else "sh", wrap_lines=True)


def _command(problem: SetupError) -> str:
    """The statements or the command that solve the problem."""
    return problem.remedy if "GRANT" in problem.remedy else "token-tracker migrate"
