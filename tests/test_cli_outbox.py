"""`token-tracker outbox list|drain` and `import --profile tracker-log`: nothing that waits is out of reach."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from faults import Proxy
from support import ROOT, a_call, count, eventually, python, rows, run

from pages.support.recording_status import outbox_depth
from tracker import Tracker, settings
from tracker.cli import main
from tracker.database import embedded
from tracker.database.locate import locate
from tracker.database.url import clean
from tracker.diagnostics.local_outboxes import outbox_state
from tracker.recording.outbox.paths import outbox_directory
from tracker.recording.outbox.store import Outbox, QueuedRecord
from tracker.reports import Reader


@pytest.fixture
def left_behind(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Queues records as a process does whose database can't be reached, and names their outbox."""

    def leave(*usages, **settings) -> Path:
        proxy.swallow = True
        recorder = Tracker(
            **{"database_url": proxy.url, "mode": "background", "deadline_s": 0.3, "log_records": False, **settings}
        )
        for usage in usages or (a_call(), a_call(), a_call()):
            assert recorder.record(usage).status == "queued"
        recorder.close()
        eventually(lambda: not recorder._queue._worker._thread.is_alive())  # its last round is over
        proxy.swallow = False
        monkeypatch.setenv("DATABASE_URL", proxy.url)
        return recorder._queue.outbox.path

    return leave


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


# --- drain --------------------------------------------------------------------------------------------------------


def test_drain_delivers_the_waiting_records_with_the_same_ids(left_behind, capsys, database_url):
    usages = [a_call() for _ in range(3)]
    path = left_behind(*usages)
    assert main(["outbox", "drain"]) == 0
    assert capsys.readouterr().out == "3 records delivered, 0 waiting, 0 dead letters.\n"
    stored = rows(database_url, "SELECT id, delivery FROM token_usage ORDER BY sequence")
    assert stored == [(str(usage.id), "outbox") for usage in usages]
    assert Outbox(path).depth().waiting == 0
    assert main(["outbox", "drain"]) == 0
    assert capsys.readouterr().out == "0 records delivered, 0 waiting, 0 dead letters.\n"


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
    assert printed.out == "0 records delivered, 3 waiting, 0 dead letters.\n"
    assert "didn't answer" in printed.err
    assert Outbox(path).depth().waiting == 3


def test_drain_while_another_process_drains_waits_for_it(left_behind, capsys):
    path = left_behind()
    with Outbox(path).hold_drain_lock():
        assert main(["outbox", "drain", "--timeout", "0.5"]) == 1
    assert "3 waiting" in capsys.readouterr().out
    assert main(["outbox", "drain"]) == 0


def test_dead_letters_are_retried_with_the_option_and_its_earlier_name(left_behind, capsys, database_url):
    run(database_url, "ALTER TABLE token_usage ADD CONSTRAINT known CHECK (model LIKE 'gemini%')")
    left_behind(a_call(), a_call(model="gpt"), a_call())
    assert main(["outbox", "drain"]) == 1
    assert capsys.readouterr().out == "2 records delivered, 0 waiting, 1 dead letters.\n"
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


# --- import --profile tracker-log ---------------------------------------------------------------------------------


@pytest.fixture
def lines(caplog, tmp_path, monkeypatch) -> Callable[..., list[str]]:
    """The log's lines about calls that couldn't be kept anywhere."""

    def write(*usages) -> list[str]:
        recorder = Tracker(mode="direct", max_retries=0, database_url="postgresql://u@127.0.0.1:1/db", outbox=tmp_path)
        assert {recorder.record(usage).status for usage in usages} == {"failed"}
        recorder.close()
        return [message for message in caplog.messages if "token_usage.failed" in message]

    return write


def test_a_log_is_replayed_by_id_and_twice_adds_nothing(lines, tmp_path, monkeypatch, database_url, capsys):
    usages = [a_call(cost="0.0000001", metadata={"n": number}, user_id='u "1"') for number in range(5)]
    plain, prefixed, wrapped, cloudwatch, vercel = lines(*usages)
    log = tmp_path / "app.log"
    log.write_text(
        "\n".join(
            [
                "GET /api/chat 200 in 31ms",
                plain,
                f"ERROR:tracker:{prefixed}",
                json.dumps({"level": "error", "message": wrapped}),
                json.dumps({"logEvents": [{"message": f"[ERROR]\t2026-03-01T10:00:00Z\tid\t{cloudwatch}\n"}]}),
                f'  "message": {json.dumps(vercel)},',
                plain,
            ]
        )
    )
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main(["import", str(log), "--profile", "tracker-log"]) == 0
    assert capsys.readouterr().out == "6 records read: 5 recorded, 1 already there, 0 rejected.\n"
    question = "SELECT id, created_at, cost, metadata, user_id, delivery, sequence FROM token_usage ORDER BY sequence"
    assert rows(database_url, question) == [
        (str(usage.id), usage.created_at, usage.cost, dict(usage.metadata), usage.user_id, "outbox", number)
        for number, usage in enumerate(usages, start=1)
    ]
    assert main(["import", str(log), "--profile", "tracker-log"]) == 0
    assert capsys.readouterr().out == "6 records read: 0 recorded, 6 already there, 0 rejected.\n"
    assert count(database_url) == 5


