"""Whether the dashboard's sums count a canary: today's are refreshed and compared with the rows."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from tracker.database.connect import Connection
from tracker.database.schema import read_table
from tracker.diagnostics.self_test import RollupCheck
from tracker.errors import SetupError
from tracker.rollups.refresh import wait_for_visibility
from tracker.rollups.rollup_state import require_write_access
from tracker.rollups.verify import verify

_REMEDY = "Make the sums anew: token-tracker rollup --rebuild."


def rollup_check(schema: str | None) -> RollupCheck:
    """A check for `self_test` on the rollups of a schema."""

    def check(connection: Connection, _: UUID) -> str:
        table = read_table(connection, schema)
        require_write_access(connection, table)
        wait_for_visibility(connection, table)
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        differing = next(iter(verify(connection, table, int(midnight.timestamp()))), None)
        if differing is not None:
            raise SetupError("rollup_wrong", f"A sum differs from its rows: {differing}", _REMEDY)
        return "Today's sums, refreshed, equal the rows, this one included."

    return check
