"""Saved views of the dashboard: a page with its range, filters and dimensions under a name, for all readers.

The table is optional: `read_access` states whether it exists and what this role may do with it.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tracker.audit.change_log import change_transaction
from tracker.audit.table_rights import TableRights, read_rights
from tracker.database.connect import Connection, execute
from tracker.database.schema import quote, read_table
from tracker.usage import replace_unstorable

SAVED_VIEWS = "token_tracker_saved_views"
MAX_VIEWS = 200
MAX_NAME_LENGTH = 80
_MAX_PARAMETERS = 40
_MAX_VALUE_LENGTH = 20_000
# These characters change the direction of the text after them, also outside of the name.
_DIRECTION_CHARACTERS = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}

SaveResult = Literal["saved", "exists", "full"]


@dataclass(frozen=True, slots=True)
class SavedView:
    """A view. `page` is the path of a page, `parameters` are those of the address bar, as they were stored.

    `saved_by` is the address or name of the sign-in, if it has one.
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


def read_access(connection: Connection, schema: str | None) -> TableRights:
    """This role's privileges on the saved views. Raises `DatabaseError`."""
    return read_rights(connection, read_table(connection, schema).schema, [SAVED_VIEWS])


def read_views(connection: Connection, rights: TableRights) -> list[SavedView]:
    """The views in the order of their names. Raises `DatabaseError`."""
    _, rows = execute(
        connection,
        f"SELECT name, page, parameters::text, saved_by, saved_at FROM {_table(rights)}"  # noqa: S608
        " ORDER BY lower(name), name LIMIT %s",
        (MAX_VIEWS,),
    )
    return [SavedView(name, page, _parameters(text), by, at) for name, page, text, by, at in rows]


def save_view(connection: Connection, rights: TableRights, view: SavedView, *, replace: bool = False) -> SaveResult:
    """Store a view under its name, which `clean_name` returned.

    An existing view of that name is kept unless `replace`. Raises `DatabaseError`.
    """
    table = _table(rights)
    values = (view.page, json.dumps(dict(view.parameters)), view.saved_by, view.name)
    with change_transaction(connection, rights.schema):
        _, existing = execute(connection, f"SELECT 1 FROM {table} WHERE name = %s", (view.name,))  # noqa: S608
        if existing and not replace:
            return "exists"
        if existing:
            changes = "page = %s, parameters = %s, saved_by = %s, saved_at = now()"
            execute(connection, f"UPDATE {table} SET {changes} WHERE name = %s", values)  # noqa: S608
            return "saved"
        _, rows = execute(connection, f"SELECT count(*) FROM {table}")  # noqa: S608
        if rows[0][0] >= MAX_VIEWS:
            return "full"
        columns = "page, parameters, saved_by, name"
        execute(connection, f"INSERT INTO {table} ({columns}) VALUES (%s, %s, %s, %s)", values)  # noqa: S608
    return "saved"


def delete_view(connection: Connection, rights: TableRights, name: str) -> bool:
    """Delete a view; False if it does not exist. Raises `DatabaseError`."""
    with change_transaction(connection, rights.schema):
        _, rows = execute(connection, f"DELETE FROM {_table(rights)} WHERE name = %s RETURNING 1", (name,))  # noqa: S608
    return bool(rows)


def _table(rights: TableRights) -> str:
    return f"{quote(rights.schema)}.{SAVED_VIEWS}"


def _parameters(text: str) -> dict[str, str]:
    """The texts of a stored JSON object; a row that was written by hand can contain anything."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    texts = ((name, entry[:_MAX_VALUE_LENGTH]) for name, entry in value.items() if isinstance(entry, str))
    return dict(list(texts)[:_MAX_PARAMETERS])