def test_a_broken_record_in_a_log_is_named_and_the_others_go_on(lines, tmp_path, monkeypatch, database_url, capsys):
    run(database_url, "ALTER TABLE token_usage ADD CONSTRAINT known CHECK (model LIKE 'gemini%')")
    first, refused, broken = lines(a_call(), a_call(model="gpt"), a_call())
    log = tmp_path / "app.log"
    log.write_text("\n".join([first, refused, broken.replace('"input_tokens": 812', '"input_tokens": -1')]))
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main(["import", str(log), "--profile", "tracker-log"]) == 1
    printed = capsys.readouterr()
    assert printed.out == "3 records read: 1 recorded, 0 already there, 2 rejected.\n"
    assert "line 2: The table refused the record (known)" in printed.err
    assert "line 3: the record in this line can't be read" in printed.err


def test_a_log_takes_no_mapping(tmp_path, monkeypatch, database_url, capsys):
    (tmp_path / "app.log").write_text("")
    monkeypatch.setenv("DATABASE_URL", database_url)
    arguments = ["import", str(tmp_path / "app.log"), "--profile", "tracker-log", "--set", "model=x"]
    assert main(arguments) == 2
    assert "don't apply to a log" in capsys.readouterr().err


def test_a_queued_record_on_serverless_can_be_replayed_from_the_log(caplog, tmp_path, monkeypatch, database_url):
    usage = a_call()
    recorder = Tracker(
        mode="direct", platform="vercel", max_retries=0, database_url="postgresql://u@127.0.0.1:1/db", deadline_s=0.3
    )
    assert recorder.record(usage).status == "queued"
    recorder.close()
    log = tmp_path / "vercel.log"
    log.write_text("\n".join(caplog.messages))
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main(["import", str(log), "--profile", "tracker-log"]) == 0
    assert rows(database_url, "SELECT id FROM token_usage") == [(str(usage.id),)]


def test_the_default_directory_belongs_to_the_user(monkeypatch):
    from tracker import settings

    assert str(outbox_directory(settings.load({}).runtime)).startswith(os.environ["XDG_STATE_HOME"])
    serverless = outbox_directory(settings.load({"TRACKER_PLATFORM": "aws_lambda"}).runtime)
    assert serverless == Path(os.environ["TMPDIR"]) / f"token-tracker-{os.getuid()}"


# --- into the embedded database -----------------------------------------------------------------------------------


@pytest.fixture
def embedded_url(tmp_path, monkeypatch):
    """The embedded database of a directory of the test's own, without DATABASE_URL."""
    directory = tmp_path / "embedded"
    monkeypatch.setenv("TRACKER_EMBEDDED_DIR", str(directory))
    url = embedded.start(str(directory))
    yield f"postgresql://postgres@/postgres?host={url.host}"
    embedded.stop(str(directory))


def queue_without_address(*usages) -> None:
    with Tracker(mode="background", log_records=False) as recorder:
        for usage in usages:
            assert recorder.record(usage).status == "queued"


def test_records_without_a_database_url_are_delivered_to_the_embedded_database_only_on_request(
    embedded_url, capsys, caplog
):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"<!-- first call -->\n```python\n(.*?)```", readme, re.DOTALL)
    (commands,) = re.findall(r"<!-- first call -->\n```sh\n(.*?)```", readme, re.DOTALL)
    assert commands.splitlines()[-1].endswith("token-tracker outbox drain --embedded")
    done = python("-c", snippet)
    assert (done.stdout, "token-tracker outbox drain --embedded" in done.stderr) == ("queued\n", True)
    queue_without_address(a_call())
    assert "outbox drain --embedded" in caplog.text
    assert main(["outbox", "drain"]) == 2
    assert "outbox drain --embedded" in capsys.readouterr().err
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "Records are waiting on this machine, and no process delivers them to the embedded database" in printed
    assert "token-tracker outbox drain --embedded" in printed
    depth = outbox_depth(Reader(locate(settings.load())))
    assert depth
    assert depth.waiting == 2
    assert count(embedded_url) == 0
    assert main(["outbox", "drain", "--embedded"]) == 0
    assert "2 records delivered" in capsys.readouterr().out
    assert count(embedded_url) == 2


def test_one_file_is_delivered_to_the_embedded_database_by_its_path(embedded_url, left_behind, monkeypatch):
    path = left_behind()
    monkeypatch.delenv("DATABASE_URL")
    queue_without_address(a_call())
    assert main(["outbox", "drain", "--embedded", "--from", str(path)]) == 0
    assert count(embedded_url) == 3  # and not the one that waits elsewhere


def test_an_address_does_not_lead_an_embedded_drain_elsewhere(embedded_url, database_url, monkeypatch):
    queue_without_address(a_call())
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main(["outbox", "drain", "--embedded"]) == 0
    assert (count(embedded_url), count(database_url)) == (1, 0)


def test_a_deployed_runtime_has_no_embedded_database(monkeypatch, capsys):
    monkeypatch.setenv("TRACKER_PLATFORM", "vercel")
    assert main(["outbox", "drain", "--embedded"]) == 2
    assert "platform vercel" in capsys.readouterr().err


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
    assert capsys.readouterr().out.startswith("3 records delivered")
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
