"""`token-tracker outbox list|drain`: every record that waits is listed and delivered."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path

import pytest
from support import a_call, count, rows, run

from tracker import Tracker
from tracker.cli import main
from tracker.recording.outbox.paths import outbox_directory
from tracker.recording.outbox.store import Outbox, QueuedRecord

# --- list ---------------------------------------------------------------------------------------------------------


def test_list_prints_the_directory_without_records(capsys):
    assert main(["outbox", "list"]) == 0
    assert capsys.readouterr().out.startswith("No records wait in ")


def test_list_prints_every_outbox_with_records(left_behind, capsys, proxy, monkeypatch):
    own = left_behind()
    homeless = Tracker(mode="background", log_records=False, database_url="nonsense")
    homeless.record(a_call())
    homeless.close()
    other = own.with_name("outbox-0123456789abcdef.db")
    with closing(Outbox(other)) as outbox:
        outbox.append(QueuedRecord("1", "one", 1, "{}"), queued_at=time.time() - 3 * 86_400)
        outbox.append(QueuedRecord("2", "one", 2, "{}"))
        outbox.add_dead_letter(
            QueuedRecord("2", "one", 2, "{}"), "The table refused the record (known): SQLSTATE 23514."
        )
    with closing(Outbox(own.with_name("empty.db"))) as outbox:
        outbox.append(QueuedRecord("1", "one", 1, "{}"))
        outbox.remove(outbox.next_records(1))
    assert main(["outbox", "list"]) == 0
    printed = capsys.readouterr().out
    assert f"{own} (of this DATABASE_URL)\n  3 waiting, the oldest for" in printed
    assert f"{own.with_name('unassigned.db')} (queued while no database was configured)\n  1 waiting" in printed
    assert f"{other}\n  1 waiting, the oldest for 3 days; 1 dead letters\n" in printed
    assert "  dead letter: 2: The table refused the record (known): SQLSTATE 23514." in printed
    assert "empty.db" not in printed


def test_list_takes_nothing_away(left_behind, database_url):
    path = left_behind()
    before = Outbox(path).depth()
    assert main(["outbox", "list"]) == 0
    assert Outbox(path).depth() == before
    assert count(database_url) == 0


def test_list_reports_an_unreadable_file_and_continues(left_behind, capsys):
    path = left_behind()
    path.with_name("another.db").symlink_to(path.parent / "nowhere" / "x.db")
    path.with_name("broken.db").write_bytes(os.urandom(9000))
    assert main(["outbox", "list"]) == 0
    assert "3 waiting" in capsys.readouterr().out


def test_the_default_directory_belongs_to_the_user(monkeypatch):
    from tracker import settings

    assert str(outbox_directory(settings.load({}).runtime)).startswith(os.environ["XDG_STATE_HOME"])
    serverless = outbox_directory(settings.load({"TRACKER_PLATFORM": "aws_lambda"}).runtime)
    assert serverless == Path(os.environ["TMPDIR"]) / f"token-tracker-{os.getuid()}"


# --- drain --------------------------------------------------------------------------------------------------------


def test_drain_delivers_the_waiting_records_with_the_same_ids(left_behind, capsys, database_url):
    usages = [a_call() for _ in range(3)]
    path = left_behind(*usages)
    assert main(["outbox", "drain"]) == 0
    assert capsys.readouterr().out == "Records delivered: 3, waiting: 0, dead letters: 0.\n"
    stored = rows(database_url, "SELECT id, delivery FROM token_usage ORDER BY sequence")
    assert stored == [(str(usage.id), "outbox") for usage in usages]
    assert Outbox(path).depth().waiting == 0
    assert main(["outbox", "drain"]) == 0
    assert capsys.readouterr().out == "Records delivered: 0, waiting: 0, dead letters: 0.\n"


def test_drain_delivers_records_that_were_queued_without_a_database_url(capsys, proxy, database_url, monkeypatch):
    with Tracker(mode="background", log_records=False) as homeless:
        homeless.record(a_call())
    monkeypatch.setenv("DATABASE_URL", proxy.url)
    assert main(["outbox", "drain"]) == 0
    assert count(database_url) == 1


def test_drain_without_a_database_is_exit_2_and_keeps_everything(left_behind, capsys, monkeypatch):
    path = left_behind()
    monkeypatch.delenv("DATABASE_URL")
    assert main(["outbox", "drain"]) == 2
    assert "DATABASE_URL" in capsys.readouterr().err
    assert Outbox(path).depth().waiting == 3


def test_drain_from_another_file(left_behind, database_url, capsys, tmp_path, monkeypatch):
    path = left_behind(outbox=tmp_path / "elsewhere.db")
    assert main(["outbox", "drain"]) == 0
    assert count(database_url) == 0
    assert main(["outbox", "drain", "--from", str(path)]) == 0
    assert count(database_url) == 3


@pytest.mark.parametrize(
    "arguments",
    [["--from", "/nowhere/outbox.db"], ["--timeout", "0"], ["--timeout", "nan"], ["--timeout", "soon"], ["--now"]],
)
def test_a_drain_that_cannot_be_understood_is_exit_2(arguments, left_behind, capsys):
    left_behind()
    try:
        status = main(["outbox", "drain", *arguments])
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert "Traceback" not in capsys.readouterr().err


def test_drain_after_its_timeout_exits_1_with_the_reason(left_behind, capsys, proxy):
    path = left_behind()
    proxy.swallow = True
    started = time.monotonic()
    assert main(["outbox", "drain", "--timeout", "1"]) == 1
    assert time.monotonic() - started < 3
    printed = capsys.readouterr()
    assert printed.out == "Records delivered: 0, waiting: 3, dead letters: 0.\n"
    assert "didn't answer" in printed.err
    assert Outbox(path).depth().waiting == 3


def test_drain_while_another_process_drains_waits_for_it(left_behind, capsys):
    path = left_behind()
    with Outbox(path).hold_drain_lock():
        assert main(["outbox", "drain", "--timeout", "0.5"]) == 1
    assert "waiting: 3" in capsys.readouterr().out
    assert main(["outbox", "drain"]) == 0


def test_dead_letters_are_retried_with_the_option_and_its_earlier_name(left_behind, capsys, database_url):
    run(database_url, "ALTER TABLE token_usage ADD CONSTRAINT known CHECK (model LIKE 'gemini%')")
    left_behind(a_call(), a_call(model="gpt"), a_call())
    assert main(["outbox", "drain"]) == 1
    assert capsys.readouterr().out == "Records delivered: 2, waiting: 0, dead letters: 1.\n"
    assert rows(database_url, "SELECT kind FROM token_tracker_ledger WHERE kind = 'set_aside'") == [("set_aside",)]
    assert main(["outbox", "drain", "--dead-letters"]) == 1
    run(database_url, "ALTER TABLE token_usage DROP CONSTRAINT known")
    assert main(["outbox", "drain", "--set-aside"]) == 0
    assert rows(database_url, "SELECT sequence FROM token_usage ORDER BY 1") == [(1,), (2,), (3,)]


def test_drain_of_a_damaged_file_is_no_traceback(left_behind, capsys):
    path = left_behind()
    path.write_bytes(os.urandom(9000))
    assert main(["outbox", "drain"]) in {0, 1}
    assert list(path.parent.glob("*damaged*"))
