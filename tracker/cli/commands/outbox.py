"""token-tracker outbox: list the records that wait on this machine, and deliver them."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from tracker import settings as settings_module
from tracker.cli import command_setup
from tracker.database.locate import locate
from tracker.database.url import DatabaseUrl, clean
from tracker.errors import OutboxError, SettingError
from tracker.platforms import application_name
from tracker.recording.outbox.file_check import require_outbox
from tracker.recording.outbox.paths import (
    DAMAGED,
    damaged_files,
    embedded_source,
    existing_outbox_files,
    exists,
    fallback_file,
    outbox_directory,
    outbox_file,
    outbox_files,
    unassigned_file,
)
from tracker.recording.outbox.salvage import salvage
from tracker.recording.outbox.store import Outbox
from tracker.settings import Settings

_TIMEOUT_S = 60.0


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("outbox", help="list or deliver the records that wait on this machine")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    list_parser = actions.add_parser("list", help="list every outbox that contains records")
    list_parser.set_defaults(run=run_list)
    drain_parser = actions.add_parser("drain", help="deliver the waiting records; exit 1 if records remain")
    drain_parser.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="PATH",
        help="deliver from this outbox instead of the configured one",
    )
    drain_parser.add_argument(
        "--timeout", type=command_setup.parse_float, default=_TIMEOUT_S, metavar="S", help="seconds (default 60)"
    )
    drain_parser.add_argument(
        "--dead-letters",
        "--set-aside",  # the earlier name of the option
        dest="dead_letters",
        action="store_true",
        help="also retry the dead letters: records that the database refused",
    )
    drain_parser.add_argument(
        "--embedded", action="store_true", help="deliver to this machine's embedded database; only this option does"
    )
    drain_parser.set_defaults(run=run_drain)


def run_list(_: argparse.Namespace) -> int:
    settings = settings_module.load()
    own = outbox_file(settings, _url(settings))
    files = dict.fromkeys([own, fallback_file(own), *outbox_files(outbox_directory(settings.runtime))])
    printed, unreadable = 0, 0
    for path in filter(exists, files):
        try:
            printed += _print_outbox(path, own, settings)
        except OutboxError as error:
            print(f"token-tracker: {error}", file=sys.stderr)
            unreadable += error.code != "outbox_foreign"  # another user's file is not an error
    damaged = _damaged(own, outbox_directory(settings.runtime) / own.name)
    if not printed and not damaged and not unreadable:
        print(f"No records wait in {outbox_directory(settings.runtime)}.")
    return 1 if damaged or unreadable else 0


def _print_outbox(path: Path, own: Path, settings: Settings) -> bool:
    """Print the outbox's records; whether it has any. Raises `OutboxError`."""
    with closing(Outbox(path)) as outbox:
        depth = outbox.depth()
        if not depth.waiting and not depth.dead_letters:
            return False
        age = f", the oldest for {_duration(time.time() - depth.oldest_at)}" if depth.oldest_at else ""
        print(f"{path}{_origin(path, own, settings)}")
        print(f"  {depth.waiting} waiting{age}; {depth.dead_letters} dead letters")
        for record, reason in outbox.dead_letters():
            print(f"  dead letter: {record.id}: {reason}")
    return True


def _damaged(*outboxes: Path) -> int:
    """Print the damaged files in these outboxes' directories on standard error; return their number."""
    files = dict.fromkeys(damaged for path in outboxes for damaged in damaged_files(path))
    for damaged in files:
        try:
            salvaged = salvage(damaged)
            state = f"{len(salvaged.waiting) + len(salvaged.dead_letters)} of its records can be read"
        except OSError as error:
            state = f"it can't be read ({error.strerror})"
        print(
            f"token-tracker: {damaged} is a damaged outbox; {state}. Deliver them: token-tracker outbox drain --from"
            f" {damaged}",
            file=sys.stderr,
        )
    return len(files)


def run_drain(arguments: argparse.Namespace) -> int:
    if not 0 < arguments.timeout <= 86_400:
        raise SettingError(f"--timeout is {arguments.timeout:g}; use seconds from 1 to 86400.")
    settings = settings_module.load()
    url = locate(settings._replace(database_url=None)).url if arguments.embedded else _url(settings)
    if url is None:
        raise SettingError(
            "DATABASE_URL is not set, so the records have no destination; set it to"
            " postgresql://user:password@host:5432/database, or deliver them to this machine's embedded database:"
            " token-tracker outbox drain --embedded."
        )
    if arguments.source is not None and not exists(arguments.source):
        raise SettingError(f"--from is {str(arguments.source)!r}, which doesn't exist.")
    own = outbox_file(settings, url)
    sources = _sources(arguments.source, own, settings, url, embedded=arguments.embedded)
    from tracker.recording.outbox.drain_command import drain

    result = drain(
        sources, url, settings, application_name(settings.runtime), arguments.timeout, arguments.dead_letters
    )
    print(f"Records delivered: {result.delivered}, waiting: {result.waiting}, dead letters: {result.dead_letters}.")
    if result.error:
        print(f"token-tracker: {result.error}", file=sys.stderr)
    damaged = _damaged(arguments.source or own, own)
    return 1 if result.waiting or result.dead_letters or result.error or damaged else 0


def _sources(source: Path | None, own: Path, settings: Settings, url: DatabaseUrl, *, embedded: bool) -> list[Path]:
    """The files to deliver from. The records of a damaged file are first queued in the configured outbox."""
    if source is None:
        unassigned = _unassigned(settings, url, embedded=embedded)
        return [*existing_outbox_files(own), *(existing_outbox_files(unassigned) if unassigned else [])]
    require_outbox(source)
    if DAMAGED not in source.name:
        return [source]
    from tracker.recording.outbox.drain_command import requeue_salvaged

    try:
        print(f"{requeue_salvaged(source, own, settings.outbox_max_mb)} records salvaged from {source}.")
    except OSError as error:
        raise OutboxError(
            "outbox_damaged",
            f"The file {source} can't be read: {error.strerror}. Check the disk and the file's permissions.",
        ) from None
    return [own]


def _unassigned(settings: Settings, url: DatabaseUrl, *, embedded: bool) -> Path | None:
    """The file of records that were queued without a database URL; None if they belong elsewhere."""
    return embedded_source(settings) if embedded else unassigned_file(settings, url)


def _url(settings: Settings) -> DatabaseUrl | None:
    return clean(settings.database_url, settings.database_url_variable) if settings.database_url else None


def _origin(path: Path, own: Path, settings: Settings) -> str:
    """Why a file has records, in parentheses; empty for an ordinary outbox."""
    if path == own and settings.database_url:
        return " (of this DATABASE_URL)"
    if path == fallback_file(own):
        return " (written while the outbox of this DATABASE_URL was locked)"
    return " (queued while no database was configured)" if path.name == "unassigned.db" else ""


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
