"""token-tracker dashboard: start the dashboard from any directory."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tracker.cli import command_setup
from tracker.cli.dashboard_options import command_line, find_dashboard, streamlit_options
from tracker.errors import SettingError

MIN_STREAMLIT = (1, 67)
_MODULES = ("streamlit", "pandas", "plotly", "sqlalchemy")
_INSTALL = 'pip install "token-usage-tracker[dashboard]"'


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("dashboard", help="start the dashboard")
    parser.add_argument("--port", type=command_setup.parse_int, metavar="N", help="the port (default: 8501)")
    parser.add_argument("--address", metavar="HOST", help="the address to bind (default: 127.0.0.1)")
    parser.add_argument("--open", action="store_true", help="also open the dashboard in the browser")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Replace this process by Streamlit, so that signals and the exit status are the server's own."""
    given = _given_options(arguments)
    _require_extra()
    files = find_dashboard()
    home = _home_directory()
    options = streamlit_options(files, given, directory=Path.cwd(), home=home, env=os.environ)
    # -P: a module of the working directory, for example its own `pages`, is not imported instead of the dashboard's.
    command = [sys.executable, "-P", "-m", "streamlit", "run", *command_line(options), str(files.script)]
    sys.stdout.flush()
    os.execve(sys.executable, command, {**os.environ, "HOME": str(home)})  # noqa: S606  no shell is needed


def _given_options(arguments: argparse.Namespace) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if arguments.port is not None:
        if not 1 <= arguments.port <= 65535:
            raise SettingError(f"--port is {arguments.port}; use a number from 1 to 65535.")
        options["server.port"] = arguments.port
    if arguments.address is not None:
        if not arguments.address.strip() or "/" in arguments.address or arguments.address.startswith("unix:"):
            raise SettingError(f"--address is {arguments.address[:60]!r}; use a host name or an IP address.")
        options["server.address"] = arguments.address.strip()
    if arguments.open:
        options["server.headless"] = False
    return options


def _require_extra() -> None:
    missing = [name for name in _MODULES if find_spec(name) is None]
    if missing:
        names = ", ".join(missing)
        raise SettingError(f"The dashboard needs packages that are not installed ({names}): {_INSTALL}.")
    version = metadata.version("streamlit")
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < MIN_STREAMLIT:
        oldest = ".".join(map(str, MIN_STREAMLIT))
        raise SettingError(f"The dashboard needs Streamlit {oldest} or later; {version} is installed: {_INSTALL}.")


def _home_directory() -> Path:
    """The user's home directory; the root directory for a user without one, as in some containers."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(os.sep)
