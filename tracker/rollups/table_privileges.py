"""Reads this role's privileges on an optional table of Token Tracker."""

from __future__ import annotations

from dataclasses import dataclass

from tracker.database.connect import Connection, execute

_QUERY = """
SELECT c.oid IS NOT NULL,
       coalesce(has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid), false),
       coalesce(has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')
                AND has_table_privilege(c.oid, 'DELETE') AND NOT row_security_active(c.oid), false),
       pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'
FROM (SELECT) AS one
LEFT JOIN pg_class AS c ON c.relname = %(table)s AND c.relkind IN ('r', 'p')
 AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)"""


@dataclass(frozen=True, slots=True)
class TablePrivileges:
    """What the current role may do with a table. A role to which row-level security applies has no privileges.

    `read_only`: the server is a replica, or transactions are read-only.
    """

    exists: bool
    reads: bool
    may_change: bool
    read_only: bool

    @property
    def writes(self) -> bool:
        return self.reads and self.may_change and not self.read_only


def read_privileges(connection: Connection, schema: str, table: str) -> TablePrivileges:
    """The privileges of the current role on a table that may be missing. Raises `DatabaseError`."""
    _, rows = execute(connection, _QUERY, {"schema": schema, "table": table})
    return TablePrivileges(*rows[0])
