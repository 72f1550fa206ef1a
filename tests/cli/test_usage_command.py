"""token-tracker usage: the table in a pipe, in narrow terminals and in colors, and the JSON document."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import sys
import threading
from decimal import Decimal

import pytest
from support import run

from tracker.cli import main
from tracker.cli.usage_table import UsageTable, cell_width, draw

NAMES = ("gemini-2.5-flash", "한국어-모델-이름이-아주-긴-경우", "evil\x1b[31m\x07\u202egnp\nline", "x" * 70)
_COLORS = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def url(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for number, name in enumerate(NAMES):
        run(
            database_url,
            "INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens, cost, user_id, metadata)"
            f" SELECT $${name}$$, {10 ** (6 - number)}, 5, {10 ** (6 - number) + 5},"
            f" {'NULL' if number == 1 else 1.5}, 'u_' || n % 2, '{{\"team\": \"growth\"}}'"
            " FROM generate_series(1, 3) n",
        )
    monkeypatch.setenv("DATABASE_URL", database_url)
    return database_url


def in_terminal(monkeypatch: pytest.MonkeyPatch, width: int, **environment: str) -> str:
    """The output of the command on a pseudo terminal of this width."""
    ours, theirs = pty.openpty()
    parts: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # Linux: the other end is closed
            while part := os.read(ours, 65536):
                parts.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    with monkeypatch.context() as patched, os.fdopen(theirs, "w", encoding="utf-8") as terminal:
        patched.setattr(sys, "stdout", terminal)
        for name, value in {"TERM": "xterm-256color", "COLUMNS": str(width), "NO_COLOR": "", **environment}.items():
            patched.setenv(name, value)
        assert main(["usage"]) == 0
    reader.join(30)
    os.close(ours)
    return b"".join(parts).decode().replace("\r\n", "\n")


def test_a_pipe_gets_plain_text_without_truncation(url, capsys):
    assert main(["usage"]) == 0
    output = capsys.readouterr().out
    assert "Tokens 3,333,060, cost ≥ $13.50, calls 12, errors 0.0%, users 2" in output
    assert "3 calls have no price" in output
    assert "\x1b" not in output
    assert "\u202e" not in output
    assert "evil\\u001b[31m\\u0007\\u202egnp line" in output
    for name in (NAMES[0], NAMES[1], NAMES[3]):
        assert name in output
    (korean,) = [line for line in output.splitlines() if NAMES[1] in line]
    assert re.search(r"300,015  unpriced +3  █", korean)
    bars = [line.count("█") for line in output.splitlines()[4:]]
    assert bars == [0, 24, 2, 0, 0]


def test_json_has_the_dimensions_by_name(url, capsys):
    assert main(["usage", "--by", "model, metadata.team,month", "--json", "--last", "24h", "--user", "u_1"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert [row["model"] for row in data] == list(NAMES)
    assert {row["metadata.team"] for row in data} == {"growth"}
    assert set(data[0]) == {
        *("model", "metadata.team", "month"),
        *("calls", "failed_calls", "input_tokens", "output_tokens", "total_tokens", "cost_usd", "unpriced_calls"),
    }
    assert (Decimal(data[0]["cost_usd"]), data[1]["cost_usd"], data[1]["unpriced_calls"]) == (Decimal(3), None, 2)
    assert main(["usage", "--property", "team=other", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"data": []}
    assert main(["usage", "--property", "team=other"]) == 0
    assert "No calls in this range." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--by", "minute"], "There is no dimension 'minute'; use some of: model, provider"),
        (["--by", "metadata.a,metadata.b,metadata.c"], "at most 2 properties"),
        (["--last", "soon"], "24h, 7d and 2w"),
        (["--timezone", "Mars/Base"], "Asia/Seoul"),
        (["--property", "team"], "KEY=VALUE"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_invalid_argument_is_refused(url, capsys, arguments, text):
    assert main(["usage", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert text in line


def test_a_terminal_gets_colors_and_lines_that_fit(url, monkeypatch):
    for width in (20, 60, 140):
        output = in_terminal(monkeypatch, width)
        assert _COLORS.search(output)
        plain = _COLORS.sub("", output)
        assert "\x1b" not in plain
        assert all(cell_width(line) <= width for line in plain.splitlines()), output
        assert "".join(NAMES[1].split()) in "".join(plain.split())
    assert "\x1b" not in in_terminal(monkeypatch, 60, NO_COLOR="1")
    assert "\x1b" not in in_terminal(monkeypatch, 60, TERM="dumb")


def test_no_line_is_wider_than_the_terminal_and_nothing_is_lost():
    rows = [
        {"model": name, "user": None, "total_tokens": tokens, "cost_usd": cost, "calls": 7, "unpriced_calls": 1}
        for name, tokens, cost in (
            (NAMES[1], 123_456_789_012, Decimal("1234567.891")),
            (NAMES[3], 5, None),
            ("👩‍👩‍👧 e\u0301", 0, Decimal("0.0000012")),
        )
    ]
    table = UsageTable(("model", "user"), rows, ["2026-03-01 00:00 to 2026-03-02 00:00, Asia/Seoul"])
    for encoding in ("utf-8", "ascii"):
        for width in (*range(20, 140), None):
            lines = ["".join(text for text, _ in line).rstrip() for line in draw(table, width, encoding)]
            assert width is None or max(map(cell_width, lines)) <= width, (width, lines)
            joined = "".join("".join(lines).split())
            for text in ("123,456,789,012", "$1,234,568", "unpriced", "$0.000001", NAMES[1], NAMES[3], "Asia/Seoul"):
                assert text in joined, (width, text)
            assert "█" not in joined or encoding == "utf-8"
