"""No other user can read the outbox, and a directory that others may write is refused."""

from __future__ import annotations

import os

import pytest
from recording_support import a_record

from tracker.errors import OutboxError
from tracker.recording.outbox.paths import make_directory


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
