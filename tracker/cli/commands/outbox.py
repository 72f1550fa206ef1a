"""token-tracker outbox: what waits on this machine, and getting it into the database."""

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
    UNASSIGNED,
    damaged_files,
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
    parser = commands.add_parser("outbox", help="records that wait on this machine")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="every outbox that holds records")
    listing.set_defaults(run=run_list)
    draining = actions.add_parser("drain", help="deliver what waits; exit 1 if records remain")
    draining.add_argument("--from", dest="source", type=Path, metavar="PATH", help="this outbox instead of our own")
    draining.add_argument(
        "--timeout", type=command_setup.number, default=_TIMEOUT_S, metavar="S", help="seconds (default 60)"
    )
    draining.add_argument(
        "--set-aside", action="store_true", help="also try the records again that the database refused"
    )
    draining.add_argument(
        "--embedded", action="store_true", help="into this machine's embedded database; nothing else delivers there"
    )
    draining.set_defaults(run=run_drain)


def run_list(_: argparse.Namespace) -> int:
    found = settings_module.load()
    own = outbox_file(found, _url(found))
    files = dict.fromkeys([own, fallback_file(own), *outbox_files(outbox_directory(found.runtime))])
    shown, unreadable = 0, 0
    for path in filter(exists, files):
        try:
            shown += _show(path, own, found)
        except OutboxError as error:
            print(f"token-tracker: {error}", file=sys.stderr)
            unreadable += error.code != "outbox_foreign"  # somebody else's file is no fault of ours
    damaged = _damaged(own, outbox_directory(found.runtime) / own.name)
    if not shown and not damaged and not unreadable:
        print(f"Nothing waits in {outbox_directory(found.runtime)}.")
    return 1 if damaged or unreadable else 0


def _show(path: Path, own: Path, found: Settings) -> bool:
    """Whether the outbox holds records, which are then shown. Raises `OutboxError`."""
    with closing(Outbox(path)) as outbox:
        depth = outbox.depth()
        if not depth.waiting and not depth.dead_letters:
            return False
        age = f", the oldest for {_duration(time.time() - depth.oldest_at)}" if depth.oldest_at else ""
        print(f"{path}{_whose(path, own, found)}")
        print(f"  {depth.waiting} waiting{age}; {depth.dead_letters} set aside")
        for record, reason in outbox.dead_letters():
            print(f"  set aside: {record.id}: {reason}")
    return True


def _damaged(*outboxes: Path) -> int:
    """Name the damaged files in these outboxes' directories on standard error; how many there are."""
    files = dict.fromkeys(damaged for path in outboxes for damaged in damaged_files(path))
    for damaged in files:
        try:
            found = salvage(damaged)
            what = f"{len(found.waiting) + len(found.dead_letters)} of its records can be read"
        except OSError as error:
            what = f"it can't be read ({error.strerror})"
        print(
            f"token-tracker: {damaged} is a damaged outbox; {what}. Deliver them: token-tracker outbox drain --from"
            f" {damaged}",
            file=sys.stderr,
        )
    return len(files)


def run_drain(arguments: argparse.Namespace) -> int:
    if not 0 < arguments.timeout <= 86_400:
        raise SettingError(f"--timeout holds {arguments.timeout:g}; it may hold seconds from 1 to 86400.")
    found = settings_module.load()
    url = locate(found._replace(database_url=None)).url if arguments.embedded else _url(found)
    if url is None:
        raise SettingError(
            "DATABASE_URL is not set, so nobody knows where the records belong; set it to"
            " postgresql://user:password@host:5432/database, or deliver them into this machine's embedded database:"
            " token-tracker outbox drain --embedded."
        )
    if arguments.source is not None and not exists(arguments.source):
        raise SettingError(f"--from names {str(arguments.source)!r}, which isn't there.")
    own = outbox_file(found, url)
    sources = _sources(arguments.source, own, found, url, embedded=arguments.embedded)
    from tracker.recording.outbox.drain_command import drain

    left = drain(sources, url, found, application_name(found.runtime), arguments.timeout, arguments.set_aside)
    print(f"{left.delivered} records delivered, {left.waiting} still waiting, {left.dead_letters} set aside.")
    if left.error:
        print(f"token-tracker: {left.error}", file=sys.stderr)
    damaged = _damaged(arguments.source or own, own)
    return 1 if left.waiting or left.dead_letters or left.error or damaged else 0


def _sources(source: Path | None, own: Path, found: Settings, url: DatabaseUrl, *, embedded: bool) -> list[Path]:
    """The files to deliver from. The records of a damaged file are first queued in our own."""
    if source is None:
        unassigned = _unassigned(found, url, embedded=embedded)
        return [*existing_outbox_files(own), *(existing_outbox_files(unassigned) if unassigned else [])]
    require_outbox(source)
    if DAMAGED not in source.name:
        return [source]
    from tracker.recording.outbox.drain_command import requeue_salvaged

    try:
        print(f"{requeue_salvaged(source, own, found.outbox_max_mb)} records salvaged from {source}.")
    except OSError as error:
        raise OutboxError(
            "outbox_damaged", f"The file {source} can't be read: {error.strerror}. Check the disk and its rights."
        ) from None
    return [own]


def _unassigned(found: Settings, url: DatabaseUrl, *, embedded: bool) -> Path | None:
    """What was queued without an address; it goes into the embedded database only where that is asked for."""
    if not embedded:
        return unassigned_file(found, url)
    path = outbox_directory(found.runtime) / UNASSIGNED
    return path if not found.outbox and exists(path) else None


def _url(found: Settings) -> DatabaseUrl | None:
    return clean(found.database_url, found.database_url_variable) if found.database_url else None


def _whose(path: Path, own: Path, found: Settings) -> str:
    if path == own and found.database_url:
        return " (of this DATABASE_URL)"
    if path == fallback_file(own):
        return " (written while the outbox of this DATABASE_URL was locked)"
    return " (queued while no database was named)" if path.name == "unassigned.db" else ""


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
