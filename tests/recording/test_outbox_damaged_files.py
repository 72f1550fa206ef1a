"""A damaged outbox file is renamed and replaced; a file or directory that vanishes is created again."""

from __future__ import annotations

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from recording_support import a_record

from tracker.errors import OutboxError
from tracker.recording.outbox import sqlite_file


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
