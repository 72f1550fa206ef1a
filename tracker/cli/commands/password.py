"""token-tracker password: hash the dashboard's shared password."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any

from tracker.auth.password_hash import MAX_LENGTH, hash_password
from tracker.errors import SettingError

VARIABLE = "TRACKER_DASHBOARD_PASSWORD_HASH"


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "password", help="hash the dashboard's shared password, read from the terminal or standard input"
    )
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """Print only the hash on standard output, so that it can be piped to a platform's secret store."""
    print(hash_password(_read_from_prompt() if sys.stdin is not None and sys.stdin.isatty() else _read_from_stdin()))
    print(f"Set {VARIABLE} to this value where the dashboard runs, as a secret.", file=sys.stderr)
    return 0


def _read_from_prompt() -> str:
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Repeat the password: "):
        raise SettingError("The two passwords differ; no hash was created.")
    return password


def _read_from_stdin() -> str:
    """The first line of standard input."""
    try:
        return (sys.stdin.readline(2 * MAX_LENGTH) if sys.stdin is not None else "").rstrip("\r\n")
    except UnicodeDecodeError:
        raise SettingError("The password on standard input is not UTF-8 text.") from None
