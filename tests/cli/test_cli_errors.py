"""The commands: what they say when it doesn't work, and with which exit status."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

import pytest
from cli_support import RECORD, one_line, token_tracker
from support import ROOT, child_environment, locked, python, run, value, with_database, with_role

from tracker.cli import main

# --- what they say when it doesn't work ---------------------------------------------------------------------------

COMMANDS = {
    "migrate": ["migrate"],
    "record": RECORD,
    "import": ["import", "CALLS"],
    "budget": ["budget", "list"],
    "reconcile": ["reconcile", "CALLS", "--map=day=created_at", "--map=input_tokens=input_tokens"],
    "rollup": ["rollup"],
    "prune": ["prune", "--older-than", "90d"],
    "sample-data": ["sample-data", "--days", "1"],
}


@pytest.fixture(params=COMMANDS)
def command(request, calls) -> list[str]:
    """Each command."""
    return [calls if word == "CALLS" else word for word in COMMANDS[request.param]]


@pytest.fixture
def fails(at, capsys):
    """Runs a command that must fail and returns its one line."""

    def fails(command: list[str], url: str, status: int) -> str:
        at(url)
        started = time.monotonic()
        assert main(command) == status
        assert time.monotonic() - started < 10, "a mistake in a URL must be reported at once"
        return one_line(capsys.readouterr().err)

    return fails


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://u:hunter2@h/d", "postgresql://u:hunter2@h:port/d", "postgresql://u:hunter2/d"]
)
def test_a_malformed_url_is_exit_2(command, fails, url):
    assert "DATABASE_URL" in fails(command, url, 2)


def test_a_host_that_nothing_answers_at_is_exit_1(command, fails):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert f"Nothing answers at 127.0.0.1:{port}" in fails(command, f"postgresql://u:hunter2@127.0.0.1:{port}/d", 1)


def test_a_host_that_does_not_exist_is_exit_1(command, fails):
    assert "no server named nowhere.invalid" in fails(command, "postgresql://u:hunter2@nowhere.invalid/d", 1)


def test_a_wrong_password_is_exit_1(command, fails, password_url, clerk):
    output = fails(command, with_role(password_url, clerk.name, "hunter2-wrong"), 1)
    assert "refused the password" in output
    assert clerk.password not in output


def test_a_missing_database_is_exit_1(command, fails, server_url):
    assert "CREATE DATABASE" in fails(command, with_database(server_url, f"no_such_{os.getpid()}_{command[0]}"), 1)


def test_a_missing_role_is_exit_1(command, fails, database_url):
    assert "user no_such_role" in fails(command, with_role(database_url, "no_such_role", "hunter2"), 1)


@pytest.mark.parametrize(
    "command", ["record", "import", "budget", "reconcile", "rollup", "prune", "sample-data"], indirect=True
)
def test_a_missing_table_is_exit_1_and_names_migrate(command, fails, empty_database_url):
    assert "token-tracker migrate" in fails(command, empty_database_url, 1)


def test_a_missing_right_is_exit_1_and_names_the_grant(command, fails, database_url, new_role):
    output = fails(command, with_role(database_url, new_role()), 1)
    assert "GRANT" in output or command[0] == "migrate"


@pytest.mark.direct
def test_a_full_server_is_exit_1(command, fails, limited_url, database_url):
    from contextlib import closing

    import psycopg2

    from tracker.database.url import clean

    with closing(psycopg2.connect(limited_url)):
        run(database_url, f"ALTER DATABASE {clean(database_url).dbname} CONNECTION LIMIT 1")
        assert "no connection left" in fails(command, limited_url, 1)


def test_a_url_that_is_no_utf_8_is_exit_2(command, fails):
    assert "UTF-8" in fails(command, "postgresql://caf\udce9:hunter2@host/db", 2)


def test_a_missing_url_on_a_deployed_runtime_is_exit_2(command, capsys, monkeypatch):
    monkeypatch.setenv("TRACKER_PLATFORM", "vercel")
    assert main(command) == 2
    output = one_line(capsys.readouterr().err)
    assert "DATABASE_URL is not set" in output
    assert "[dashboard]" in output


def test_a_missing_url_where_no_embedded_server_is_installed_is_exit_2(command, capsys, monkeypatch):
    monkeypatch.setattr("tracker.database.embedded._WHEEL", "no_such_wheel")
    assert main(command) == 2
    assert "[dashboard]" in one_line(capsys.readouterr().err)


def test_a_malformed_setting_is_exit_2(command, at, database_url, capsys, monkeypatch):
    at(database_url)
    monkeypatch.setenv("TRACKER_POOL_SIZE", "many")
    assert main(command) == 2
    assert "TRACKER_POOL_SIZE is 'many'" in one_line(capsys.readouterr().err)


def test_a_record_that_could_not_be_stored_prints_its_outcome_too(at, empty_database_url, capsys):
    at(empty_database_url)
    assert main(RECORD) == 1
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["status"] == "queued"
    assert "token-tracker migrate" in outcome["error"]


def test_a_locked_table_ends_a_record_at_its_deadline(at, database_url, capsys):
    at(database_url)
    with locked(database_url):
        assert main(RECORD) == 1
    assert "deadline" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["record"],
        ["record", "--model", "m", "--input-tokens", "many", "--output-tokens", "1"],
        [*RECORD, "a\nb"],
        ["frob\nnicate"],
        ["import"],
        ["migrate", "--no-such-option"],
        ["sample-data", "--days", "x"],
        ["prune"],
        ["rollup", "--since"],
    ],
)
def test_a_call_that_cannot_be_understood_is_exit_2_and_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    "option", [["--input-tokens", "-1"], ["--input-tokens", "99999999999"], ["--model", ""], ["--user-id", " "]]
)
def test_a_record_that_cannot_be_right_is_exit_2(at, database_url, capsys, option):
    at(database_url)
    assert main([*RECORD, *option]) == 2
    one_line(capsys.readouterr().err)
    assert value(database_url, "SELECT count(*) FROM token_usage") == 0


def test_an_unknown_zone_exits_2(at, database_url, capsys):
    at(database_url)
    assert main(["migrate", "--timezone", "Asia/Soul"]) == 2
    assert "Asia/Soul" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("zone", ["localtime", "posixrules", "right/UTC"])
def test_a_zone_that_only_this_machine_knows_is_exit_2(at, database_url, capsys, zone):
    at(database_url)
    assert main(["migrate", "--timezone", zone]) == 2
    assert zone in one_line(capsys.readouterr().err)


def test_without_data_about_zones_utc_works_in_every_command(empty_database_url):
    run(
        empty_database_url,
        "CREATE TABLE token_usage (id uuid PRIMARY KEY, model text, input_tokens integer, output_tokens integer,"
        " total_tokens integer, created_at timestamp)",
    )
    start = "import sys; sys.modules['tzdata'] = None; from tracker.cli import main; sys.exit(main(sys.argv[1:]))"
    for command in (["migrate", "--timezone", "UTC"], RECORD, ["sample-data", "--days", "1", "--force"]):
        done = python("-c", start, *command, env={"PYTHONTZPATH": "", "DATABASE_URL": empty_database_url})
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)])
def test_every_command_explains_itself(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--help"])
    assert caught.value.code == 0
    assert "usage: token-tracker" in capsys.readouterr().out


def test_a_failing_process_prints_one_line_and_no_traceback():
    done = token_tracker("migrate", env={"DATABASE_URL": "postgresql://u:hunter2@h:port/d"})
    assert (done.returncode, done.stdout) == (2, "")
    one_line(done.stderr)


def test_arguments_that_are_no_utf_8_are_no_traceback(database_url):
    done = subprocess.run(
        [sys.executable, "-m", "tracker", *RECORD, "--user-id", b"caf\xe9"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=child_environment({"DATABASE_URL": database_url}),
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 0
