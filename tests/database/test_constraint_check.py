"""Constraints of an adopted table that refuse Token Tracker's values are reported; others are no problem."""

from __future__ import annotations

import pytest
from support import ROOT, a_call, connect, run, value, with_role

from tracker import Tracker
from tracker.database.migrate import migrate
from tracker.diagnostics.report import build_report

CASE = (ROOT / "tests" / "cases" / "databases" / "adopt_fk_null.sql").read_text()


@pytest.fixture
def adopted(empty_database_url):
    """The case's table, migrated: its URL and what migrate remarked."""
    run(empty_database_url, CASE)
    return empty_database_url, migrate(lambda: connect(empty_database_url)).remarks


def doctor(url):
    return build_report({"DATABASE_URL": url})


def test_migrate_names_the_foreign_key_the_lengths_and_the_rows_without_a_time(adopted):
    _, remarks = adopted
    said = " ".join(remarks)
    assert "user_id must be in users (token_usage_user_id_fkey)" in said
    assert "'anonymous'" in said
    assert "user_id (36), model (50), operation (20)" in said
    assert "5 rows have no created_at" in said


def test_doctor_reports_the_same_and_that_recording_works(adopted):
    url, _ = adopted
    report = doctor(url)
    assert report.healthy
    found = {one.code: one for one in report.recommendations}
    assert all(one.severity != "error" for one in report.recommendations)
    assert "token_usage_user_id_fkey" in found["defaults_refused"].evidence
    assert found["undated_rows"].evidence == "5 rows have NULL in created_at."
    with Tracker(database_url=url, mode="direct") as recorder:
        assert recorder.record(a_call(user_id="u1")).status == "recorded"
        assert recorder.record(a_call()).status == "failed"


def test_the_default_user_in_the_other_table_makes_no_remark(adopted):
    url, _ = adopted
    run(url, "INSERT INTO users VALUES ('anonymous')")
    found = {one.code: one.evidence for one in doctor(url).recommendations}
    assert "fkey" not in found["defaults_refused"]


def test_an_empty_table_whose_defaults_are_refused_is_broken(adopted):
    url, _ = adopted
    run(url, "TRUNCATE token_usage")
    report = doctor(url)
    assert not report.healthy
    assert report.recommendations[0].code == "constraint_violated"


@pytest.mark.parametrize(
    ("constraint", "named"),
    [
        ("CHECK (operation IN ('summary', 'tag'))", True),
        ("CHECK (user_id <> 'anonymous' OR is_test)", True),
        ("CHECK (delivery IS NULL OR delivery = 'direct')", True),
        ("CHECK (input_tokens + output_tokens > 0)", True),
        ("CHECK (cost < 1000)", False),
        ("CHECK (total_tokens >= input_tokens)", False),
        ("CHECK (length(user_id) < 100)", False),
    ],
)
def test_a_check_is_named_where_it_refuses_our_own_values(database_url, constraint, named):
    run(database_url, f"ALTER TABLE token_usage ADD CONSTRAINT theirs {constraint} NOT VALID")
    remarks = migrate(lambda: connect(database_url)).remarks
    assert any("constraint theirs" in remark for remark in remarks) is named


def test_our_own_table_has_nothing_to_remark(database_url):
    assert migrate(lambda: connect(database_url)).remarks == []


@pytest.mark.parametrize(
    ("column", "kind", "fields"),
    [
        ("operation", "varchar(20)", {"operation": "x" * 21}),
        ("model", "varchar(30)", {"model": "m" * 31}),
        ("cost", "numeric(4,2)", {"cost": "100"}),
        ("processing_time", "smallint", {"processing_time": 40_000}),
    ],
)
@pytest.mark.parametrize("mode", ["direct", "background"])
def test_a_refused_value_names_its_column(database_url, column, kind, fields, mode, caplog):
    run(database_url, f"ALTER TABLE token_usage ALTER COLUMN {column} TYPE {kind}")
    with Tracker(database_url=database_url, mode=mode) as recorder:
        recorder.record(a_call())
        recorder.record(a_call(**fields))
        recorder.flush(10)
    assert value(database_url, "SELECT count(*) FROM token_usage") == 1
    assert f"({column})" in caplog.text


def test_a_failing_query_does_not_stop_migrate(empty_database_url, new_role):
    """The owner of token_usage may not read what a foreign key of it leads to."""
    role = new_role()
    run(
        empty_database_url,
        CASE,
        f"GRANT CREATE ON SCHEMA public TO {role}",
        f"ALTER TABLE token_usage OWNER TO {role}",
    )
    remarks = migrate(lambda: connect(with_role(empty_database_url, role))).remarks
    assert any("may not be there" in remark for remark in remarks)
