"""The 15-minute buckets with pruned calls: their totals can already include a call that is imported again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tracker.database.connect import Connection, execute
from tracker.database.schema import Table
from tracker.rollups.rollup_state import read_access
from tracker.rollups.rollup_tables import INTERVAL_15M_S, USAGE, qualified

REASON = (
    "calls of this 15-minute bucket were pruned, and their totals may include this call, so it is not added;"
    " if it was never in the table, import it with --add-to-pruned"
)


class PrunedBuckets:
    """The 15-minute buckets that have pruned calls at the time of `read`."""

    def __init__(self, starts_s: frozenset[int]) -> None:
        self._starts_s = starts_s

    @classmethod
    def read(cls, connection: Connection, table: Table) -> PrunedBuckets:
        """The buckets; none if the current role can't read the rollups. Raises `DatabaseError`."""
        if not read_access(connection, table).reads:
            return cls(frozenset())
        _, rows = execute(
            connection,
            "SELECT DISTINCT extract(epoch FROM bucket)::bigint"  # noqa: S608  our own name
            f" FROM {qualified(table, USAGE.table)} WHERE minutes = 15 AND generation > 0",
        )
        return cls(frozenset(start_s for (start_s,) in rows))

    def __contains__(self, time: datetime) -> bool:
        return bool(self._starts_s) and int(time.timestamp() // INTERVAL_15M_S * INTERVAL_15M_S) in self._starts_s

    def indices(self, times: Sequence[datetime]) -> list[int]:
        """The indices of the times that are in one of the buckets."""
        return [index for index, time in enumerate(times) if time in self] if self._starts_s else []
