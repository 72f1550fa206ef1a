"""token-tracker api-token: make a token for the API routes."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

from tracker.auth.api_tokens import Binding, create_token
from tracker.errors import SettingError

_NAME = re.compile(r"[\w.-]{1,60}")


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("api-token", help="make a token for GET /metrics and GET /api/usage")
    parser.add_argument("name", metavar="NAME", help="who uses it: letters, digits, dots, hyphens and underscores")
    bound = parser.add_mutually_exclusive_group()
    bound.add_argument("--user", metavar="ID", help="the token reads the calls of this user only")
    bound.add_argument("--property", metavar="KEY=VALUE", help="the token reads the calls with this property only")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the token on standard output, and its entry for the variable on standard error."""
    if not _NAME.fullmatch(arguments.name):
        raise SettingError("The name has up to 60 letters, digits, dots, hyphens and underscores.")
    created = create_token(arguments.name, _binding(arguments))
    print(created.token)
    print(f"Add this entry to TRACKER_API_TOKENS where the dashboard runs: {created.entry}", file=sys.stderr)
    return 0


def _binding(arguments: argparse.Namespace) -> Binding | None:
    if arguments.user is not None:
        if not arguments.user:
            raise SettingError("The user's id is empty.")
        return Binding("user", arguments.user)
    if arguments.property is None:
        return None
    key, equals, value = arguments.property.partition("=")
    if not key or not equals or re.search(r"[\s:]", key):
        raise SettingError("The property is KEY=VALUE; its key has no white space and no colon.")
    return Binding(f"metadata.{key}", value)
