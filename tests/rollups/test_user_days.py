"""The user day rollup has the same rights and totals as the user rollup, also after a refresh by an older version."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from rollups_support import Store
from support import connect, eventually, run, value

from tracker.cli import main
from tracker.database.migrate import migrate
from tracker.reports import Filters, usage_totals
from tracker.rollups import rollup_tables


def days_ago(days: int) -> datetime:
    return datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=days)


def test_the_rights_on_the_user_rollup_are_copied(database_url: str, new_role: Callable[[], str]) -> None:
    role = new_role()
    run(
        database_url,
        "DROP TABLE token_tracker_user_day_rollup",
        f"GRANT SELECT, INSERT, DELETE ON token_tracker_user_rollup TO {role}",
    )
    migrate(lambda: connect(database_url))
    question = "SELECT has_table_privilege(%s, 'token_tracker_user_day_rollup', %s)"
    assert [value(database_url, question, (role, right)) for right in ("SELECT", "INSERT", "DELETE", "UPDATE")] == [
        True,
        True,
        True,
        False,
    ]


def test_user_days_include_a_refresh_during_the_migration(database_url: str) -> None:
    run(database_url, "DROP TABLE token_tracker_user_day_rollup")
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with closing(connect(database_url)) as refresher, ThreadPoolExecutor(1) as pool:
        with refresher.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT FROM token_tracker_rollup_state FOR UPDATE")
            cursor.execute(
                "INSERT INTO token_tracker_user_rollup (day, is_test, first_slot, last_slot, calls, total_tokens,"
                " unpriced_calls, slots, slot_calls, slot_tokens, slot_costs, slot_unpriced)"
                " VALUES ('2026-03-10Z', false, 1, 1, 1, 1, 1, '{1}', '{1}', '{1}', '{NULL}', '{1}')"
            )
            done = pool.submit(migrate, lambda: connect(database_url))
            eventually(lambda: value(database_url, waits) > 0)
            cursor.execute("COMMIT")
        done.result()
    assert value(database_url, "SELECT count(*) FROM token_tracker_user_day_rollup") == 1


def test_user_days_that_an_older_version_missed_are_found_and_rebuilt(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An older version can have refreshed and pruned without maintaining this table."""
    monkeypatch.setenv("DATABASE_URL", store.url)
    store.add({"created_at": days_ago(100 - number), "user_id": f"u{number % 3}"} for number in range(20))
    assert main(["prune", "--older-than", "90d"]) == 0
    filters = Filters(start=days_ago(101), end=days_ago(0))
    before = usage_totals.top_users(store.reader, filters)
    assert before["calls"].sum() == 20
    run(store.url, f"DELETE FROM {rollup_tables.USER_DAYS} WHERE generation > 0")
    capsys.readouterr()
    assert main(["rollup", "--verify"]) == 1
    assert (
        len([line for line in capsys.readouterr().out.splitlines() if line.startswith(rollup_tables.USER_DAYS)]) == 10
    )
    assert main(["rollup", "--rebuild", "--verify"]) == 0
    assert usage_totals.top_users(store.reader, filters).equals(before)
