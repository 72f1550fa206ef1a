"""Row-level security on the ledger, as Supabase has it: a role without a policy there loses notes, never records."""

from __future__ import annotations

import pytest
from support import a_call, run, value, with_role


@pytest.fixture
def app_url(database_url, new_role):
    """A role with rights on every table of recording, which row-level security closes but for token_usage."""
    role = new_role()
    ours = "token_tracker_ledger, token_tracker_alerts"
    run(
        database_url,
        *(
            f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"
            for name in ("token_usage", "token_tracker_ledger", "token_tracker_alerts")
        ),
        f"GRANT SELECT, INSERT ON token_usage TO {role}",
        f"GRANT INSERT ON {ours} TO {role}",
        f"CREATE POLICY app ON token_usage TO {role} USING (true) WITH CHECK (true)",
    )
    return with_role(database_url, role)


@pytest.mark.parametrize("mode", ["direct", "background"])
def test_a_ledger_without_write_permission_blocks_no_record(new_tracker, app_url, database_url, mode):
    recorder = new_tracker(database_url=app_url, mode=mode)
    twice = a_call()
    for usage in (twice, twice, *(a_call() for _ in range(5))):
        assert recorder.record(usage).status != "failed"
    assert recorder.flush(10) == 0
    assert value(database_url, "SELECT count(*) FROM token_usage") == 6


@pytest.mark.parametrize("mode", ["direct", "background"])
def test_a_policy_that_refuses_a_note_blocks_no_record(new_tracker, app_url, database_url, mode):
    run(database_url, "CREATE POLICY none ON token_tracker_ledger WITH CHECK (false)",
        "CREATE POLICY none ON token_tracker_alerts WITH CHECK (false)")  # fmt: skip
    recorder = new_tracker(database_url=app_url, mode=mode)
    twice = a_call()
    for usage in (twice, twice, a_call(), a_call()):
        assert recorder.record(usage).status != "failed"
    assert recorder.flush(10) == 0
    assert value(database_url, "SELECT count(*) FROM token_usage") == 3


def test_the_ledger_is_written_with_a_policy(new_tracker, app_url, database_url):
    run(database_url, "CREATE POLICY app ON token_tracker_ledger WITH CHECK (true)",
        "CREATE POLICY app ON token_tracker_alerts WITH CHECK (true)")  # fmt: skip
    recorder = new_tracker(database_url=app_url)
    twice = a_call()
    assert [recorder.record(usage).status for usage in (twice, twice)] == ["recorded", "duplicate"]
    assert value(database_url, "SELECT count(*) FROM token_tracker_ledger WHERE kind = 'duplicate'") == 1
