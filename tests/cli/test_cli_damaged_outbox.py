"""`token-tracker outbox drain --from`: damaged outboxes are salvaged, files of other programs stay unchanged."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from support import a_call, count

from tracker import Tracker, settings
from tracker.cli import main
from tracker.database.url import clean
from tracker.diagnostics.local_outboxes import outbox_state

# --- a file that is no outbox -------------------------------------------------------------------------------------


def contents(directory: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None for path in directory.rglob("*")
    }


def foreign_database(path: Path, *, journal: str = "delete", leave_log: bool = False, tables: bool = True) -> None:
    """A database of another program; with `leave_log` as a program leaves it that was killed."""
    made = path.with_name("made.db")
    with closing(sqlite3.connect(made)) as database:
        database.execute(f"PRAGMA journal_mode = {journal}")
        database.execute("PRAGMA user_version = 7")
        if tables:
            database.execute("CREATE TABLE records (id TEXT, document TEXT)")
            database.execute("INSERT INTO records VALUES ('1', '{}')")
        database.commit()
        if leave_log:
            Path(f"{path}-wal").write_bytes(Path(f"{made}-wal").read_bytes())
        path.write_bytes(made.read_bytes())
    for part in path.parent.glob("made.db*"):
        part.unlink()


FOREIGN = {
    "empty": lambda path: path.touch(),
    "damaged-empty": lambda path: path.touch(),
    "text": lambda path: path.write_text("id,model\n1,gpt-4o\n"),
    "damaged-text": lambda path: path.write_text("id,model\n1,gpt-4o\n"),
    "locked text": lambda path: (path.write_text("notes\n" * 900), path.with_name(path.name + ".lock").touch()),
    "one byte": lambda path: path.write_bytes(b"\0"),
    "zeros": lambda path: path.write_bytes(bytes(8192)),
    "header only": lambda path: path.write_bytes(b"SQLite format 3\0"),
    "directory": lambda path: path.mkdir(),
    "fifo": lambda path: os.mkfifo(path),
    "database": lambda path: foreign_database(path),
    "database without tables": lambda path: foreign_database(path, tables=False),
    "database in wal mode": lambda path: foreign_database(path, journal="wal"),
    "database with a log": lambda path: foreign_database(path, journal="wal", leave_log=True),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_drain_leaves_a_file_that_is_no_outbox_unchanged(kind, tmp_path, capsys, proxy, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", proxy.url)
    directory = tmp_path / "theirs"
    directory.mkdir()
    path = directory / ("a.db.damaged-1" if kind.startswith("damaged") else "a # file?.db")
    FOREIGN[kind](path)
    before = contents(directory)
    assert main(["outbox", "drain", "--from", str(path)]) == 1
    assert contents(directory) == before
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert str(path) in line
    assert "left unchanged" in line


@pytest.mark.parametrize("with_id", [True, False], ids=["with our id", "of a version without an id"])
def test_drain_delivers_from_an_outbox_of_a_killed_process(with_id, left_behind, tmp_path, capsys, database_url):
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(left_behind())) as database:
        if not with_id:
            database.execute("PRAGMA application_id = 0")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("CREATE TABLE more (one)")  # so that there is a log
        for suffix in ("", "-wal"):
            Path(f"{copy}{suffix}").write_bytes(Path(f"{left_behind_path(database)}{suffix}").read_bytes())
    assert main(["outbox", "drain", "--from", str(copy)]) == 0
    assert capsys.readouterr().out.startswith("Records delivered: 3")
    assert count(database_url) == 3


def left_behind_path(database: sqlite3.Connection) -> str:
    return str(database.execute("PRAGMA database_list").fetchone()[2])


# --- a damaged outbox ---------------------------------------------------------------------------------------------


def damage(path: Path, *, page: int) -> None:
    """Overwrite a page of the file, as a failing disk does; what was in the write-ahead log is in the file before."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(page * 4096)
        file.write(os.urandom(4096))


@pytest.mark.parametrize("page", [0, 3, 6])
def test_the_readable_records_of_a_damaged_outbox_are_delivered_from_it(left_behind, capsys, proxy, database_url, page):
    large = [a_call(metadata={"text": "x" * 9000}) for _ in range(3)]
    usages = [a_call(session_id=str(number)) for number in range(60)]
    path = left_behind(*usages, *large)
    damage(path, page=page)
    with Tracker(mode="background", database_url=proxy.url, log_records=False) as recorder:
        recorder.record(a_call())
        recorder.flush(10)
    (damaged_path,) = [file for file in path.parent.glob("*.damaged-*") if not file.name.endswith(("-wal", "-shm"))]
    capsys.readouterr()
    assert main(["outbox", "list"]) == 1
    assert f"outbox drain --from {damaged_path}" in capsys.readouterr().err
    assert main(["outbox", "drain"]) == 1
    assert str(damaged_path) in capsys.readouterr().err
    state = outbox_state(settings.load(), clean(proxy.url), now=time.time())
    assert state["damaged"] == [str(damaged_path)]
    assert main(["outbox", "drain", "--from", str(damaged_path)]) == 0
    assert "records salvaged" in capsys.readouterr().out
    assert count(database_url) >= 1 + (63 if page == 0 else 40)
    assert main(["outbox", "list"]) == 0
    assert not list(path.parent.glob("*.damaged-*"))
    # A second time adds nothing, and nothing was deleted.
    (kept,) = [file for file in path.parent.glob("*.salvaged-*") if not file.name.endswith(("-wal", "-shm"))]
    before = count(database_url)
    kept.rename(damaged_path)
    assert main(["outbox", "drain", "--from", str(damaged_path)]) == 0
    assert count(database_url) == before


def test_a_damaged_outbox_raises_an_alert_with_the_remedy(left_behind, proxy, caplog):
    path = left_behind()
    path.write_bytes(os.urandom(20_000))
    with Tracker(mode="background", database_url=proxy.url, log_records=False) as recorder:
        recorder.record(a_call())
        recorder.flush(10)
    alerts = [json.loads(line) for line in caplog.messages if "token_tracking_failure" in line]
    (alert,) = [alert for alert in alerts if alert["reason"] == "outbox_damaged"]
    assert "token-tracker outbox drain --from" in alert["error"]
