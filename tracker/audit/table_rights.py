"""Reads this role's privileges on tables, and makes the statement that grants missing ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tracker.database.connect import Connection, execute
from tracker.database.schema import quote

WRITES = ("SELECT", "INSERT", "UPDATE", "DELETE")
# The codes of `pg_policy.polcmd`.
_COMMANDS = {"SELECT": "r", "INSERT": "a", "UPDATE": "w", "DELETE": "d"}
_QUERY = """
SELECT current_user::text, c.relname::text, row_security_active(c.oid), ARRAY(
    SELECT command.key
    FROM json_each_text(%(commands)s) AS command
    WHERE has_table_privilege(c.oid, command.key)
      AND (command.key = 'SELECT' OR NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off')
      AND (NOT row_security_active(c.oid) OR EXISTS (
          SELECT FROM pg_policy AS p
          WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd::text IN ('*', command.value)
            AND EXISTS (SELECT FROM unnest(p.polroles) AS role WHERE role = 0 OR pg_has_role(role, 'USAGE')))))
FROM (SELECT) AS one
LEFT JOIN pg_class AS c ON c.relname = ANY (CAST(%(tables)s AS text[])) AND c.relkind IN ('r', 'p', 'v', 'f')
 AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)"""


@dataclass(frozen=True, slots=True)
class TableRights:
    """The privileges of `role` on each table that exists.

    Row-level security removes a privilege for which no policy applies to the role. `secured` are the tables with
    row-level security for this role. On a read-only server, a role has no privileges to write.
    """

    schema: str
    role: str
    privileges: Mapping[str, frozenset[str]]
    secured: frozenset[str] = frozenset()

    def exists(self, table: str) -> bool:
        return table in self.privileges

    def allows(self, table: str, privileges: Iterable[str]) -> bool:
        """Whether the role has all these privileges on an existing table."""
        return set(privileges) <= self.privileges.get(table, frozenset())

    def grant(self, table: str, privileges: Sequence[str]) -> str:
        """The statements that grant these privileges, with a policy if row-level security applies to the role."""
        name, role = f"{quote(self.schema)}.{table}", quote(self.role)
        statement = f"GRANT {', '.join(privileges)} ON {name} TO {role};"
        if table in self.secured:
            statement += f" CREATE POLICY token_tracker ON {name} TO {role} USING (true) WITH CHECK (true);"
        return statement


def read_rights(connection: Connection, schema: str, tables: Sequence[str]) -> TableRights:
    """The privileges on the existing ones of these tables. Raises `DatabaseError`."""
    _, rows = execute(connection, _QUERY, {"commands": json.dumps(_COMMANDS), "tables": list(tables), "schema": schema})
    privileges = {name: frozenset(names) for _, name, _, names in rows if name is not None}
    secured = frozenset(name for _, name, is_secured, _ in rows if is_secured)
    return TableRights(schema, rows[0][0], privileges, secured)
