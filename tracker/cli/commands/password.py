"""token-tracker password: make the hash of the dashboard's shared password."""

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
        "password", help="make the hash of the dashboard's shared password, read from the terminal or standard input"
    )
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """The hash alone on standard output, so that it can go straight to where a platform keeps its secrets."""
    print(hash_password(_asked() if sys.stdin is not None and sys.stdin.isatty() else _piped()))
    print(f"Set it as {VARIABLE} where the dashboard runs, and keep it as a secret.", file=sys.stderr)
    return 0


def _asked() -> str:
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("The same again: "):
        raise SettingError("The two passwords differ; nothing was made.")
    return password


def _piped() -> str:
    """The first line of standard input."""
    try:
        return (sys.stdin.readline(2 * MAX_LENGTH) if sys.stdin is not None else "").rstrip("\r\n")
    except UnicodeDecodeError:
        raise SettingError("The password on standard input is no UTF-8 text.") from None
