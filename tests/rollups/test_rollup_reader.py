"""A reader refreshes the rollups, or reads the rows and states the remedy if its role may not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from rollups_support import NOON, Store, calls, catch_up
from support import eventually, run, with_role

from tracker.database.url import clean
from tracker.errors import SetupError
from tracker.maintenance import sample_data
from tracker.reports.engine.freshness import Refresher
from tracker.rollups.rollup_state import require_write_access

# --- the reader ---------------------------------------------------------------------------------------------------


def test_a_reader_refreshes_in_the_background(store: Store) -> None:
    store.call(created_at=NOON)
    store.reader._refresher = Refresher(store.reader.borrow)
    assert calls(store) == 1
    eventually(lambda: store.state().complete)
    eventually(lambda: store.reader.freshness().complete)


def test_a_pinned_rollup_state_is_read_once(store: Store) -> None:
    with store.reader.pin_rollup_state():
        first = store.reader.rollup_state()
        store.catch_up()
        assert store.reader.rollup_state() is first
        assert calls(store) == 0
    assert store.reader.rollup_state() != first


def test_a_role_that_may_not_write_reads_rollups_and_rows_and_gets_the_grant(
    store: Store, limited_url: str, new_store: Callable[[str], Store]
) -> None:
    store.call(created_at=NOON)
    catch_up(store)
    run(store.url, "UPDATE token_tracker_usage_rollup SET calls = 41")
    role = clean(limited_url).user
    run(store.url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    limited = new_store(limited_url)
    assert calls(limited) == 41
    store.call(created_at=NOON + timedelta(hours=1))
    assert calls(limited) == 42
    found = limited.reader.freshness()
    assert found.as_of is not None
    assert found.remedy is not None
    run(store.url, found.remedy)
    assert new_store(limited_url).reader.freshness().remedy is None


def test_a_role_without_rights_on_the_rollups_reads_the_rows(
    store: Store, limited_url: str, new_store: Callable[[str], Store]
) -> None:
    store.call(created_at=NOON)
    catch_up(store)
    limited = new_store(limited_url)
    assert calls(limited) == 1
    assert str(limited.reader.freshness().remedy).startswith("GRANT SELECT")
    with pytest.raises(SetupError) as refused:
        require_write_access(limited.connection, limited.table)
    assert "GRANT" in refused.value.remedy


def test_a_database_without_rollup_tables_is_read_from_its_rows(store: Store) -> None:
    store.call(created_at=NOON)
    from tracker.rollups import rollup_tables

    run(store.url, f"DROP TABLE {', '.join(rollup_tables.ALL)}")
    assert calls(store) == 1
    assert store.reader.freshness().remedy == "token-tracker migrate"
    assert sample_data.remove(store.connection) == 0


def test_a_role_with_row_level_security_on_the_rollups_reads_the_rows(
    store: Store, new_role: Callable[..., str], new_store: Callable[[str], Store]
) -> None:
    store.call(created_at=NOON)
    catch_up(store)
    role = new_role()
    run(store.url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    run(store.url, "ALTER TABLE token_tracker_usage_rollup ENABLE ROW LEVEL SECURITY")
    assert calls(new_store(with_role(store.url, role))) == 1


def test_a_role_with_row_level_security_reads_its_rows_and_never_refreshes(
    store: Store, new_role: Callable[..., str], new_store: Callable[[str], Store]
) -> None:
    store.add([{"created_at": NOON, "user_id": "u1"}, {"created_at": NOON, "user_id": "u2"}])
    catch_up(store)
    role = new_role()
    run(
        store.url,
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
        "ALTER TABLE token_usage ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY own ON token_usage TO {role} USING (user_id = 'u1') WITH CHECK (user_id = 'u1')",
    )
    limited = new_store(with_role(store.url, role))
    assert calls(limited) == 1
    assert "BYPASSRLS" in str(limited.reader.freshness().remedy)
    with pytest.raises(SetupError, match="no permission to write"):
        require_write_access(limited.connection, limited.table)
    limited.reader._refresher = Refresher(limited.reader.borrow)
    limited.call(created_at=NOON, user_id="u1")
    assert calls(limited) == 2
    assert limited.reader._refresher._worker.is_due()
    assert calls(store) == 3


def test_a_read_only_session_gets_the_command_for_a_refresh(
    store: Store, new_role: Callable[..., str], new_store: Callable[[str], Store]
) -> None:
    catch_up(store)
    role = new_role()
    run(
        store.url,
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
        f"ALTER ROLE {role} SET default_transaction_read_only = on",
    )
    found = new_store(with_role(store.url, role)).reader.freshness()
    assert found.complete
    assert "token-tracker rollup" in str(found.remedy)
