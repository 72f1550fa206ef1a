"""The freshness notes of a page: pruned records, and rollups that the role can't refresh."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg2
from dashboard_support import Execute, OpenPage, texts
from support import connect, run

from tracker.database.schema import read_table
from tracker.rollups import prune, refresh


def test_the_overview_shows_where_pruned_records_end(
    open_page: OpenPage, database_url: str, call: Execute, connection: psycopg2.extensions.connection
) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for days in (1, 20):
        call(created_at=today - timedelta(days=days))
    worker = connect(database_url)
    table = read_table(worker)
    refresh.catch_up(worker, table)
    assert prune.prune(worker, table, int((today - timedelta(days=10)).timestamp())) == 1
    worker.close()
    app = open_page(database_url, range="30d")
    assert {metric.label: metric.value for metric in app.metric}["Calls"] == "2"
    assert "were pruned" in texts(app)


def test_a_role_that_may_not_refresh_gets_the_grant(
    open_page: OpenPage, database_url: str, limited_url: str, call: Execute
) -> None:
    call(created_at=datetime.now(UTC))
    run(database_url, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC")
    app = open_page(limited_url)
    assert "GRANT SELECT, INSERT, UPDATE, DELETE" in texts(app)
