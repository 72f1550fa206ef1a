"""token-tracker outbox: what waits on this machine, and getting it into the database."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from tracker import settings as settings_module
from tracker.cli import common
from tracker.database.locate import locate
from tracker.database.url import DatabaseUrl, clean
from tracker.errors import OutboxError, SettingError
from tracker.recording.outbox import Outbox
from tracker.recording.places import (
    UNASSIGNED,
    exists,
    outbox_directory,
    outbox_file,
    outbox_files,
    unassigned_file,
)
from tracker.runtime import application_name
from tracker.settings import Settings

_TIMEOUT_S = 60.0


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("outbox", help="records that wait on this machine")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="every outbox that holds records")
    listing.set_defaults(run=run_list)
    draining = actions.add_parser("drain", help="deliver what waits; exit 1 if records remain")
    draining.add_argument("--from", dest="source", type=Path, metavar="PATH", help="this outbox instead of our own")
    draining.add_argument("--timeout", type=common.number, default=_TIMEOUT_S, metavar="S", help="seconds (default 60)")
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
    files = dict.fromkeys([own, *outbox_files(outbox_directory(found.runtime))])
    shown = 0
    for path in files:
        if not exists(path):
            continue
        with closing(Outbox(path)) as outbox:
            try:
                depth = outbox.depth()
            except OutboxError as error:
                print(f"token-tracker: {error}", file=sys.stderr)
                continue
            if not depth.waiting and not depth.set_aside:
                continue
            shown += 1
            age = f", the oldest for {_duration(time.time() - depth.oldest_at)}" if depth.oldest_at else ""
            print(f"{path}{_whose(path, own, found)}")
            print(f"  {depth.waiting} waiting{age}; {depth.set_aside} set aside")
            for record, reason in outbox.refused():
                print(f"  set aside: {record.id}: {reason}")
    if not shown:
        print(f"Nothing waits in {outbox_directory(found.runtime)}.")
    return 0


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
    path = arguments.source or outbox_file(found, url)
    sources = [path] if exists(path) else []
    if arguments.source is None and (unassigned := _unassigned(found, url, embedded=arguments.embedded)):
        sources.append(unassigned)
    if arguments.source is not None and not sources:
        raise SettingError(f"--from names {str(path)!r}, which isn't there.")
    from tracker.recording.emptying import drain

    left = drain(sources, url, found, application_name(found.runtime), arguments.timeout, arguments.set_aside)
    print(f"{left.delivered} records delivered, {left.waiting} still waiting, {left.set_aside} set aside.")
    if left.error:
        print(f"token-tracker: {left.error}", file=sys.stderr)
    return 1 if left.waiting or left.set_aside or left.error else 0


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
    return " (queued while no database was named)" if path.name == "unassigned.db" else ""


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
