"""Which properties (keys of metadata) have a rollup, and how far the backfill of each is.

A change is only stored here. The next refresh deletes the totals of a removed key and computes those of a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tracker.audit.change_log import CHANGES, Editor, SettingChange, change_transaction, record_change
from tracker.audit.change_log import PRIVILEGES as CHANGES_PRIVILEGES
from tracker.audit.table_rights import WRITES, TableRights, read_rights
from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.errors import SettingError, SetupError
from tracker.messages import Message
from tracker.rollups.rollup_tables import PROPERTIES, qualified
from tracker.setting_parsers import MAX_PROPERTIES, is_property_key


@dataclass(frozen=True, slots=True)
class IndexedProperty:
    """A key of metadata with a rollup, which has every day from `covered_from` on (seconds of the epoch)."""

    name: str
    covered_from: float
    indexed_at: datetime

    @property
    def is_complete(self) -> bool:
        """Whether the backfill reached the first row."""
        return self.covered_from == float("-inf")


def read_indexed(connection: Connection, table: Table) -> list[IndexedProperty]:
    """The indexed properties in the order of their names; `covered_from` is infinite before the backfill begins.

    Raises `DatabaseError`.
    """
    _, rows = execute(
        connection,
        "SELECT property, CASE WHEN needs_purge THEN 'infinity' ELSE extract(epoch FROM covered_from)::float8 END,"  # noqa: S608
        f" indexed_at FROM {qualified(table, PROPERTIES)} WHERE is_indexed ORDER BY property",
    )
    return [IndexedProperty(*row) for row in rows]


def indexed_names(connection: Connection, table: Table) -> list[str]:
    """The names of the indexed properties. Raises `DatabaseError`."""
    return [indexed.name for indexed in read_indexed(connection, table)]


def read_key_rights(connection: Connection, table: Table) -> TableRights:
    """This role's privileges on the table of the keys and on the change log. Raises `DatabaseError`."""
    return read_rights(connection, table.schema, [PROPERTIES, CHANGES])


def require_writable(rights: TableRights) -> None:
    """Raise `SetupError` with the remedy unless this role may choose the keys."""
    if not (rights.exists(PROPERTIES) and rights.exists(CHANGES)):
        raise SetupError("table_missing", Message("reports.rollups_missing"), Message("reports.rollups_missing.remedy"))
    rights.require_writes()
    missing = ((PROPERTIES, WRITES), (CHANGES, CHANGES_PRIVILEGES))
    if grants := [rights.grant(table, names) for table, names in missing if not rights.allows(table, names)]:
        raise SetupError("right_missing", Message("reports.properties_not_writable"), " ".join(grants), "42501")


def choose_keys(connection: Connection, table: Table, names: Sequence[str], editor: Editor) -> None:
    """Index exactly these keys, and record the change in the change log.

    Raises `SettingError` for more than five keys or an invalid one, `SetupError` without the privileges, and
    `DatabaseError`.
    """
    chosen = sorted(set(names))
    if len(chosen) > MAX_PROPERTIES or not all(map(is_property_key, chosen)):
        raise SettingError(Message("reports.properties_invalid", count=MAX_PROPERTIES))
    require_writable(read_key_rights(connection, table))
    with change_transaction(connection, table.schema):
        old = _store(connection, table, chosen)
        before, after = ({"keys": ", ".join(keys)} if keys else None for keys in (old, chosen))
        record_change(connection, table.schema, SettingChange("properties", "metadata", editor, before, after))


def apply_setting(connection: Connection, table: Table, names: Sequence[str] | None) -> None:
    """Index the keys of the setting TRACKER_PROPERTIES; without one (None), the chosen keys remain.

    Raises `DatabaseError`.
    """
    if names is not None and set(names) != set(indexed_names(connection, table)):
        with change_transaction(connection, table.schema):
            _store(connection, table, sorted(set(names)))


def _store(connection: Connection, table: Table, names: Sequence[str]) -> list[str]:
    """Mark these keys as indexed and the others as removed; returns the keys that were indexed."""
    keys = qualified(table, PROPERTIES)
    old = indexed_names(connection, table)
    execute(
        connection,
        f"UPDATE {keys} SET is_indexed = false, needs_purge = true"  # noqa: S608  our own name
        " WHERE is_indexed AND property <> ALL (CAST(%s AS text[]))",
        (list(names),),
    )
    execute(
        connection,
        f"INSERT INTO {keys} AS known (property) SELECT unnest(CAST(%s AS text[])) ON CONFLICT (property)"
        " DO UPDATE SET is_indexed = true, covered_from = 'infinity', indexed_at = now() WHERE NOT known.is_indexed",
        (list(names),),
    )
    return old
