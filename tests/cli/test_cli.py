"""The commands: what they do, and what they print."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import pytest
from cli_support import RECORD, token_tracker
from support import ROOT, child_environment, rows, run, value, with_parameters

from tracker.cli import main
from tracker.database.migrations import FILES

# --- what they do -------------------------------------------------------------------------------------------------


def test_migrate_prints_the_applied_migrations_and_then_that_there_is_nothing_to_do(at, empty_database_url, capsys):
    at(empty_database_url)
    assert main(["migrate"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Applied 0001 create_token_usage.",
        *(f"Applied {version:04} {name}." for version, name in FILES.items()),
        "Applied 0002 index_token_usage.",
    ]
    assert main(["migrate"]) == 0
    assert "Nothing to do" in capsys.readouterr().out


def test_migrate_dry_run_prints_sql_that_psql_would_take_and_changes_nothing(at, empty_database_url, capsys):
    at(empty_database_url)
    assert main(["migrate", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert value(empty_database_url, "SELECT to_regclass('token_usage')") is None
    run(empty_database_url, printed)
    assert value(empty_database_url, "SELECT to_regclass('token_usage') IS NOT NULL")


def test_migrate_prints_the_given_zone(at, empty_database_url, capsys):
    run(
        empty_database_url,
        "CREATE TABLE token_usage (id uuid PRIMARY KEY, model text, input_tokens integer, output_tokens integer,"
        " total_tokens integer, created_at timestamp)",
    )
    at(empty_database_url)
    assert main(["migrate", "--timezone", "Asia/Seoul"]) == 0
    assert "Asia/Seoul" in capsys.readouterr().out


def test_record_prints_the_outcome_as_one_json_object_and_stores_a_row(at, database_url, capsys):
    at(database_url)
    assert main([*RECORD, "--operation", "summary_generation", "--user-id", "u_42"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert list(outcome) == ["status", "id", "retry_count", "connection_ms", "write_ms", "error"]
    assert (outcome["status"], outcome["error"]) == ("recorded", None)
    assert rows(database_url, "SELECT id, operation, user_id, total_tokens, is_test FROM token_usage") == [
        (outcome["id"], "summary_generation", "u_42", 976, False)
    ]


def test_record_test_marks_the_row(at, database_url):
    at(database_url)
    assert main([*RECORD, "--test"]) == 0
    assert rows(database_url, "SELECT is_test FROM token_usage") == [(True,)]


def test_record_works_with_every_form_of_url_that_the_library_reads(at, empty_database_url, capsys):
    run(empty_database_url, "CREATE SCHEMA tracking")
    at(f" '{with_parameters(empty_database_url, 'schema=tracking&pgbouncer=true')}' ")
    assert main(["migrate"]) == 0
    assert main(RECORD) == 0
    assert value(empty_database_url, "SELECT count(*) FROM tracking.token_usage") == 1


def test_record_works_with_a_password_full_of_special_characters(at, password_url):
    at(password_url)
    assert main(RECORD) == 0


def test_a_command_as_a_process_prints_json_alone_on_standard_output(database_url):
    done = token_tracker(*RECORD, env={"DATABASE_URL": database_url})
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["status"] == "recorded"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_output_keeps_no_command_from_its_work(database_url, closed):
    command = shlex.join([sys.executable, "-m", "tracker", *RECORD])
    environment = child_environment({"DATABASE_URL": database_url})
    done = subprocess.run(
        ["sh", "-c", f"{command} {closed}"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert value(database_url, "SELECT count(*) FROM token_usage") == 1
    assert done.stdout == "" if closed.startswith(("<", ">")) else json.loads(done.stdout)["status"] == "recorded"


def test_a_closed_pipe_prints_no_traceback(database_url):
    command = [sys.executable, "-m", "tracker", "migrate", "--dry-run"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=child_environment({"DATABASE_URL": database_url}),
    ) as process:
        process.stdout.close()
        output = process.stderr.read()
    assert "Traceback" not in output
    assert "Exception ignored" not in output


def test_imported_rows_that_a_trigger_swallows_are_rejected(at, database_url, calls, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(
        database_url,
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$",
        "CREATE TRIGGER swallow BEFORE INSERT ON token_usage FOR EACH ROW EXECUTE FUNCTION swallow()",
    )
    at(database_url)
    assert main(["import", calls]) == 1
    printed = capsys.readouterr()
    assert "0 recorded, 0 already there, 1 rejected" in printed.out
    assert "trigger" in printed.err
