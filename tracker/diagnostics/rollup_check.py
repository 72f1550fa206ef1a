"""Checks for the self-test that the dashboard's rollups count the test row."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from tracker.database.connect import Connection
from tracker.database.schema import read_table
from tracker.diagnostics.self_test import RollupCheck
from tracker.errors import SetupError
from tracker.messages import Message
from tracker.rollups.refresh import wait_for_visibility
from tracker.rollups.rollup_state import require_write_access
from tracker.rollups.verify import verify


def rollup_check(schema: str | None) -> RollupCheck:
    """A check that refreshes today's rollups in a schema and compares them with the rows."""

    def check(connection: Connection, _: UUID) -> str:
        table = read_table(connection, schema)
        require_write_access(connection, table)
        wait_for_visibility(connection, table)
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        difference = next(iter(verify(connection, table, int(midnight.timestamp()))), None)
        if difference is not None:
            cause = Message("diagnostics.rollup_check.differs", difference=difference)
            raise SetupError("rollup_wrong", cause, Message("diagnostics.rollup_check.differs.remedy"))
        return Message("diagnostics.rollup_check.matches")

    return check
