"""Authentication in the pages: the access policy, the sign-in with `st.login`, and the sign-out button.

The auth middleware refuses most requests. The shell checks the policy again, in case a server runs without the
middleware.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.errors import Error as StreamlitError

from pages.support.i18n import _
from tracker.audit.change_log import Editor
from tracker.auth.access_policy import AUTH_UNREADABLE, SECRETS_UNREADABLE, WRITE_VARIABLE, Policy, resolve_policy
from tracker.auth.signed_links import SignedLinks
from tracker.redaction import redact
from tracker.reports.engine import current_reader

log = logging.getLogger("tracker.dashboard")


def current_policy() -> Policy:
    """The access policy of the environment variables, the secrets, and Streamlit's options."""
    providers, problem = _login_providers()
    return resolve_policy(
        current_reader.settings(),
        login=providers is not None,
        bound_to=st.get_option("server.address"),
        hosts=st.get_option("server.allowedHosts") or (),
        origins=st.get_option("server.corsAllowedOrigins") or (),
        any_origin=not st.get_option("server.enableCORS"),
        problem=problem,
    )


def base_path() -> str:
    """The server's base path, such as /tokens; empty if there is none."""
    path = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{path}" if path else ""


def signed_links() -> SignedLinks:
    """The signed links of this dashboard. Their key comes from the secret of the sign-in, which all replicas share."""
    policy = current_policy()
    if policy.kind == "login":
        return SignedLinks(_cookie_secret())
    return SignedLinks(str(policy.password) if policy.kind == "password" else None)


def _cookie_secret() -> str | None:
    section: Any = st.secrets.get("auth")
    return _as_text(section.get("cookie_secret"))


def require_access() -> bool:
    """Whether this session may see the pages. If not, it draws the sign-in page or the reason."""
    policy = current_policy()
    if _has_access(policy):
        return True
    if policy.kind != "login":
        _centered_message(_("Access denied"), _("Reload the page. The server must run dashboard.py."))
        return False
    if not st.user.get("is_logged_in"):
        _sign_in_page()
        return False
    _centered_message(_("This account has no access to the dashboard"), _as_text(st.user.get("email")) or "")
    st.button(_("Sign out"), on_click=st.logout, key="sign_out")
    return False


def _has_access(policy: Policy) -> bool:
    scope = _request_scope()
    if scope is None:  # tests of the pages without a browser
        return True
    if policy.kind == "login":
        is_listed = policy.is_listed_user(_as_text(st.user.get("email")), st.user.get("email_verified"))
        return bool(st.user.get("is_logged_in")) and is_listed
    return not (policy.rejects_host(scope) or policy.is_cross_site(scope)) and policy.allows(scope)


def current_editor() -> Editor | None:
    """Who changes prices, budgets and saved views in this session; None if the policy does not allow changes.

    Each write asks for it, because the settings and the login can change while a page is open.
    """
    policy = current_policy()
    if not policy.allows_writes or not _has_access(policy):
        return None
    name = None
    if policy.kind == "login":
        name = _as_text(st.user.get("email")) or _as_text(st.user.get("name"))
    return Editor(policy.kind, name)


def write_refusal() -> str:
    """Why `current_editor` is None, and how to allow changes, as Markdown."""
    current = current_reader.settings()
    if current.is_unreadable(WRITE_VARIABLE):
        text = _("`{name}` has a value that is not true or false, so prices, budgets and views can't be changed.")
    elif current.dashboard_write is False:
        text = _("`{name}` is false, so prices, budgets and views can't be changed.")
    else:
        text = _(
            "Prices, budgets and views can't be changed, because the dashboard has no sign-in. Configure a sign-in, or"
            " set `{name}=true` for the dashboard."
        )
    return text.format(name=WRITE_VARIABLE)


def sign_out_button() -> None:
    """The signed-in user and a sign-out button; nothing if the policy requires no sign-in."""
    kind = current_policy().kind
    if _request_scope() is None or kind not in {"login", "password"}:
        return
    with st.container(gap="xxsmall"):
        if kind == "login" and (name := _as_text(st.user.get("email"))):
            st.caption(_("Signed in as"))
            st.text(name)
        st.button(_("Sign out"), icon=":material/logout:", on_click=st.logout, key="sign_out", type="tertiary")


def _sign_in_page() -> None:
    _centered_message(_("Sign in"), _("Sign in to see this dashboard."))
    providers, _problem = _login_providers()
    for name in providers or ("",):
        label = _("Sign in with {name}").format(name=name) if name else _("Sign in")
        if st.button(label, key=f"sign_in_{name}", type="primary", width=280):
            try:
                st.login(name or None)
            except StreamlitError as error:
                log.error("st.login failed. %s", redact(str(error)))  # noqa: TRY400 - a traceback adds nothing
                st.error(_("The sign-in is not completely configured. See the dashboard's log for details."))


def _centered_message(title: str, text: str) -> None:
    st.space("large")
    st.title(title, anchor=False)
    st.text(text)


def _login_providers() -> tuple[tuple[str, ...] | None, str]:
    """The names of `st.login`'s providers ("" for an unnamed one) or None if there is none; and a problem or ""."""
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
    names = tuple(str(name) for name, value in section.items() if hasattr(value, "items") and "client_id" in value)
    return (("",) if "client_id" in section or not names else ()) + names, ""


def _request_scope() -> dict[str, Any] | None:
    """The ASGI scope of this session's WebSocket request; None without a browser."""
    headers = st.context.headers.to_dict()
    if not headers:
        return None
    pairs = [
        (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        for name, value in headers.items()
    ]
    # Streamlit's ip_address is None for a loopback address.
    return {"type": "websocket", "headers": pairs, "client": (st.context.ip_address or "127.0.0.1", 0)}


def _as_text(value: object) -> str | None:
    return value if isinstance(value, str) else None
