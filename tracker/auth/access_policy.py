"""The access policy of the dashboard, and its decision for one request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tracker.auth.client_address import host_name, is_local, is_loopback, names_loopback, request_headers
from tracker.auth.logins import COOKIE, Login, Logins, cookie_values, logins_for
from tracker.auth.origin_check import is_cross_site_request, is_listed
from tracker.auth.password_hash import PasswordHash, parse_hash
from tracker.messages import Message
from tracker.settings import VARIABLES, Settings

SECRETS_UNREADABLE = Message("auth.secrets_unreadable")
AUTH_UNREADABLE = Message("auth.auth_section_invalid")
CROSS_SITE_REFUSED = Message("auth.cross_site_refused")
WRITE_VARIABLE = "TRACKER_DASHBOARD_WRITE"
Kind = Literal["login", "password", "open", "local", "broken"]


@dataclass(frozen=True, slots=True)
class Policy:
    """The access policy in force.

    *login*: the pages require `st.login`. *password*: the shared password. *open*: no check, because a setting allows
    that. *local*: requests of this machine only. *broken*: the configured sign-in can't be used, so every request is
    refused.
    """

    kind: Kind
    bound_to_loopback: bool
    password: PasswordHash | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    any_origin: bool = False
    users: tuple[str, ...] = ()
    problem: str = ""
    allows_writes: bool = False
    """Whether the pages may change prices, budgets and saved views."""

    @property
    def logins(self) -> Logins | None:
        """The logins with the shared password; None for other kinds."""
        return logins_for(str(self.password)) if self.kind == "password" else None

    def login(self, scope: Mapping[str, Any]) -> Login | None:
        """The valid login whose cookie a request carries."""
        if (logins := self.logins) is None:
            return None
        cookies = cookie_values(COOKIE, request_headers(scope).get("cookie", ""))
        return next((login for cookie in cookies if (login := logins.verify(cookie))), None)

    def allows(self, scope: Mapping[str, Any]) -> bool:
        """Whether a request may see the dashboard. With `st.login` the pages check the login."""
        if self.kind == "local":
            return self.bound_to_loopback and is_local(scope)
        if self.kind == "password":
            return self.login(scope) is not None
        return self.kind in {"open", "login"}

    def rejects_host(self, scope: Mapping[str, Any]) -> bool:
        """Whether the Host header names a host that isn't this dashboard."""
        host = request_headers(scope).get("host", "")
        if is_listed(host, self.hosts) or (names_loopback(host) and self.bound_to_loopback):
            return False
        if self.hosts:
            return not names_loopback(host)
        # Without a sign-in, an unknown host name on the loopback may be DNS rebinding.
        return self.bound_to_loopback and self.kind in {"open", "local"}

    def is_cross_site(self, scope: Mapping[str, Any]) -> bool:
        """Whether a page of another site sends the request."""
        return not self.any_origin and is_cross_site_request(scope, self.origins)

    def is_listed_user(self, email: str | None, verified: object) -> bool:
        """Whether a user that is signed in with `st.login` may enter. Without a list, every user may."""
        if not self.users:
            return True
        address = (email or "").strip().lower()
        # Some providers send the text "true" instead of the boolean.
        if "@" not in address or (verified is not None and str(verified).strip().lower() not in {"true", "1"}):
            return False
        return address in self.users or "@" + address.rpartition("@")[2] in self.users


def host_refused(scope: Mapping[str, Any]) -> str:
    """The error message for a request that `Policy.rejects_host` rejects."""
    return Message("auth.host_not_allowed", host=f"{host_name(request_headers(scope).get('host', ''))[:100]!r}")


def resolve_policy(
    settings: Settings,
    *,
    login: bool,
    bound_to: str | None,
    hosts: Iterable[str] = (),
    origins: Iterable[str] = (),
    any_origin: bool = False,
    problem: str = "",
) -> Policy:
    """The policy of these settings; `login`: `st.login` is configured, `bound_to`: the server's listen address.

    An unreadable setting makes the policy *broken*: a typing error must not open the dashboard.
    """
    # Streamlit gives a single name as a string.
    hosts, origins = (
        names.replace(",", " ").split() if isinstance(names, str) else names for names in (hosts, origins)
    )
    password: PasswordHash | None = None
    if settings.dashboard_password_hash and not problem:
        try:
            password = parse_hash(settings.dashboard_password_hash)
        except ValueError:
            problem = Message("auth.password_hash_invalid")
    problem = problem or next(_unreadable_variables(settings), "")
    kind: Kind = "local"
    if problem:
        kind = "broken"
    elif login or password:
        kind = "login" if login else "password"
    elif settings.dashboard_open:
        kind = "open"
    return Policy(
        kind,
        bound_to_loopback=is_loopback(bound_to or "") or bound_to == "localhost",
        password=password,
        hosts=tuple(hosts),
        origins=tuple(origin.rstrip("/") for origin in origins),
        any_origin=any_origin,
        users=settings.dashboard_users,
        problem=problem,
        allows_writes=_allows_writes(kind, settings),
    )


def _allows_writes(kind: Kind, settings: Settings) -> bool:
    """An open dashboard allows changes only by an explicit setting; an unreadable setting allows none."""
    if kind == "broken" or settings.is_unreadable(WRITE_VARIABLE):
        return False
    return kind != "open" if settings.dashboard_write is None else settings.dashboard_write


def _unreadable_variables(settings: Settings) -> Iterator[str]:
    """A message for each unreadable sign-in variable. It is public, so it doesn't quote the value."""
    for variable in VARIABLES:
        if variable.name == WRITE_VARIABLE:  # its value allows no request; an unreadable one refuses changes only
            continue
        if variable.name.startswith("TRACKER_DASHBOARD_") and settings.is_unreadable(variable.name):
            yield Message("auth.access_setting_unreadable", variable=variable.name, allowed=variable.allowed)
