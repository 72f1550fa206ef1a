"""A full disk, the size limit and a path that can't be written are errors, and end when the cause does."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from recording_support import a_record
from support import small_disk

from tracker.errors import OutboxError
from tracker.recording.outbox.store import Outbox


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
