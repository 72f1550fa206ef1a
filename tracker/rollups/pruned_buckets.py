"""Which quarters of an hour have pruned calls: a row of one of them may be in its sums already."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.rollups.rollup_state import read_access
from tracker.rollups.rollup_tables import QUARTER_S, USAGE, qualified

REASON = (
    "calls of this quarter of an hour were pruned, and this call may be in their sums already, so it is not added;"
    " if it was never in the table, import it with --add-to-pruned"
)


class PrunedQuarters:
    """The quarters of an hour, as they are now, that calls were pruned from."""

    def __init__(self, starts_s: frozenset[int]) -> None:
        self._starts_s = starts_s

    @classmethod
    def read(cls, connection: Connection, table: Table) -> PrunedQuarters:
        """Empty where this role may not read the rollups. Raises `DatabaseError`."""
        if not read_access(connection, table).reads:
            return cls(frozenset())
        _, rows = execute(
            connection,
            "SELECT DISTINCT extract(epoch FROM bucket)::bigint"  # noqa: S608  our own name
            f" FROM {qualified(table, USAGE.table)} WHERE minutes = 15 AND generation > 0",
        )
        return cls(frozenset(start_s for (start_s,) in rows))

    def __contains__(self, moment: datetime) -> bool:
        return bool(self._starts_s) and int(moment.timestamp() // QUARTER_S * QUARTER_S) in self._starts_s

    def places(self, moments: Sequence[datetime]) -> list[int]:
        """The indexes of the moments that lie in one of them."""
        return [place for place, moment in enumerate(moments) if moment in self] if self._starts_s else []
