"""The pages' side of the door: what Streamlit knows of it, the sign-in with `st.login`, and the way out.

The middleware keeps out whom it can; the shell asks here once more, so that no way around the server's door leads to
a page.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.errors import Error as StreamlitError

from pages.support.i18n import _
from tracker.auth.access_policy import AUTH_UNREADABLE, SECRETS_UNREADABLE, Policy, decide
from tracker.redaction import redact
from tracker.reports.engine import current_reader

log = logging.getLogger("tracker.dashboard")


def policy() -> Policy:
    """What is in force, from the environment, the secrets and the server's options."""
    providers, problem = _secrets()
    return decide(
        current_reader.settings(),
        login=providers is not None,
        bound_to=st.get_option("server.address"),
        hosts=st.get_option("server.allowedHosts") or (),
        origins=st.get_option("server.corsAllowedOrigins") or (),
        any_origin=not st.get_option("server.enableCORS"),
        problem=problem,
    )


def base_path() -> str:
    """The path that everything lies under, such as /tokens; empty for none."""
    path = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{path}" if path else ""


def admitted() -> bool:
    """Whether this session may see the pages; draws what stands in the way otherwise."""
    found = policy()
    scope = _scope()
    if scope is None:  # no browser: the pages' own tests
        return True
    if found.kind != "login":
        if not (found.misnamed(scope) or found.foreign(scope)) and found.lets_in(scope):
            return True
        _centred(_("This dashboard is closed"), _("Reload the page. Its server must run dashboard.py."))
        return False
    if not st.user.get("is_logged_in"):
        _sign_in()
        return False
    if found.is_welcome(_text(st.user.get("email")), st.user.get("email_verified")):
        return True
    _centred(_("You are not on this dashboard's list"), _text(st.user.get("email")) or "")
    st.button(_("Sign out"), on_click=st.logout, key="sign_out")
    return False


def leaving() -> None:
    """Who is signed in, and the way out; nothing where nobody signs in."""
    kind = policy().kind
    if _scope() is None or kind not in {"login", "password"}:
        return
    with st.container(gap="xxsmall"):
        if kind == "login" and (name := _text(st.user.get("email"))):
            st.caption(_("Signed in as"))
            st.text(name)
        st.button(_("Sign out"), icon=":material/logout:", on_click=st.logout, key="sign_out", type="tertiary")


def _sign_in() -> None:
    _centred(_("Sign in"), _("This dashboard asks who you are."))
    providers, _problem = _secrets()
    for name in providers or ("",):
        label = _("Sign in with {name}").format(name=name) if name else _("Sign in")
        if st.button(label, key=f"sign_in_{name}", type="primary", width=280):
            try:
                st.login(name or None)
            except StreamlitError as error:
                log.error("st.login can't be used. %s", redact(str(error)))  # noqa: TRY400  the sentence is enough
                st.error(_("The sign-in isn't set up completely; the dashboard's log says what is missing."))


def _centred(title: str, text: str) -> None:
    st.space("large")
    st.title(title, anchor=False)
    st.text(text)


def _secrets() -> tuple[tuple[str, ...] | None, str]:
    """The names of `st.login`'s providers, "" for the one without a name; None where none is set up. And a problem."""
    try:
        section: Any = st.secrets.get("auth")
    except (StreamlitError, FileNotFoundError):
        files = [path for path in st.get_option("secrets.files") or () if Path(path).exists()]
        if not files:
            return None, ""
        return None, SECRETS_UNREADABLE
    if section is None:
        return None, ""
    if not hasattr(section, "items"):
        return None, AUTH_UNREADABLE
    named = tuple(str(name) for name, value in section.items() if hasattr(value, "items") and "client_id" in value)
    return (("",) if "client_id" in section or not named else ()) + named, ""


def _scope() -> dict[str, Any] | None:
    """The request that this session came by, as the middleware saw it; None where there was none."""
    given = st.context.headers.to_dict()
    if not given:
        return None
    pairs = [
        (name.lower().encode("latin-1", "replace"), text.encode("latin-1", "replace")) for name, text in given.items()
    ]
    # Streamlit says None for the loopback.
    return {"type": "websocket", "headers": pairs, "client": (st.context.ip_address or "127.0.0.1", 0)}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
