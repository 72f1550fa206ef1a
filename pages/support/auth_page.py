"""The auth page: the sign-in form, or how to configure a sign-in. Static HTML without data and scripts."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from html import escape
from pathlib import Path

from pages.support.i18n import _, language, language_for_locale, plural, set_language
from pages.support.message_text import translate
from tracker.auth.middleware import AuthView

_LOGO = Path(__file__).parents[1] / "logo.svg"
_STYLE = """
:root { color-scheme: light dark; --ink: #161b26; --soft: #565f70; --back: #fff; --card: #f7f8fb; --line: #dfe3ec;
  --main: #1553b8; --on: #fff; --bad: #c4232f }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf2; --soft: #a7b0c0; --back: #12161f; --card: #181d28;
  --line: #3a455a; --main: #8ab4ff; --on: #12161f; --bad: #ff8080 } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; grid-template-columns: minmax(0, 1fr); place-items: center;
  word-break: keep-all; overflow-wrap: anywhere; background: var(--back); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; padding: 1rem }
main { width: min(34rem, 100%); background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 2rem }
main.narrow { width: min(23rem, 100%) }
header { display: flex; align-items: center; gap: .6rem; font-weight: 620; margin-bottom: 1.2rem }
header img { width: 28px; height: 28px }
h1 { font-size: 1.25rem; margin: 0 0 .4rem } h2 { font-size: 1rem; margin: 1.4rem 0 .2rem }
p { margin: .3rem 0; color: var(--soft) } .bad { color: var(--bad) }
label { display: block; margin: 1rem 0 .3rem; font-weight: 550 }
input, button { width: 100%; font: inherit; padding: .6rem .7rem; border-radius: 8px; border: 1px solid var(--soft) }
input { background: var(--back); color: var(--ink) }
button { margin-top: 1rem; background: var(--main); border-color: var(--main); color: var(--on); font-weight: 600;
  cursor: pointer }
input:focus-visible, button:focus-visible { outline: 2px solid var(--main); outline-offset: 2px }
pre { background: var(--back); border: 1px solid var(--line); border-radius: 8px; padding: .6rem .7rem; margin: .4rem 0;
  white-space: pre-wrap; font-size: .85rem }
"""
_CSP = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_OIDC = """[auth]
redirect_uri = "https://YOUR-ADDRESS/oauth2callback"
cookie_secret = "…"
client_id = "…"
client_secret = "…"
server_metadata_url = "https://…/.well-known/openid-configuration\""""


def render(view: AuthView, accept_language: str) -> tuple[bytes, str]:
    """The page of a view in the browser's preferred language, and its Content-Security-Policy."""
    set_language(language_for_locale(accept_language.split(",")[0].split(";")[0].strip()))
    title, narrow, body = _set_up_body(view) if view.kind in {"closed", "broken"} else _form_body(view)
    page = (
        f'<!doctype html><html lang="{language()}"><head><meta charset="utf-8"><title>{title} · Token Tracker</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f'<link rel="icon" href="{_logo()}"><style>{_STYLE}</style></head><body><main{narrow}>'
        f'<header><img src="{_logo()}" alt="">Token Tracker</header><h1>{title}</h1>{body}</main></body></html>'
    )
    return page.encode(), _CSP


def _form_body(view: AuthView) -> tuple[str, str, str]:
    error = ""
    if view.kind == "wrong":
        error = _error(_("Wrong password."))
    elif view.kind == "wait":
        text = plural(
            "Too many wrong passwords. Try again in {n} second.",
            "Too many wrong passwords. Try again in {n} seconds.",
            view.wait_s,
        )
        error = _error(text.format(n=view.wait_s))
    body = (
        f"<p>{escape(_('Enter the password of this dashboard.'))}</p>"
        f'<form method="post" action="{escape(view.base)}/auth/login">'
        f'<input type="hidden" name="next" value="{escape(view.next)}">'
        f'<label for="password">{escape(_("Password"))}</label>'
        '<input id="password" name="password" type="password" autocomplete="current-password" required autofocus>'
        f'{error}<button type="submit">{escape(_("Sign in"))}</button></form>'
    )
    return escape(_("Sign in")), ' class="narrow"', body


def _error(text: str) -> str:
    return f'<p class="bad" role="alert">{escape(text)}</p>'


def _set_up_body(view: AuthView) -> tuple[str, str, str]:
    if view.kind == "broken":
        body = (
            _error(translate(view.problem))
            + f"<p>{escape(_('The dashboard refuses every request until this is fixed.'))}</p>"
        )
        return escape(_("The sign-in can't be used")), "", body
    introduction = _(
        "No sign-in is configured, and other machines can reach this dashboard. Choose an option and restart it."
    )
    options = (
        (
            _("Shared password"),
            _("Create the hash with this command and set {name} to its output.").format(
                name="TRACKER_DASHBOARD_PASSWORD_HASH"
            ),
            "token-tracker password",
        ),
        (
            _("Individual accounts"),
            _("Configure an OpenID Connect provider in {file}. {name} lists the allowed users.").format(
                file=".streamlit/secrets.toml", name="TRACKER_DASHBOARD_USERS"
            ),
            _OIDC,
        ),
        (
            _("Already protected"),
            _("If a proxy with a sign-in or a private network protects the dashboard, allow every request:"),
            "TRACKER_DASHBOARD_OPEN=true",
        ),
    )
    body = f"<p>{escape(introduction)}</p>" + "".join(
        f"<h2>{escape(title)}</h2><p>{escape(text)}</p><pre>{escape(code)}</pre>" for title, text, code in options
    )
    return escape(_("No sign-in configured")), "", body


@cache
def _logo() -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(_LOGO.read_bytes()).decode()
