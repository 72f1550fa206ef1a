"""Saved views of the dashboard: a page with its range, filters and dimensions under a name, for all readers.

The table is optional: `read_access` states whether it exists and what this role may do with it.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tracker.database.connect import Connection, execute
from tracker.database.schema import quote
from tracker.database.table_privileges import TablePrivileges, read_privileges
from tracker.database.transactions import transaction
from tracker.errors import DatabaseError
from tracker.usage import replace_unstorable

SAVED_VIEWS = "token_tracker_saved_views"
MAX_VIEWS = 200
MAX_NAME_LENGTH = 80
_MAX_PARAMETERS = 40
_MAX_VALUE_LENGTH = 200
_UNIQUE_VIOLATION = "23505"
# These characters change the direction of the text after them, also outside of the name.
_DIRECTION_CHARACTERS = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}

SaveResult = Literal["saved", "exists", "full"]
RenameResult = Literal["renamed", "exists", "missing"]


@dataclass(frozen=True, slots=True)
class SavedView:
    """A view. `page` is the path of a page, `parameters` are those of the address bar, as they were stored.

    `saved_by` is the email address of the sign-in, if it has one.
    """

    name: str
    page: str
    parameters: Mapping[str, str]
    saved_by: str | None = None
    saved_at: datetime | None = None


def clean_name(text: str) -> str | None:
    """The name as it is stored: composed characters, one line; None if it is empty or too long."""
    text = unicodedata.normalize("NFC", replace_unstorable(text))
    visible = (char for char in text if ord(char) not in _DIRECTION_CHARACTERS)
    name = " ".join("".join(" " if unicodedata.category(char) == "Cc" else char for char in visible).split())
    is_blank = all(unicodedata.category(char) in {"Cf", "Mn", "Zs"} for char in name)
    return None if is_blank or len(name) > MAX_NAME_LENGTH else name


def read_access(connection: Connection, schema: str) -> TablePrivileges:
    """What this role may do with saved views. Raises `DatabaseError`."""
    return read_privileges(connection, schema, SAVED_VIEWS)


def read_views(connection: Connection, schema: str) -> list[SavedView]:
    """All views in the order of their names. Raises `DatabaseError`."""
    _, rows = execute(
        connection,
        "SELECT name, page, parameters::text, saved_by, saved_at"  # noqa: S608  our own name
        f" FROM {quote(schema)}.{SAVED_VIEWS} ORDER BY lower(name), name LIMIT %s",
        (5 * MAX_VIEWS,),
    )
    return [SavedView(name, page, _parameters(text), by, at) for name, page, text, by, at in rows]


def save(connection: Connection, schema: str, view: SavedView, *, replace: bool = False) -> SaveResult:
    """Store a view under its name, which `clean_name` returned.

    An existing view of that name is kept unless `replace`. Raises `DatabaseError`.
    """
    table = f"{quote(schema)}.{SAVED_VIEWS}"
    values = {
        "name": view.name,
        "page": view.page,
        "parameters": json.dumps(dict(view.parameters)),
        "saved_by": view.saved_by,
        "limit": MAX_VIEWS,
    }
    with _limits(connection):
        if replace:
            count, _ = execute(
                connection,
                f"UPDATE {table} SET page = %(page)s, parameters = %(parameters)s, saved_by = %(saved_by)s,"  # noqa: S608
                " saved_at = now() WHERE name = %(name)s",
                values,
            )
            if count:
                return "saved"
        # Another tab can insert the same name now: the statement then inserts nothing.
        count, _ = execute(
            connection,
            f"INSERT INTO {table} (name, page, parameters, saved_by)"  # noqa: S608
            " SELECT %(name)s, %(page)s, CAST(%(parameters)s AS jsonb), %(saved_by)s"
            f" WHERE (SELECT count(*) FROM {table}) < %(limit)s ON CONFLICT (name) DO NOTHING",
            values,
        )
        if count:
            return "saved"
        _, rows = execute(connection, f"SELECT 1 FROM {table} WHERE name = %(name)s", values)  # noqa: S608
    return "exists" if rows else "full"


def rename(connection: Connection, schema: str, old: str, new: str) -> RenameResult:
    """Give a view another name, unless another view has it. Raises `DatabaseError`."""
    table, names = f"{quote(schema)}.{SAVED_VIEWS}", {"old": old, "new": new}
    try:
        with _limits(connection):
            count, _ = execute(connection, f"UPDATE {table} SET name = %(new)s WHERE name = %(old)s", names)  # noqa: S608
    except DatabaseError as error:
        if error.sqlstate == _UNIQUE_VIOLATION:
            return "exists"
        raise
    return "renamed" if count else "missing"


def delete(connection: Connection, schema: str, name: str) -> bool:
    """Delete a view; False if it does not exist. Raises `DatabaseError`."""
    with _limits(connection):
        count, _ = execute(connection, f"DELETE FROM {quote(schema)}.{SAVED_VIEWS} WHERE name = %s", (name,))  # noqa: S608
    return bool(count)


@contextmanager
def _limits(connection: Connection) -> Iterator[None]:
    """A transaction that does not wait for long."""
    with transaction(connection, "", "SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '10s'"):
        yield


def _parameters(text: str) -> dict[str, str]:
    """The texts of a stored JSON object; a row that was written by hand can contain anything."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    texts = ((name, text[:_MAX_VALUE_LENGTH]) for name, text in value.items() if isinstance(text, str))
    return dict(list(texts)[:_MAX_PARAMETERS])
