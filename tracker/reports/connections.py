"""Do we run out of connections, and who holds them?"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from tracker.reports.engine import Reader
from tracker.reports.frames import frame

STATES = (
    "active",
    "idle",
    "idle in transaction",
    "idle in transaction (aborted)",
    "fastpath function call",
    "disabled",
)


@dataclass(frozen=True, slots=True)
class Slots:
    """The whole instance's connections, and the nearest limit of ours. `used` includes the one that asks."""

    used: int
    reserved: int
    max: int
    role_limit: int | None
    database_limit: int | None
    database_name: str
    role_name: str
    sees_all: bool

    @property
    def free(self) -> int:
        """Connections an ordinary role can still open."""
        return max(0, self.max - self.reserved - self.used)

    @property
    def used_share(self) -> float:
        """Used of what ordinary roles may use, 0 to 1."""
        return min(1.0, self.used / max(1, self.max - self.reserved))

    @property
    def grant(self) -> str | None:
        """The statement that ends a limited view; None when everything is seen."""
        if self.sees_all:
            return None
        quoted = self.role_name.replace('"', '""')
        return f'GRANT pg_read_all_stats TO "{quoted}";'


def sessions(reader: Reader) -> pd.DataFrame:
    """Open connections grouped by application_name, user_name, database_name, state."""
    return frame(reader, "sessions", {})


def slots(reader: Reader, held: pd.DataFrame) -> Slots:
    """The limits, beside what `sessions` found."""
    found = reader.rows("slots")[0]
    return Slots(
        used=int(held["connections"].sum()),
        reserved=found["reserved_connections"],
        max=found["max_connections"],
        role_limit=found["role_limit"],
        database_limit=found["database_limit"],
        database_name=found["database_name"],
        role_name=found["role_name"],
        sees_all=found["sees_all"],
    )


def by_state(held: pd.DataFrame) -> pd.DataFrame:
    """Connections of each state; the one that asks, always active, is left out."""
    return _sum(held[~held["is_asking"].astype(bool)], ["state"])


def by_application(held: pd.DataFrame) -> pd.DataFrame:
    """Connections of each application and state."""
    return _sum(held, ["application_name", "state"])


def _sum(held: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    return held.groupby(columns)["connections"].sum().reset_index()
