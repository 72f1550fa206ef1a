"""token-tracker: the command line. One file a command, each with `add_parser` and `run`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from tracker.cli.commands import (
    budget,
    doctor,
    import_file,
    migrate,
    outbox,
    password,
    prune,
    reconcile,
    record,
    reprice,
    rollup,
    sample_data,
)
from tracker.cli.terminal import print_error, safe_streams, terminal_text
from tracker.errors import SettingError, TrackerError, UsageError, UsageTypeError

_COMMANDS = (
    migrate,
    record,
    import_file,
    outbox,
    rollup,
    prune,
    reprice,
    budget,
    reconcile,
    doctor,
    password,
    sample_data,
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line and exit 2, as for everything found wrong before anything was tried."""
        self.exit(2, terminal_text(f"{self.prog}: {message} (see {self.prog} --help)") + "\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = _Parser(prog="token-tracker", description="Token usage of AI calls in your own Postgres.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in _COMMANDS:
        module.add_parser(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 = fine, 1 = what was done isn't fine, 2 = found wrong before anything was tried."""
    # Closed by the caller (>&-): what we say then goes nowhere, and the command does its work.
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123  open until the end
    with safe_streams():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    arguments = parser().parse_args(argv)
    # A command says in one line what went wrong; the library's own log lines are for apps.
    logging.getLogger("tracker").setLevel(logging.CRITICAL)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except (SettingError, UsageError, UsageTypeError) as error:
        return _complain(error, 2)
    except TrackerError as error:
        return _complain(error, 1)
    except BrokenPipeError:
        # The reader of our output went away: nothing more can be said to it, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _complain(f"{error.filename or 'The file'}: {error.strerror or error}.", 1)
    except KeyboardInterrupt:
        return _complain("Interrupted.", 130)
    return status


def _complain(error: object, status: int) -> int:
    print_error(error)
    return status
