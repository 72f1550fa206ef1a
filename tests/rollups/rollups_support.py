"""A store: a database with calls, its rollups, and a Reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
from psycopg2.extras import execute_values
from support import rows

from tracker import settings
from tracker.database.locate import Database
from tracker.database.schema import read_table
from tracker.database.url import clean
from tracker.reports import Filters, Reader, usage_totals
from tracker.rollups import refresh, rollup_tables
from tracker.rollups.rollup_state import RollupState, read_state
from tracker.rollups.verify import verify

CALL: dict[str, Any] = {"model": "gpt", "input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
RANGE = Filters(start=NOON - timedelta(days=3), end=NOON + timedelta(days=3), timezone="Asia/Kolkata")
LIVE_15M = "minutes = 15 AND generation = 0"


class Store:
    """Calls, rollups and a Reader without background refresh."""

    def __init__(self, url: str, connection: psycopg2.extensions.connection) -> None:
        self.url = url
        self.connection = connection
        self.table = read_table(connection, clean(url).schema)
        self.reader = Reader(Database(clean(url), embedded=False, settings=settings.load({})))
        self.reader._refresher.stop()

    def add(self, calls: Iterable[Mapping[str, Any]]) -> None:
        """Insert calls, all with the same columns; `CALL` has the defaults."""
        rows_to_insert = [{**CALL, **call} for call in calls]
        if rows_to_insert:
            names = list(rows_to_insert[0])
            with self.connection.cursor() as cursor:
                execute_values(
                    cursor,
                    f"INSERT INTO token_usage ({', '.join(names)}) VALUES %s",
                    [[call[name] for name in names] for call in rows_to_insert],
                )

    def call(self, **columns: Any) -> None:
        self.add([columns])

    def catch_up(self) -> int:
        return refresh.catch_up(self.connection, self.table)

    def refresh(self) -> refresh.RefreshStep | None:
        return refresh.refresh(self.connection, self.table)

    def state(self) -> RollupState:
        return read_state(self.connection, self.table)

    def differences(self) -> list[str]:
        return [str(difference) for difference in verify(self.connection, self.table)]

    def empty(self) -> None:
        """Reset to a newly migrated database. DELETE is much faster than TRUNCATE for this number of tables."""
        with self.connection.cursor() as cursor:
            names = [name for name in rollup_tables.ALL if name != rollup_tables.STATE]
            cursor.execute(
                "; ".join(f"DELETE FROM {name}" for name in ("token_usage", *names))
                + f"; UPDATE {rollup_tables.STATE} SET covered_from = 'infinity',"
                " seen_until = '-infinity', refreshed_at = NULL, generation = 0, pruned_until = NULL"
            )

    def count(self, table: str, condition: str = "true") -> int:
        return int(rows(self.url, f"SELECT count(*) FROM {table} WHERE {condition}")[0][0])


def calls(store: Store) -> int:
    return usage_totals.totals(store.reader, RANGE).calls


def catch_up(store: Store) -> None:
    """Bring the rollups up to date, and wait until the new rows are behind the visibility horizon."""
    store.catch_up()
    assert not store.state().dirty_buckets
