"""The token-tracker command line: one module per command, each with `add_parser` and `run`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from tracker.cli.commands import (
    api_token,
    budget,
    dashboard,
    digest,
    doctor,
    import_file,
    mcp,
    migrate,
    outbox,
    password,
    prune,
    reconcile,
    record,
    reprice,
    rollup,
    sample_data,
    usage,
    what_if,
)
from tracker.cli.terminal import print_error, safe_streams, terminal_text
from tracker.errors import SettingError, TrackerError, UsageError, UsageTypeError

_COMMANDS = (
    dashboard,
    migrate,
    record,
    import_file,
    outbox,
    rollup,
    prune,
    reprice,
    what_if,
    budget,
    digest,
    reconcile,
    usage,
    mcp,
    doctor,
    password,
    api_token,
    sample_data,
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print one line and exit with status 2, the status of every error that is detected before the command runs."""
        self.exit(2, terminal_text(f"{self.prog}: {message} (see {self.prog} --help)") + "\n")


def parser() -> argparse.ArgumentParser:
    """The argument parser with all commands."""
    top = _Parser(prog="token-tracker", description="Token usage of AI calls in your own Postgres.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in _COMMANDS:
        module.add_parser(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0 for success, 1 for a failed command, 2 for invalid arguments or settings."""
    # The caller may have closed a stream (>&-): the output is then discarded, and the command still runs.
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123  open until the end
    with safe_streams():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    arguments = parser().parse_args(argv)
    # A command prints one line per error; the library's log lines are for applications.
    logging.getLogger("tracker").setLevel(logging.CRITICAL)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except (SettingError, UsageError, UsageTypeError) as error:
        return _fail(error, 2)
    except TrackerError as error:
        return _fail(error, 1)
    except BrokenPipeError:
        # The reader of the output closed the pipe: discard the rest, also what Python flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(f"{error.filename or 'The file'}: {error.strerror or error}.", 1)
    except KeyboardInterrupt:
        return _fail("Interrupted.", 130)
    return status


def _fail(error: object, status: int) -> int:
    print_error(error)
    return status
