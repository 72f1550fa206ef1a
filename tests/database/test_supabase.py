"""Row-level security and the rights of Supabase's public roles after a migration."""

from __future__ import annotations

import pytest
from migrate_support import OLD_TABLE, OURS, migrate
from support import rows, run, value

from tracker.database.url import clean


@pytest.fixture
def supabase(new_role) -> None:
    """The roles whose names mean: this is Supabase."""
    new_role("NOLOGIN", "anon")
    new_role("NOLOGIN", "authenticated")


def ours(url: str) -> list[tuple]:
    return rows(
        url,
        "SELECT relname, relrowsecurity FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        " AND relname LIKE 'token%%' ORDER BY 1",
    )


@pytest.fixture
def supabase_url(supabase, empty_database_url) -> str:
    """A database as Supabase makes them: what is created in public is granted to everybody with the public key."""
    run(empty_database_url, "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated")
    return empty_database_url


def test_on_supabase_every_table_of_ours_has_row_level_security_and_no_public_rights(supabase_url):
    migrate(supabase_url)
    assert dict(ours(supabase_url)) == {**dict.fromkeys(OURS, True), "token_usage": True}
    for role in ("anon", "authenticated"):
        for table, _ in ours(supabase_url):
            right = "SELECT has_table_privilege(%s, %s, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')"
            assert value(supabase_url, right, (role, table)) is False


def test_on_supabase_an_adopted_table_without_row_level_security_is_only_a_warning(supabase_url):
    run(supabase_url, OLD_TABLE)
    remarks = migrate(supabase_url).remarks
    assert any("ENABLE ROW LEVEL SECURITY" in remark and "REVOKE" in remark for remark in remarks)
    assert dict(ours(supabase_url)) == {**dict.fromkeys(OURS, True), "token_usage": False}
    assert value(supabase_url, "SELECT has_table_privilege('anon', 'token_usage', 'SELECT')") is True


def test_elsewhere_row_level_security_is_not_touched(empty_database_url):
    assert migrate(empty_database_url).remarks == []
    assert dict(ours(empty_database_url)) == {**dict.fromkeys(OURS, False), "token_usage": False}


def test_a_role_without_a_policy_gets_the_grant_and_the_policy(database_url, limited_url):
    run(
        database_url,
        "ALTER TABLE token_usage ENABLE ROW LEVEL SECURITY",
        f"GRANT SELECT ON token_tracker_migrations TO {clean(limited_url).user}",
    )
    remarks = " ".join(migrate(limited_url).remarks)
    assert "GRANT SELECT, INSERT" in remarks
    assert "CREATE POLICY" in remarks
