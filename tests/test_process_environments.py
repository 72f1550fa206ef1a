"""The recorder and the commands in unusual process environments: time zone, locale, and home directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from support import child_environment, rows

# Text and a file name that an ASCII locale can't encode; a record that needs no outbox, and one that does.
SCRIPT = """
import ctypes, json, os, sys
if "NO_ACCOUNT" in os.environ:
    # A user without an entry in the password database, who can still read the interpreter's files: keep capabilities.
    assert ctypes.CDLL(None).prctl(28, 4) == 0  # PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP
    os.setresuid(54321, 54321, 54321)
import tracker
from tracker.cli import main
directory = os.fsencode(sys.argv[1])
usage = tracker.TokenUsage(model="m", operation="요약 ü")
stored = tracker.Tracker(mode="direct").record(usage)
unreachable = tracker.Tracker(database_url="postgresql://127.0.0.1:1/none", mode="direct", deadline_s=0.5)
waiting = unreachable.record(usage)
file = os.fsdecode(os.path.join(directory, "요약.csv".encode()))
statuses = [main(arguments) for arguments in (["import", file], ["doctor"], ["outbox", "list"])]
print(json.dumps([stored.status, waiting.status, statuses]))
"""
UTF_8_OFF = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NO_XDG = {"XDG_STATE_HOME": "", "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": ""}


def environments(read_only: Path) -> dict[str, dict[str, str]]:
    """The variables of each environment."""
    without_account = (
        {"no home": {"NO_ACCOUNT": "1", **NO_XDG}} if sys.platform == "linux" and os.geteuid() == 0 else {}
    )
    return {
        **without_account,
        "time zone": {"TZ": "Asia/Kathmandu"},
        "time zone without a name": {"TZ": "XYZ-14"},
        "unknown time zone": {"TZ": "Nowhere/Town"},
        "ASCII locale": UTF_8_OFF,
        "read-only home": {"HOME": str(read_only), **NO_XDG},
    }


def start(directory: Path, env: dict[str, str], url: str) -> subprocess.Popen[str]:
    (directory / "script.py").write_text(SCRIPT, encoding="utf-8")
    text = "created_at,model,operation,input_tokens,output_tokens\n2026-03-01T10:00:00,gpt,요약,10,5\n"
    (directory / "요약.csv").write_text(text, encoding="utf-8")
    inherited = child_environment(
        {"DATABASE_URL": url, "TMPDIR": str(directory), "XDG_STATE_HOME": str(directory), **env}
    )
    if "NO_ACCOUNT" in env:
        inherited.pop("HOME", None)
    command = [sys.executable, str(directory / "script.py"), str(directory)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=directory, env=inherited, stdout=pipe, stderr=pipe, encoding="utf-8")


def test_records_and_commands_work_in_every_environment(
    new_database: Callable[[str], str], template: str, tmp_path: Path, read_only: Path
) -> None:
    processes = {}
    urls = {name: new_database(template) for name in environments(read_only)}
    for name, env in environments(read_only).items():
        directory = tmp_path / name
        directory.mkdir()
        processes[name] = start(directory, env, urls[name])
    results: dict[str, object] = {}
    for name, process in processes.items():
        output, errors = process.communicate(timeout=120)
        assert "Traceback" not in errors, f"{name}: {errors}"
        stored, waiting, commands = json.loads(output.splitlines()[-1])
        results[name] = waiting
        assert (stored, commands) == ("recorded", [0, 0, 0]), f"{name}: {output}{errors}"
        # A record that can be stored nowhere is in the log, with the reason.
        assert waiting == "queued" or ("outbox" in errors and "요약" in errors), f"{name}: {errors}"
        imported, now = rows(urls[name], "SELECT operation, created_at FROM token_usage ORDER BY created_at")
        assert imported == ("요약", datetime(2026, 3, 1, 10, tzinfo=UTC)), name
        assert now[0] == "요약 ü" and abs((datetime.now(UTC) - now[1]).total_seconds()) < 300, name
    # Without a home, the outbox is in the temporary directory.
    assert {name for name, waiting in results.items() if waiting == "failed"} == {"read-only home"}
