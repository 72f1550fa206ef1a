"""The outbox keeps what it was given, whoever else uses the file, and says in a sentence when it can't."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from support import child_environment, python, small_disk

from tracker.errors import OutboxError
from tracker.recording.outbox import sqlite_file
from tracker.recording.outbox.paths import make_directory
from tracker.recording.outbox.store import Outbox, QueuedRecord

APPEND = """
import os, sys
from pathlib import Path
from tracker.recording.outbox.store import Outbox, QueuedRecord
outbox, name = Outbox(Path(sys.argv[1])), sys.argv[2]
for number in range(int(sys.argv[3])):
    outbox.append(QueuedRecord(f"{name}-{number:06}", name, number, '{"n": %d}' % number), lock_timeout_s=30)
    os.write(1, b"%d\\n" % number)
"""
HOLD = """
import sys, time
from pathlib import Path
from tracker.recording.outbox.store import Outbox
with Outbox(Path(sys.argv[1])).hold_drain_lock() as mine:
    print(bool(mine), flush=True)
    sys.stdin.read()
"""


def a_record(number: int = 1, instance: str = "one") -> QueuedRecord:
    return QueuedRecord(f"{instance}-{number:06}", instance, number, f'{{"n": {number}}}')


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.db"


@pytest.fixture
def new_outbox(path: Path) -> Iterator[Callable[..., Outbox]]:
    """Opens outboxes, by default of one file; they are closed after the test."""
    with ExitStack() as stack:
        yield lambda place=path, **options: stack.enter_context(closing(Outbox(place, **options)))


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=child_environment(), stdin=pipe, stdout=pipe, text=True)


# --- what it keeps ------------------------------------------------------------------------------------------------


def test_records_wait_in_the_order_of_their_ids_until_they_are_removed(new_outbox):
    outbox = new_outbox()
    for number in (3, 1, 2):
        outbox.append(a_record(number))
    assert outbox.next_records(10) == [a_record(1), a_record(2), a_record(3)]
    outbox.remove([a_record(1)])
    assert outbox.next_records(1) == [a_record(2)]
    assert (outbox.depth().waiting, outbox.empty()) == (2, False)
    outbox.remove(outbox.next_records(10))
    assert outbox.empty()


def test_appending_the_same_record_twice_queues_it_once(new_outbox):
    outbox = new_outbox()
    outbox.append(a_record())
    outbox.append(a_record())
    assert outbox.depth().waiting == 1


def test_another_process_sees_what_was_appended(new_outbox, path):
    new_outbox().append(a_record())
    assert new_outbox().next_records(10) == [a_record()]
    done = start(APPEND, path, "other", 3)
    assert done.wait(timeout=30) == 0
    done.communicate()
    assert new_outbox().depth().waiting == 4


def test_the_depth_contains_the_time_of_the_oldest_record(new_outbox):
    outbox = new_outbox()
    assert outbox.depth().oldest_at is None
    outbox.append(a_record(2), queued_at=2000.0)
    outbox.append(a_record(1), queued_at=1000.0)
    assert outbox.depth() == (2, 0, 1000.0)
    assert outbox.depth(before=1500.0).waiting == 1


def test_a_dead_letter_is_not_delivered_and_can_be_queued_again(new_outbox):
    outbox = new_outbox()
    outbox.append(a_record(1))
    outbox.append(a_record(2))
    outbox.add_dead_letter(a_record(1), "The table refused the record.")
    assert outbox.next_records(10) == [a_record(2)]
    assert outbox.dead_letters() == [(a_record(1), "The table refused the record.")]
    assert outbox.depth()[:2] == (1, 1)
    assert outbox.requeue_dead_letters() == 1
    assert (outbox.next_records(10), outbox.dead_letters()) == ([a_record(1), a_record(2)], [])


def test_notes_wait_in_their_order(new_outbox):
    outbox = new_outbox()
    outbox.note("ledger", "1")
    outbox.note("alert", "2")
    assert not outbox.empty()
    assert [(kind, text) for _, kind, text in outbox.notes(10)] == [("ledger", "1"), ("alert", "2")]
    outbox.remove_notes([number for number, _, _ in outbox.notes(1)])
    assert [text for _, _, text in outbox.notes(10)] == ["2"]


# --- many at once -------------------------------------------------------------------------------------------------


def test_threads_that_append_and_remove_at_once_lose_nothing(new_outbox):
    outbox = new_outbox()

    def append(thread: int) -> None:
        for number in range(100):
            outbox.append(a_record(number, f"thread{thread}"))

    seen: set[QueuedRecord] = set()
    with ThreadPoolExecutor(9) as pool:
        appending = [pool.submit(append, thread) for thread in range(8)]
        while not all(future.done() for future in appending) or not outbox.empty():
            found = outbox.next_records(50)
            outbox.remove(found)
            seen.update(found)
        for future in appending:
            future.result()
    assert len(seen) == 800


def test_processes_that_append_at_once_lose_nothing(new_outbox, path):
    children = [start(APPEND, path, f"process{number}", 100) for number in range(4)]
    for child in children:
        child.communicate(timeout=60)
        assert child.returncode == 0
    assert new_outbox().depth().waiting == 400


def test_what_was_appended_survives_kill_9(new_outbox, path):
    child = start(APPEND, path, "killed", 1_000_000)
    for _ in range(random.randint(50, 500)):
        last = child.stdout.readline()
    child.kill()
    with child:
        rest = child.stdout.read()  # what was read ahead too, which communicate() leaves behind
    acknowledged = int((last + rest).split()[-1]) + 1
    found = new_outbox().next_records(1_000_000)
    assert [record.sequence for record in found] == list(range(len(found)))
    assert acknowledged <= len(found) <= acknowledged + 1


def test_one_drainer_at_a_time_across_processes(new_outbox, path):
    outbox = new_outbox()
    outbox.append(a_record())
    child = start(HOLD, path)
    assert child.stdout.readline() == "True\n"
    with outbox.hold_drain_lock() as mine:
        assert not mine
    child.kill()
    child.communicate(timeout=10)
    with outbox.hold_drain_lock() as mine, new_outbox().hold_drain_lock() as another:
        assert (bool(mine), another) == (True, None)


def test_a_fork_leaves_both_sides_their_own_outbox(new_outbox):
    outbox = new_outbox()
    outbox.append(a_record(0))
    with outbox.hold_drain_lock():
        outbox.before_fork()
        child = os.fork()
        if child == 0:
            try:
                outbox.after_fork()
                for number in range(100):
                    outbox.append(a_record(number, "child"))
                with outbox.hold_drain_lock() as mine:
                    os._exit(3 if mine else 0)
            finally:
                os._exit(1)
        for number in range(1, 100):
            outbox.append(a_record(number))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert outbox.depth().waiting == 200
    with outbox.hold_drain_lock() as mine:
        assert mine


def test_an_outbox_that_was_open_at_a_fork_is_refused_in_the_child(new_outbox):
    outbox = new_outbox()
    outbox.append(a_record(0))
    child = os.fork()
    if child == 0:
        outbox.after_fork()
        try:
            outbox.append(a_record(1))
        except OutboxError as error:
            os._exit(0 if error.code == "outbox_inherited" else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    outbox.append(a_record(2))
    assert new_outbox().next_records(10) == [a_record(0), a_record(2)]


SEVERAL = """
import os, sys
from pathlib import Path
from tracker.recording.outbox.store import Outbox, QueuedRecord
one, other = Outbox(Path(sys.argv[1])), Outbox(Path(sys.argv[1]))
one.append(QueuedRecord("1", "one", 1, "{}"))
other.append(QueuedRecord("2", "other", 1, "{}"))
print("open", flush=True)
sys.stdin.readline()
one.append(QueuedRecord("3", "one", 2, "{}"))
print("appended", flush=True)
sys.stdin.read()
"""


def test_another_process_that_opens_the_file_does_not_disturb_its_users(new_outbox, path):
    child = start(SEVERAL, path)
    assert child.stdout.readline() == "open\n"
    with closing(Outbox(path)) as visitor:
        assert visitor.depth().waiting == 2
    child.stdin.write("\n")
    child.stdin.flush()
    assert child.stdout.readline() == "appended\n"
    child.kill()
    child.communicate(timeout=10)
    assert [record.id for record in new_outbox().next_records(10)] == ["1", "2", "3"]


# --- a disk that fails --------------------------------------------------------------------------------------------


def fill(outbox: Outbox) -> OutboxError:
    with pytest.raises(OutboxError) as raised:
        for number in range(2000):
            outbox.append(a_record(number)._replace(document="x" * 800))
    return raised.value


def test_the_size_limit_is_an_error_that_names_it_and_ends_when_there_is_room(new_outbox):
    outbox = new_outbox(max_mb=1)
    error = fill(outbox)
    assert error.code == "outbox_full"
    assert "TRACKER_OUTBOX_MAX_MB (1)" in str(error)
    kept = outbox.next_records(2000)
    assert 800 < len(kept) < 1300
    outbox.remove(kept[:100])
    outbox.append(a_record(5000))


def test_a_full_outbox_can_still_be_emptied(new_outbox):
    outbox = new_outbox(max_mb=1)
    fill(outbox)
    while records := outbox.next_records(50):
        outbox.remove(records)
    assert outbox.empty()


def test_a_full_disk_is_an_error_until_there_is_space(new_outbox, tmp_path):
    with small_disk(tmp_path) as disk:
        (disk / "ballast").write_bytes(bytes(3_000_000))
        outbox = new_outbox(disk / "outbox.db")
        assert fill(outbox).code == "outbox_full"
        kept = outbox.next_records(5000)
        assert len(kept) > 20
        (disk / "ballast").unlink()
        assert outbox.next_records(5000) == kept
        outbox.append(a_record(5000))
        outbox.remove(kept)
        assert outbox.next_records(5000) == [a_record(5000)]
        outbox.close()


def test_a_read_only_directory_is_an_error_with_a_way_out(new_outbox, read_only):
    with pytest.raises(OutboxError, match="TRACKER_OUTBOX") as raised:
        new_outbox(read_only / "outbox.db").append(a_record())
    assert raised.value.code == "outbox_unwritable"


def test_a_disk_that_turns_read_only_is_an_error(new_outbox, tmp_path):
    with small_disk(tmp_path) as disk:
        outbox = new_outbox(disk / "outbox.db")
        outbox.append(a_record())
        outbox.close()
        disk.remount("ro")
        with pytest.raises(OutboxError, match="TRACKER_OUTBOX"):
            outbox.append(a_record(2))
        disk.remount("rw")
        outbox.append(a_record(2))
        assert outbox.depth().waiting == 2
        outbox.close()


def test_a_read_only_file_is_an_error_for_a_user_without_write_permission(new_outbox, as_ordinary_user):
    with tempfile.TemporaryDirectory() as directory:
        outbox = new_outbox(Path(directory) / "outbox.db")
        outbox.append(a_record())
        outbox.close()
        Path(directory).chmod(0o755)
        outbox.path.chmod(0o444)
        with as_ordinary_user(), pytest.raises(OutboxError, match="can't be written") as raised:
            outbox.append(a_record(2))
    assert raised.value.code == "outbox_unwritable"


@pytest.mark.parametrize("place", ["a directory", "under a file", "an endless name"])
def test_a_path_that_cannot_be_a_file_is_an_error(new_outbox, tmp_path, place):
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    found = {
        "a directory": tmp_path / "directory",
        "under a file": tmp_path / "file" / "outbox.db",
        "an endless name": tmp_path / ("x" * 300),
    }[place]
    with pytest.raises(OutboxError, match="TRACKER_OUTBOX"):
        new_outbox(found).append(a_record())


def test_the_lock_of_another_process_is_waited_for_until_the_timeout(new_outbox, path):
    outbox = new_outbox()
    outbox.append(a_record())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        with pytest.raises(OutboxError, match="locked by another process") as raised:
            outbox.append(a_record(2), lock_timeout_s=0.2)
        assert 0.15 <= time.monotonic() - started < 2
        assert raised.value.code == "outbox_busy"
    outbox.append(a_record(2))


def test_threads_that_wait_for_a_locked_file_do_not_wait_for_one_another(new_outbox, path):
    outbox = new_outbox()
    outbox.append(a_record())
    with closing(sqlite3.connect(path, isolation_level=None)) as other, ThreadPoolExecutor(8) as pool:
        other.execute("BEGIN IMMEDIATE")

        def append(number: int) -> float:
            started = time.monotonic()
            with pytest.raises(OutboxError):
                outbox.append(a_record(number), lock_timeout_s=0.3)
            return time.monotonic() - started

        assert max(pool.map(append, range(8))) < 1.2


# --- a damaged file -----------------------------------------------------------------------------------------------


def damage(path: Path, how: str) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        if how == "no database":
            file.truncate()
            file.write(b"This is no database at all. " * 500)
        elif how == "header":
            file.write(os.urandom(100))
        elif how == "truncated":
            file.truncate(size // 2)
        else:
            for start in range(4096, size, 4096):
                file.seek(start)
                file.write(os.urandom(200))


@pytest.mark.parametrize("how", ["no database", "header", "truncated", "pages"])
@pytest.mark.parametrize("opened", [False, True])
def test_a_damaged_file_is_renamed_and_replaced(new_outbox, path, how, opened):
    named: list[Path] = []
    outbox = new_outbox(on_damage=named.append)
    for number in range(200):
        outbox.append(a_record(number))
    outbox.close()
    if opened:
        outbox.next_records(1)
    damage(path, how)
    for number in range(3):
        outbox.append(a_record(number, "new"))
    outbox.close()
    found = new_outbox(on_damage=named.append).next_records(1000)
    assert [record for record in found if record.instance == "new"] == [a_record(number, "new") for number in range(3)]
    if len(found) < 203:
        (aside,) = named
        assert aside.parent == path.parent
        assert "damaged" in aside.name
        assert aside.stat().st_size > 0
    else:
        assert opened  # SQLite held the damaged page in memory and has written it anew


def test_of_several_users_of_a_damaged_file_one_moves_it_and_none_loses_a_record(new_outbox, path):
    named: list[Path] = []
    first = new_outbox()
    first.append(a_record())
    first.close()
    damage(path, "no database")
    outboxes = [new_outbox(on_damage=named.append) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: outboxes[number].append(a_record(number, "new"), lock_timeout_s=10), range(6)))
    assert len(named) == 1
    assert new_outbox().depth().waiting == 6


def test_a_file_that_is_renamed_while_another_process_opens_it_is_created_again(new_outbox, path, monkeypatch):
    new_outbox().append(a_record())
    looks = iter([True, False])  # there at the first look, and gone when it is asked about
    monkeypatch.setattr(sqlite_file, "exists", lambda found: next(looks, found.exists()))
    path.rename(f"{path}.damaged")
    new_outbox().append(a_record(1))
    assert new_outbox().next_records(10) == [a_record(1)]


def test_a_link_that_leads_nowhere_is_named(new_outbox, path):
    path.parent.mkdir()
    path.symlink_to(path.parent / "nowhere")
    with pytest.raises(OutboxError, match="No such file"):
        new_outbox().append(a_record())


def test_an_empty_file_is_a_new_outbox(new_outbox, path):
    path.parent.mkdir()
    path.touch()
    new_outbox().append(a_record())
    assert new_outbox().depth().waiting == 1


def test_a_file_that_vanishes_under_an_open_outbox_is_begun_anew(new_outbox, path):
    outbox = new_outbox()
    outbox.append(a_record(1))
    for part in path.parent.iterdir():
        part.unlink()
    outbox.append(a_record(2))
    assert new_outbox().next_records(10) == [a_record(2)]


def test_a_directory_that_vanishes_under_an_open_outbox_is_made_anew(new_outbox, path):
    outbox = new_outbox()
    outbox.append(a_record(1))
    shutil.rmtree(path.parent)
    outbox.append(a_record(2))
    assert new_outbox().next_records(10) == [a_record(2)]


def test_a_file_that_is_removed_again_and_again_never_raises_but_its_own_error(new_outbox, path):
    outbox = new_outbox()
    with ThreadPoolExecutor(1) as pool:
        done = threading.Event()

        def remove() -> None:
            while not done.wait(0.001):
                for part in path.parent.glob("*"):
                    part.unlink(missing_ok=True)

        remover = pool.submit(remove)
        try:
            for number in range(300):
                with suppress(OutboxError):
                    outbox.append(a_record(number))
        finally:
            done.set()
        remover.result()
    outbox.append(a_record(1000))
    assert a_record(1000) in new_outbox().next_records(1000)


# --- whose it is --------------------------------------------------------------------------------------------------


def test_no_other_user_can_read_the_queued_records(new_outbox, path):
    new_outbox().append(a_record())
    assert path.parent.stat().st_mode & 0o077 == 0
    for part in path.parent.iterdir():
        assert part.stat().st_mode & 0o077 == 0, part


def test_a_directory_that_others_may_write_is_refused(tmp_path):
    directory = tmp_path / f"token-tracker-{os.getuid()}"
    directory.mkdir()
    directory.chmod(0o777)
    with pytest.raises(OutboxError, match="written by others") as raised:
        make_directory(directory / "outbox.db")
    assert raised.value.code == "outbox_unsafe"
    directory.chmod(0o700)
    make_directory(directory / "outbox.db")


def test_a_directory_that_is_a_link_of_another_user_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / f"token-tracker-{os.getuid()}"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutboxError, match="written by others"):
        make_directory(link / "outbox.db")


@pytest.mark.skipif(os.getuid() != 0, reason="Only root can give a directory to somebody else.")
def test_a_directory_of_another_user_is_refused(tmp_path):
    directory = tmp_path / f"token-tracker-{os.getuid()}"
    directory.mkdir(mode=0o700)
    os.chown(directory, 65534, 65534)
    with pytest.raises(OutboxError, match="written by others"):
        make_directory(directory / "outbox.db")


def test_ids_of_any_origin_keep_their_records_apart(new_outbox):
    outbox = new_outbox()
    same = str(uuid.uuid4())
    outbox.append(QueuedRecord(same, "one", 1, "{}"))
    outbox.append(QueuedRecord(same, "two", 1, "{}"))
    outbox.append(QueuedRecord(same, "one", 2, "{}"))
    assert outbox.depth().waiting == 3


AT_ONCE = """
import sys, time
from pathlib import Path
from tracker.recording.outbox.store import Outbox
directory, start = Path(sys.argv[1]), float(sys.argv[2])
for number in range(25):
    time.sleep(max(0, start + number * 0.05 - time.time()))
    Outbox(directory / f"{number}.db").depth()
"""


def test_processes_that_begin_one_file_at_once_all_get_it(tmp_path):
    start = str(time.time() + 1)
    with ThreadPoolExecutor(3) as pool:
        for done in pool.map(lambda _: python("-c", AT_ONCE, str(tmp_path), start), range(3)):
            assert (done.returncode, done.stderr) == (0, "")
