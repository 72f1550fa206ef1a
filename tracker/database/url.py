"""Parses a DATABASE_URL as platforms and other drivers write it into libpq's parameters, with a note on each change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from tracker.errors import SettingError
from tracker.messages import Message

_SCHEME = r"(?i)(?:postgres|postgresql)(?:\+[a-z0-9_]+)?\Z"
_SCHEMA_KEYS = {"schema", "currentSchema"}
_KEYS_THAT_ALLOW_AT = {"user", "password", "dbname", "application_name", "options"}
_SEARCH_PATH = r"search_path(?:=|%3D)\"?([A-Za-z_][A-Za-z0-9_$]*)"


class SearchPath(str):
    """The schemas of a URL's search_path= in order, one of which may have the table; replaces a schema's name."""

    __slots__ = ()

    @property
    def names(self) -> list[str]:
        return self.split(",")


class DatabaseUrl(NamedTuple):
    """A database's address as libpq's parameters; neither its repr nor its notes contain the password.

    `schema` is the table's schema in the URL, or a `SearchPath`; `notes` has a sentence for each part of the URL that
    was dropped or interpreted.
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
        """Host and database, for display."""
        return f"{self.host}/{self.dbname}"

    @property
    def password(self) -> str | None:
        return self.params.get("password")

    def with_password(self) -> str:
        """The whole address as a URL with password and schema: for other processes, never for display."""
        from urllib.parse import quote

        params = dict(self.params)
        dbname = params.pop("dbname", "")
        if self.schema:
            params["search_path" if isinstance(self.schema, SearchPath) else "schema"] = self.schema
        query = "&".join(f"{key}={quote(value, safe='')}" for key, value in params.items())
        return f"postgresql:///{quote(dbname, safe='')}?{query}"


def clean(text: str, variable: str = "DATABASE_URL") -> DatabaseUrl:
    """Parse a PostgreSQL URL as platforms and people write it.

    Keys that libpq doesn't know (Prisma's `pgbouncer`, postgres.js's `pool_size`, …) are dropped and noted, a
    `schema=` becomes the table's schema, quotes and white space around the URL go. A setting of TLS that can't be
    read refuses the URL.
    Raises `SettingError`, which names the variable and never shows the password.
    """
    if not _is_sendable(text):
        raise SettingError(Message("database.url_unsendable", variable=variable))
    notes: list[str] = []
    bare = _unwrap(text, notes)
    scheme, separator, rest = bare.partition("://")
    if not separator or not re.match(_SCHEME, scheme):
        kind = Message("database.url_kind.none")
        if separator and len(scheme) < 30:
            kind = Message("database.url_kind.other_scheme", scheme=repr(scheme))
        raise SettingError(Message("database.url_wrong_kind", variable=variable, kind=kind))
    address, query = _split_query(rest, variable)
    params, schema = _query_params(query, notes, variable)
    params = {**_parse("postgresql://" + _quote_credentials(address, notes), variable), **params}
    _check_port(params.get("port", ""), variable)
    return DatabaseUrl(params=params, schema=schema, notes=tuple(notes))


def _unwrap(text: str, notes: list[str]) -> str:
    bare = text.strip()
    if bare != text:
        notes.append(Message("database.url_white_space_removed"))
    while len(bare) > 1 and bare[0] in "\"'`" and bare[-1] == bare[0]:
        bare = bare[1:-1].strip()
        notes.append(Message("database.url_quotes_removed"))
    return bare


def _split_query(rest: str, variable: str) -> tuple[str, str]:
    """Credentials, hosts and database before the query; a `?` inside the password doesn't begin it.

    If an `@` follows, a wrong split would treat a part of the password as the host and display it. Then only text in
    the form of a query is the query.
    """
    for mark in (match.start() for match in re.finditer(r"\?", rest)):
        query = rest[mark + 1 :]
        if "@" not in query or _is_query(query):
            return rest[:mark], query.partition("#")[0]
        if query.lstrip("&").partition("=")[0].isidentifier():
            raise SettingError(Message("database.url_password_ambiguous", variable=variable))
    return rest, ""


