"""Reads this role's privileges on tables, and makes the statement that grants missing ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tracker.database.connect import Connection, execute
from tracker.database.schema import quote
from tracker.errors import SetupError
from tracker.messages import Message

WRITES = ("SELECT", "INSERT", "UPDATE", "DELETE")
# The codes of `pg_policy.polcmd`.
_COMMANDS = {"SELECT": "r", "INSERT": "a", "UPDATE": "w", "DELETE": "d"}
_QUERY = """
SELECT current_user::text, is_read_only, c.relname::text, row_security_active(c.oid), ARRAY(
    SELECT command.key
    FROM json_each_text(%(commands)s) AS command
    WHERE has_table_privilege(c.oid, command.key)
      AND (command.key = 'SELECT' OR NOT is_read_only)
      AND (NOT row_security_active(c.oid) OR EXISTS (
          SELECT FROM pg_policy AS p
          WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd::text IN ('*', command.value)
            AND EXISTS (SELECT FROM unnest(p.polroles) AS role WHERE role = 0 OR pg_has_role(role, 'USAGE')))))
FROM (SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS is_read_only) AS session
LEFT JOIN pg_class AS c ON c.relname = ANY (CAST(%(tables)s AS text[])) AND c.relkind IN ('r', 'p', 'v', 'f')
 AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)"""


@dataclass(frozen=True, slots=True)
class TableRights:
    """The privileges of `role` on each table that exists.

    Row-level security removes a privilege for which no policy applies to the role. `secured` are the tables with
    row-level security for this role. `read_only`: the server or the session takes no writes, so that the role has no
    privileges to write, and no GRANT helps.
    """

    schema: str
    role: str
    privileges: Mapping[str, frozenset[str]]
    secured: frozenset[str] = frozenset()
    read_only: bool = False

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
            # Names of policies are unique in a table, and two roles may need one.
            policy = quote(f"token_tracker_{self.role}")
            only_reads = set(privileges) == {"SELECT"}
            command, check = ("FOR SELECT ", "") if only_reads else ("", " WITH CHECK (true)")
            statement += f" CREATE POLICY {policy} ON {name} {command}TO {role} USING (true){check};"
        return statement

    def require_writes(self) -> None:
        """Raise `SetupError` if the server or the session takes no writes."""
        if self.read_only:
            raise SetupError("read_only", Message("database.read_only"), Message("diagnostics.rule.read_only.remedy"))


def read_rights(connection: Connection, schema: str, tables: Sequence[str]) -> TableRights:
    """The privileges on the existing ones of these tables. Raises `DatabaseError`."""
    _, rows = execute(connection, _QUERY, {"commands": json.dumps(_COMMANDS), "tables": list(tables), "schema": schema})
    privileges = {name: frozenset(names) for _, _, name, _, names in rows if name is not None}
    secured = frozenset(name for _, _, name, is_secured, _ in rows if is_secured)
    return TableRights(schema, rows[0][0], privileges, secured, rows[0][1])
