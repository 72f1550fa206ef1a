"""DATABASE_URL as found in the wild → what libpq takes, with a note on everything that was changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from tracker.errors import SettingError

_SCHEME = r"(?i)(?:postgres|postgresql)(?:\+[a-z0-9_]+)?\Z"
_SCHEMA_KEYS = {"schema", "currentSchema"}
_MAY_HOLD_AN_AT = {"user", "password", "dbname", "application_name", "options"}
_SEARCH_PATH = r"search_path(?:=|%3D)\"?([A-Za-z_][A-Za-z0-9_$]*)"


class SearchPath(str):
    """In place of a schema's name: schemas in which the table may be, in order, as a URL's search_path= has them."""

    __slots__ = ()

    @property
    def names(self) -> list[str]:
        return self.split(",")


class DatabaseUrl(NamedTuple):
    """A database's address as libpq's parameters; the password shows in none of its texts.

    `schema` is the table's schema where the URL names one, or a `SearchPath`; `notes` has a sentence for each part of
    the original that was dropped or read differently.
    """

    params: Mapping[str, str]
    schema: str | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"DatabaseUrl(schema={self.schema!r}, notes={self.notes!r})"

    @property
    def host(self) -> str:
        return self.params.get("host", "localhost")

    @property
    def port(self) -> str:
        return self.params.get("port", "5432")

    @property
    def user(self) -> str | None:
        return self.params.get("user")

    @property
    def dbname(self) -> str:
        return self.params.get("dbname") or self.user or "postgres"

    @property
    def label(self) -> str:
        """Host and database, for people."""
        return f"{self.host}/{self.dbname}"

    @property
    def password(self) -> str | None:
        return self.params.get("password")

    def with_password(self) -> str:
        """The whole address as a URL, password and schema included: to hand on, never to show."""
        from urllib.parse import quote

        params = dict(self.params)
        dbname = params.pop("dbname", "")
        if self.schema:
            params["search_path" if isinstance(self.schema, SearchPath) else "schema"] = self.schema
        query = "&".join(f"{key}={quote(value, safe='')}" for key, value in params.items())
        return f"postgresql:///{quote(dbname, safe='')}?{query}"


def clean(text: str, variable: str = "DATABASE_URL") -> DatabaseUrl:
    """Read a PostgreSQL URL as platforms and people write it.

    Keys that libpq doesn't know (Prisma's `pgbouncer`, postgres.js's `pool_size`, …) are dropped and noted, a
    `schema=` becomes the table's schema, quotes and white space around the URL go. A setting of TLS that can't be
    read refuses the URL.
    Raises `SettingError`, which names the variable and never shows the password.
    """
    if not _sendable(text):
        raise SettingError(
            f"{variable} (masked) holds a character that can't be sent: NUL, or bytes that are no UTF-8; it may hold"
            " postgresql://user:password@host:5432/database, with such characters percent-encoded."
        )
    notes: list[str] = []
    bare = _unwrap(text, notes)
    scheme, separator, rest = bare.partition("://")
    if not separator or not re.match(_SCHEME, scheme):
        shown = f"an address that starts with {scheme!r}" if separator and len(scheme) < 30 else "no URL"
        raise SettingError(
            f"{variable} holds {shown} (masked); it may hold a PostgreSQL URL such as"
            " postgresql://user:password@host:5432/database."
        )
    place, query = _split_query(rest, variable)
    params, schema = _query_params(query, notes, variable)
    params = {**_parse("postgresql://" + _quote_credentials(place, notes), variable), **params}
    _check_port(params.get("port", ""), variable)
    return DatabaseUrl(params=params, schema=schema, notes=tuple(notes))


def _unwrap(text: str, notes: list[str]) -> str:
    bare = text.strip()
    if bare != text:
        notes.append("White space around the URL was removed.")
    while len(bare) > 1 and bare[0] in "\"'`" and bare[-1] == bare[0]:
        bare = bare[1:-1].strip()
        notes.append("Quotes around the URL were removed.")
    return bare


def _split_query(rest: str, variable: str) -> tuple[str, str]:
    """Credentials, hosts and database before the query; a `?` inside the password doesn't begin it.

    Where an `@` follows, a wrong guess would take a part of the password for the host, and show it: then only what
    reads as a query is one.
    """
    for mark in (found.start() for found in re.finditer(r"\?", rest)):
        query = rest[mark + 1 :]
        if "@" not in query or _reads_as_query(query):
            return rest[:mark], query.partition("#")[0]
        if query.lstrip("&").partition("=")[0].isidentifier():
            raise SettingError(
                f"{variable} (masked) holds an @ after a ?, and nobody can tell where its password ends; write ? in a"
                " password as %3F, and @ anywhere but before the host as %40."
            )
    return rest, ""


def _reads_as_query(query: str) -> bool:
    """Whether it is key=value&…, and each value with an @ is one that may hold it."""
    parts = [part.partition("=") for part in query.split("&")]
    return all(key in _MAY_HOLD_AN_AT for key, _, value in parts if "@" in key + value)


def _quote_credentials(place: str, notes: list[str]) -> str:
    """An `@` in a password ends the credentials for libpq; no host holds one, so the last one is meant."""
    credentials, at, hosts = place.rpartition("@")
    if not at or credentials.replace(":", "", 1).isalnum():
        return place
    from urllib.parse import quote  # not needed for the plainest addresses, and no part of the driver's own imports

    user, colon, password = credentials.partition(":")
    # Quoting what is already written %XX would change it: only the characters libpq stumbles over are quoted.
    escaped = "".join(quote(char, safe="") if char in "@/?#: " else char for char in password)
    if escaped != password:
        notes.append("The password holds characters that a URL must write percent-encoded; they were taken as meant.")
    return f"{quote(user, safe='%+.-_~!$&*=')}{colon}{escaped}@{hosts}"


def _parse(url: str, variable: str) -> dict[str, str]:
    from tracker.database.connect import parse_url

    try:
        return parse_url(url)
    except ValueError:
        reason = "is not a PostgreSQL URL that can be read"
        if re.search(r"%(?![0-9A-Fa-f]{2})", url):
            reason = "holds a % that no two hexadecimal digits follow; write % in a password as %25"
        raise SettingError(
            f"{variable} (masked) {reason}; it may hold postgresql://user:password@host:5432/database, with"
            " special characters of the password percent-encoded."
        ) from None


def _check_port(ports: str, variable: str) -> None:
    for port in filter(None, ports.split(",")):
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            # Where the host was forgotten, what stands in the port's place is the password.
            raise SettingError(
                f"{variable} names a port (masked) that isn't one; a port may be a number from 1 to 65535, after"
                " user:password@host."
            )


def _query_params(query: str, notes: list[str], variable: str) -> tuple[dict[str, str], str | None]:
    params: dict[str, str] = {}
    schema: str | None = None
    if not query:
        return params, schema
    from urllib.parse import parse_qsl

    from tracker.database.connect import has_system_roots, is_libpq_key
    from tracker.database.tls import is_tls_key, read

    encryption: list[tuple[str, str]] = []
    # A plus is a plus in a PostgreSQL URL, not a form's space.
    for key, value in parse_qsl(query.replace("+", "%2B"), keep_blank_values=True, separator="&"):
        if is_tls_key(key):
            encryption.append((key, value))
        elif not _sendable(value):
            notes.append(f"{_named(key)} was dropped: it holds a character that can't be sent.")
        elif key in {*_SCHEMA_KEYS, "search_path", "options"}:
            schema = _schema(key, value, schema, notes)
        elif key == "connect_timeout" and not (value.isascii() and value.isdigit()):
            notes.append("connect_timeout was dropped: it must be whole seconds.")
        elif is_libpq_key(key):
            params[key] = value
        else:
            notes.append(f"{_named(key)} was dropped: it belongs to another driver.")
    if encryption:
        known = [key for key, _ in encryption if is_libpq_key(key)]
        params |= read(encryption, variable, known, notes, has_system_roots=has_system_roots())
    return params, schema


def _sendable(value: str) -> bool:
    return "\0" not in value and value == value.encode("utf-8", "replace").decode("utf-8")


def _named(key: str) -> str:
    """A key, for a note; what is none may be the rest of a password that holds a question mark."""
    return repr(key[:40]) if key.isidentifier() else "A part of the query (masked)"


def _schema(key: str, value: str, before: str | None, notes: list[str]) -> str | None:
    """The table's schema after this parameter."""
    if key == "search_path":
        notes.append("search_path was dropped: poolers refuse it. The table is looked for in its schemas.")
        return before or _search_path(value)
    if key == "options":
        notes.append("options was dropped: transaction poolers refuse it.")
        return _schema_of_options(value) or before
    return value or None


def _search_path(value: str) -> SearchPath | None:
    names = [name.strip() for name in value.split(",") if name.strip()]
    return SearchPath(",".join(names)) if names and names != ["public"] else None


def _schema_of_options(options: str) -> str | None:
    from urllib.parse import unquote

    found = re.search(_SEARCH_PATH, unquote(options))
    return found[1] if found and found[1] != "public" else None
