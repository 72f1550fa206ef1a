"""Commands send no control characters of files, databases or arguments to the terminal."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys

import pytest
from support import child_environment, run

from tracker.cli import main

HOSTILE = "evil\x1b]0;title\x07\x1b[2J\x9b31m\x7f\u202egnp"


def is_safe(text: str) -> bool:
    return all(char in "\n\t" or (32 <= ord(char) < 127) or (ord(char) > 159 and char != "\u202e") for char in text)


@pytest.mark.parametrize(
    "command",
    [
        ["reprice", "--dry-run"],
        ["rollup", "--verify"],
        ["budget", "list"],
        ["budget", "check"],
        ["doctor"],
        ["doctor", "--json"],
        ["outbox", "list"],
        ["prune", "--older-than", "1d", "--dry-run"],
        ["budget", "remove", HOSTILE],
        ["import", HOSTILE],
        ["import", "x", "--profile", HOSTILE],
        ["reconcile", HOSTILE],
        ["usage"],
        ["usage", "--by", HOSTILE],
        [HOSTILE],
        ["record", "--model", HOSTILE, "--input-tokens", HOSTILE, "--output-tokens", "1"],
        ["record", "--model", HOSTILE, "--input-tokens", "1", "--output-tokens", "1", "--user-id", HOSTILE],
    ],
    ids=lambda command: " ".join(part if part.isprintable() else "hostile" for part in command),
)
def test_a_command_prints_no_control_character(command, database_url, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)
    run(
        database_url,
        "INSERT INTO token_usage (model, provider, user_id, operation, environment, deployment, platform, input_tokens,"
        f" output_tokens, total_tokens) SELECT m, m, m, m, m, m, m, 1, 1, 2 FROM (SELECT '{HOSTILE}'::text) AS x (m)",
    )
    main(["budget", "set", "spent" + HOSTILE, "--tokens", "1", "--per", "month", "--model", HOSTILE])
    with contextlib.suppress(SystemExit):
        main(command)
    output = capsys.readouterr()
    assert is_safe(output.out), repr(output.out)
    assert is_safe(output.err), repr(output.err)
    if "--json" in command:
        json.loads(output.out)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_name_with_characters_outside_the_terminals_encoding_is_printed(encoding, database_url):
    environment = child_environment({"DATABASE_URL": database_url, "LC_ALL": "C", "PYTHONIOENCODING": encoding})
    commands = (
        ["budget", "set", "예산", "--tokens", "5", "--per", "day"],
        ["budget", "list"],
        ["budget", "remove", "예산"],
    )
    for command in commands:
        done = subprocess.run([sys.executable, "-m", "tracker", *command], env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
