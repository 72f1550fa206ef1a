"""token-tracker mcp: answer an assistant's questions about the usage, as an MCP server on standard input and output."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from importlib.util import find_spec
from typing import Any

from tracker.cli import command_setup
from tracker.cli.commands.usage import require_reports
from tracker.errors import SettingError


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "mcp", help="run an MCP server (stdio) with read-only tools for usage, records, anomalies, connections, doctor"
    )
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    if find_spec("mcp") is None:
        raise SettingError("This command needs mcp. Install it: pip install 'token-tracker[mcp]'.")
    require_reports("mcp")
    from tracker.cli.mcp_server import create_server
    from tracker.reports import Reader

    if sys.stdin.isatty():
        print("An MCP client starts this command and talks to it on standard input. Ctrl-C ends it.", file=sys.stderr)
    database = command_setup.locate_database()
    with closing(Reader(database)) as reader:
        create_server(reader).run("stdio")
    return 0
