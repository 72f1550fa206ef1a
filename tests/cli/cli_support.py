"""Shared by the tests of the commands: a record's arguments, a process, and the only line of an error."""

from __future__ import annotations

from support import python

RECORD = ["record", "--model", "gemini-2.5-flash", "--input-tokens", "812", "--output-tokens", "164"]


def token_tracker(*arguments: str, env: dict[str, str] | None = None, timeout: float = 60):
    """The command line as a process of its own."""
    return python("-m", "tracker", *arguments, env=env, timeout=timeout)


def one_line(text: str) -> str:
    """Standard error's only line."""
    assert len(text.splitlines()) == 1, text
    assert text.startswith("token-tracker")
    assert "Traceback" not in text
    assert "hunter2" not in text
    return text
