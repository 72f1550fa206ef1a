"""The schema of token_usage: the URL's, one of the URL's or the role's search_path, or public."""

from __future__ import annotations

from contextlib import closing

import pytest
from support import ROOT, a_call, connect, rows, run, value, with_parameters, with_role

from tracker import Tracker
from tracker.cli import main
from tracker.database.migrate import AmbiguousTableError, migrate
from tracker.database.schema import read_table
from tracker.database.url import clean
from tracker.diagnostics.report import build_report

CASE = (ROOT / "tests" / "cases" / "databases" / "search_path.sql").read_text()
AI = "SELECT count(*) FROM ai.token_usage"


def migrated(url):
    return migrate(lambda: connect(url), clean(url).schema)


def schema_of(url):
    with closing(connect(url)) as connection:
        return read_table(connection, clean(url).schema).schema


@pytest.fixture
def shop(empty_database_url, new_role):
    """The database of the case, as its owner sees it; and how to run a statement as a superuser."""
    role, name = new_role(), clean(empty_database_url).dbname
    statements = "".join(line for line in CASE.splitlines(True) if not line.startswith("--"))
    for word, instead in (
        ("AUTHORIZATION app", f"AUTHORIZATION {role}"),
        ("TO app", f"TO {role}"),
        ("SET ROLE app", f"SET ROLE {role}"),
        ("ROLE app IN DATABASE shop", f"ROLE {role} IN DATABASE {name}"),
    ):
        assert word in statements
        statements = statements.replace(word, instead)
    run(empty_database_url, statements)
    yield with_role(empty_database_url, role)
    run(empty_database_url, f"DROP OWNED BY {role} CASCADE")


def test_the_roles_search_path_leads_to_its_table(shop):
    assert migrated(shop).applied
    assert rows(shop, "SELECT to_regclass('public.token_usage')") == [(None,)]
    with Tracker(database_url=shop, mode="direct") as recorder:
        assert recorder.record(a_call()).status == "recorded"
    assert value(shop, AI) == 51
    report = build_report({"DATABASE_URL": shop})
    assert report.healthy
    assert report.database["target"]["schema"] == "ai"
    assert report.usage["total"] == 51


@pytest.mark.parametrize("name", ["search_path", "options"])
def test_the_urls_search_path_leads_to_its_table(shop, empty_database_url, name):
    run(empty_database_url, f"ALTER ROLE {clean(shop).user} IN DATABASE {clean(shop).dbname} RESET search_path")
    url = with_parameters(shop, "search_path=ai" if name == "search_path" else "options=-csearch_path%3Dai")
    migrated(url)
    with Tracker(database_url=url, mode="direct") as recorder:
        assert recorder.record(a_call()).status == "recorded"
    assert value(shop, AI) == 51
    assert schema_of(shop) == "public"  # without the parameter nothing leads there


def test_a_search_path_set_in_the_session_has_no_effect(shop):
    with closing(connect(shop)) as connection, connection.cursor() as cursor:
        cursor.execute("SET search_path = nowhere")
        assert read_table(connection, None).schema == "ai"


def test_a_migrated_public_table_is_still_used(shop):
    run(shop, "ALTER TABLE ai.token_usage RENAME TO waiting")
    migrated(with_parameters(shop, "schema=public"))
    run(shop, "ALTER TABLE ai.waiting RENAME TO token_usage")
    assert schema_of(shop) == "public"
    remarks = migrated(shop).remarks
    assert any("another one in ai" in remark for remark in remarks)
    with Tracker(database_url=shop, mode="direct") as recorder:
        assert recorder.record(a_call()).status == "recorded"
    assert value(shop, "SELECT count(*) FROM public.token_usage") == 1
    assert "two_tables" in [found.code for found in build_report({"DATABASE_URL": shop}).recommendations]


def test_migrate_reports_two_tables_and_the_recorder_keeps_its_table(shop, monkeypatch, capsys):
    run(shop, "CREATE TABLE public.token_usage (LIKE ai.token_usage INCLUDING ALL)")
    with pytest.raises(AmbiguousTableError, match=r'"public".token_usage and "ai".token_usage'):
        migrated(shop)
    monkeypatch.setenv("DATABASE_URL", shop)
    assert main(["migrate"]) == 2
    said = capsys.readouterr().err
    assert "schema=public" in said
    assert "schema=ai" in said
    assert rows(
        shop, "SELECT to_regclass('public.token_tracker_migrations'), to_regclass('ai.token_tracker_migrations')"
    ) == [(None, None)]
    assert schema_of(shop) == "public"
    for name in ("ai", "public"):
        url = with_parameters(shop, f"schema={name}")
        assert migrated(url).applied
        assert schema_of(url) == name


@pytest.mark.parametrize("path", ['"$user", public', "nowhere, public", "public", '"A b", ai'])
def test_a_search_path_is_read_as_postgresql_reads_it(shop, empty_database_url, path):
    run(empty_database_url, f"ALTER ROLE {clean(shop).user} IN DATABASE {clean(shop).dbname} SET search_path = {path}")
    assert schema_of(shop) == ("ai" if "ai" in path else "public")


def test_the_users_own_schema_and_the_databases_setting_count_too(shop, empty_database_url):
    role, name = clean(shop).user, clean(shop).dbname
    run(empty_database_url, f"ALTER ROLE {role} IN DATABASE {name} RESET search_path",
        f"ALTER DATABASE {name} SET search_path = \"$user\", public", f"ALTER SCHEMA ai RENAME TO {role}")  # fmt: skip
    assert schema_of(shop) == role


def test_where_no_table_is_yet_it_is_made_in_public_or_in_the_urls_schema(shop):
    run(shop, "DROP TABLE ai.token_usage")
    assert schema_of(shop) == "public"
    assert schema_of(with_parameters(shop, "search_path=ai,public")) == "ai"
