"""Which door the dashboard has, and whether a request stands before it or is of this machine itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tracker.auth.client_address import headers, host_name, is_local, is_loopback, names_loopback
from tracker.auth.logins import COOKIE, Session, Sessions, cookies_named, sessions_of
from tracker.auth.origin_check import is_listed, is_of_another_site
from tracker.auth.password_hash import PasswordHash, read_hash
from tracker.settings import VARIABLES, Settings

SECRETS_UNREADABLE = "The secrets can't be read: .streamlit/secrets.toml is no TOML."
AUTH_UNREADABLE = "The [auth] in .streamlit/secrets.toml is no section."
Kind = Literal["login", "password", "open", "local", "broken"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What is in force.

    *login*: `st.login`, which the pages ask for. *password*: the shared one. *open*: whoever reaches it, as told.
    *local*: this machine itself, and nobody else. *broken*: a door is set up and can't be used, so nobody passes.
    """

    kind: Kind
    bound_to_loopback: bool
    password: PasswordHash | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    any_origin: bool = False
    users: tuple[str, ...] = ()
    problem: str = ""

    @property
    def sessions(self) -> Sessions | None:
        """The sessions of the shared password."""
        return sessions_of(str(self.password)) if self.kind == "password" else None

    def session(self, scope: Mapping[str, Any]) -> Session | None:
        """The session whose cookie a request carries."""
        if (sessions := self.sessions) is None:
            return None
        cookies = cookies_named(COOKIE, headers(scope).get("cookie", ""))
        return next((found for cookie in cookies if (found := sessions.find(cookie))), None)

    def lets_in(self, scope: Mapping[str, Any]) -> bool:
        """Whether a request may see the dashboard; with `st.login` the page itself asks."""
        if self.kind == "local":
            return self.bound_to_loopback and is_local(scope)
        if self.kind == "password":
            return self.session(scope) is not None
        return self.kind in {"open", "login"}

    def misnamed(self, scope: Mapping[str, Any]) -> str | None:
        """What to say to a request for a name that isn't this dashboard's; None where the name is one of its own."""
        host = headers(scope).get("host", "")
        if self._knows(host):
            return None
        return (
            f"This dashboard doesn't answer to {host_name(host)[:100]!r}. If that is its own name, set it:"
            " server.allowedHosts in .streamlit/config.toml."
        )

    def foreign(self, scope: Mapping[str, Any]) -> str | None:
        """What to say to a request of another site's page; None where it is none."""
        if self.any_origin or not is_of_another_site(scope, self.origins):
            return None
        return (
            "This request comes from another site's page. If a proxy stands in front, it must pass the Host header on"
            " as it came."
        )

    def _knows(self, host: str) -> bool:
        """A name that nobody set may have been made to lead here; behind a real door it gets as far as the door."""
        if is_listed(host, self.hosts) or (names_loopback(host) and self.bound_to_loopback):
            return True
        if self.hosts:
            return names_loopback(host)
        return not (self.bound_to_loopback and self.kind in {"open", "local"})

    def is_welcome(self, email: str | None, verified: object) -> bool:
        """Whether who signed in with `st.login` is on the list; without a list whoever the provider lets in is."""
        if not self.users:
            return True
        address = (email or "").strip().lower()
        # Some providers write the word instead of the value.
        if "@" not in address or (verified is not None and str(verified).strip().lower() not in {"true", "1"}):
            return False
        return address in self.users or "@" + address.rpartition("@")[2] in self.users


def decide(
    settings: Settings,
    *,
    login: bool,
    bound_to: str | None,
    hosts: Iterable[str] = (),
    origins: Iterable[str] = (),
    any_origin: bool = False,
    problem: str = "",
) -> Policy:
    """The policy of these settings; `login` says that `st.login` is set up, `bound_to` is the server's own address.

    What is set and can't be read closes the door: it must not stand open because of a slip of the pen.
    """
    # A single name may come as text.
    hosts, origins = (
        names.replace(",", " ").split() if isinstance(names, str) else names for names in (hosts, origins)
    )
    password: PasswordHash | None = None
    if settings.dashboard_password_hash and not problem:
        try:
            password = read_hash(settings.dashboard_password_hash)
        except ValueError:
            problem = "TRACKER_DASHBOARD_PASSWORD_HASH holds no hash of a password; token-tracker password makes one."
    problem = problem or next(_malformed(settings), "")
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
    )


def _malformed(settings: Settings) -> Iterator[str]:
    """What can't be read of the door's own variables; it is shown to everybody, so it quotes nothing."""
    for variable in VARIABLES:
        if variable.name.startswith("TRACKER_DASHBOARD_") and settings.is_unreadable(variable.name):
            yield f"{variable.name} can't be read; it may hold {variable.allowed}."
