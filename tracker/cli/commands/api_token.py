"""token-tracker api-token: make a token for the API routes."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

from tracker.auth.api_tokens import Binding, create_token
from tracker.budgets.property_pairs import parse_pair
from tracker.errors import SettingError
from tracker.property_names import dimension_of

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
    key, value = parse_pair(arguments.property)
    if not value:
        raise SettingError("A token can't be limited to calls without a value of the property.")
    if re.search(r"[\s:=]", key) or not key:
        raise SettingError("The key of the property has no white space, colon or equals sign.")
    return Binding(dimension_of(key), value)