def _is_query(query: str) -> bool:
    """Whether it is key=value&…, and each key whose value contains an @ allows that."""
    parts = [part.partition("=") for part in query.split("&")]
    return all(key in _KEYS_THAT_ALLOW_AT for key, _, value in parts if "@" in key + value)


def _quote_credentials(address: str, notes: list[str]) -> str:
    """The address with quoted credentials. libpq ends them at the first `@`; here they end at the last one."""
    credentials, at, hosts = address.rpartition("@")
    if not at or credentials.replace(":", "", 1).isalnum():
        return address
    from urllib.parse import quote  # most addresses don't need it, and it is slow to import

    user, colon, password = credentials.partition(":")
    # Existing %XX sequences must not change: only characters that libpq misinterprets are quoted.
    escaped = "".join(quote(char, safe="") if char in "@/?#: " else char for char in password)
    if escaped != password:
        notes.append(Message("database.url_password_encoded"))
    return f"{quote(user, safe='%+.-_~!$&*=')}{colon}{escaped}@{hosts}"


def _parse(url: str, variable: str) -> dict[str, str]:
    from tracker.database.connect import parse_url

    try:
        return parse_url(url)
    except ValueError:
        lone_percent = re.search(r"%(?![0-9A-Fa-f]{2})", url)
        code = "database.url_percent_invalid" if lone_percent else "database.url_malformed"
        raise SettingError(Message(code, variable=variable)) from None


def _check_port(ports: str, variable: str) -> None:
    for port in filter(None, ports.split(",")):
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            # If the host is missing, the text at the position of the port is the password.
            raise SettingError(Message("database.url_port_invalid", variable=variable))


def _query_params(query: str, notes: list[str], variable: str) -> tuple[dict[str, str], str | None]:
    params: dict[str, str] = {}
    schema: str | None = None
    if not query:
        return params, schema
    from urllib.parse import parse_qsl

    from tracker.database.connect import has_system_roots, is_libpq_key
    from tracker.database.tls import is_tls_key, read_tls_params

    encryption: list[tuple[str, str]] = []
    # In a PostgreSQL URL, a plus sign is literal, not a space as in a form.
    for key, value in parse_qsl(query.replace("+", "%2B"), keep_blank_values=True, separator="&"):
        if is_tls_key(key):
            encryption.append((key, value))
        elif not _is_sendable(value):
            notes.append(Message("database.parameter_unsendable_dropped", parameter=_display_key(key)))
        elif key in {*_SCHEMA_KEYS, "search_path", "options"}:
            schema = _schema(key, value, schema, notes)
        elif key == "connect_timeout" and not (value.isascii() and value.isdigit()):
            notes.append(Message("database.connect_timeout_dropped"))
        elif is_libpq_key(key):
            params[key] = value
        else:
            notes.append(Message("database.parameter_of_other_driver_dropped", parameter=_display_key(key)))
    if encryption:
        known = [key for key, _ in encryption if is_libpq_key(key)]
        params |= read_tls_params(encryption, variable, known, notes, has_system_roots=has_system_roots())
    return params, schema


def _is_sendable(value: str) -> bool:
    return "\0" not in value and value == value.encode("utf-8", "replace").decode("utf-8")


def _display_key(key: str) -> str:
    """The key for a note, or a mask if it is no identifier: it may be the rest of a password with a question mark."""
    return repr(key[:40]) if key.isidentifier() else Message("database.query_part_masked")


def _schema(key: str, value: str, before: str | None, notes: list[str]) -> str | None:
    """The table's schema after this parameter."""
    if key == "search_path":
        notes.append(Message("database.search_path_dropped"))
        return before or _search_path(value)
    if key == "options":
        notes.append(Message("database.options_dropped"))
        return _schema_of_options(value) or before
    return value or None


def _search_path(value: str) -> SearchPath | None:
    names = [name.strip() for name in value.split(",") if name.strip()]
    return SearchPath(",".join(names)) if names and names != ["public"] else None


def _schema_of_options(options: str) -> str | None:
    from urllib.parse import unquote

    match = re.search(_SEARCH_PATH, unquote(options))
    return match[1] if match and match[1] != "public" else None
