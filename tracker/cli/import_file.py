"""token-tracker import: load calls from a file, each once however often the file is imported."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from tracker.cli import common
from tracker.errors import SettingError
from tracker.recording.batch import BatchWriter, Refused
from tracker.recording.copying import CopyWriter
from tracker.sources import profiled
from tracker.sources.csv_file import read_calls
from tracker.sources.log_lines import read_records
from tracker.sources.plan import CsvPlan
from tracker.sources.profile import Profile, find, ready, save
from tracker.sources.reading import Calls, Reject
from tracker.sources.records import kind_of
from tracker.sources.rejects import RejectsFile, checked
from tracker.sources.rules import Rule


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("import", help="load calls from CSV or JSON, or replay a log")
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="COLUMN=HEADER",
        help="the file's name for a column of ours; a.b is b in the object a",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="COLUMN=VALUE",
        help="one value for a column of every row",
    )
    parser.add_argument("--timezone", metavar="ZONE", help="of times without a zone (default UTC)")
    parser.add_argument("--rejects", type=Path, metavar="FILE", help="where broken rows go (default NAME.rejects.csv)")
    parser.add_argument(
        "--profile",
        metavar="NAME",
        help="what the file is: "
        + ", ".join(("tracker-log", *ready()))
        + ", one of your own, or a .toml file. tracker-log is a platform's log with records that couldn't be delivered",
    )
    parser.add_argument("--save-profile", metavar="NAME", help="keep --map, --set and --timezone for the next file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    return _run_log(arguments) if arguments.profile == "tracker-log" else _run_file(arguments)


def _open(path: Path, *, errors: str, newline: str | None = None) -> TextIO:
    """Raises `SettingError`: what can't be opened is found wrong before anything is tried."""
    try:
        return path.open("r", encoding="utf-8-sig", errors=errors, newline=newline)
    except OSError as error:
        raise SettingError(f"{path}: {error.strerror}.") from None


def _run_log(arguments: argparse.Namespace) -> int:
    """Replay the records in a platform's log, each by its id."""
    if arguments.map or arguments.set or arguments.save_profile:
        raise SettingError("--map, --set and --save-profile don't go with a log, whose records say everything.")
    problems: list[tuple[int, str]] = []
    with _open(arguments.file, errors="replace") as file:
        database = common.database()
        with closing(database.connect()) as connection:
            writer = BatchWriter(connection, database.url.schema)
            for line, found in read_records(file):
                if isinstance(found, str):
                    problems.append((line, found))
                else:
                    problems += writer.add(found, line)
            problems += writer.flush()
    print(
        f"{writer.count + len(problems)} records read: {writer.new} recorded, {writer.known} already there,"
        f" {len(problems)} rejected."
    )
    for line, reason in sorted(problems):
        print(f"token-tracker: line {line}: {reason}", file=sys.stderr)
    return 1 if problems else 0


def _run_file(arguments: argparse.Namespace) -> int:
    with _open(arguments.file, errors="surrogateescape", newline="") as file:
        path = checked(arguments.rejects, arguments.file)
        calls = _calls(file, arguments)
        next(calls)  # reads the first records: what is wrong with the call is said before anything is tried
        if arguments.save_profile:
            _save(arguments)
        database = common.database()
        with (
            closing(database.connect()) as connection,
            RejectsFile(path) as rejects,
            CopyWriter(connection, database.url.schema) as writer,
        ):
            try:
                _store(calls, writer, rejects, lambda: _share(file))
            except KeyboardInterrupt:
                writer.flush()  # what is on its way arrives, and is counted
                print(
                    f"token-tracker: Interrupted; {writer.new} rows are recorded. The same command adds the rest.",
                    file=sys.stderr,
                )
                return 130
    print(
        f"{writer.count + rejects.count} rows read: {writer.new} recorded, {writer.known} already there,"
        f" {rejects.count} rejected."
    )
    if rejects.first:
        first = rejects.first
        print(
            f"token-tracker: Rejected rows are in {path}; first, line {first.line}: {first.reason}",
            file=sys.stderr,
        )
    return 1 if rejects.count else 0


def _calls(file: TextIO, arguments: argparse.Namespace) -> Iterator[Calls | Reject | None]:
    """The file's calls; a CSV without a profile, or with a plain one, the fast way."""
    mapping, constants = pairs("--map", arguments.map), pairs("--set", arguments.set)
    profile = find(arguments.profile) if arguments.profile else Profile("")
    kept = {column: rule for column, rule in profile.mapping.items() if column not in constants}
    profile = replace(
        profile,
        mapping={**kept, **{column: Rule(first=(header,)) for column, header in mapping.items()}},
        constants={**profile.constants, **constants},
        timezone=common.zone(arguments.timezone or profile.timezone),
    )
    kind = kind_of(file)
    if kind == "csv" and (plain := profile.plain) is not None:
        return read_calls(file, CsvPlan(plain, profile.constants, profile.timezone))
    return profiled.read_calls(file, kind, profile, tuple(mapping.values()))


def _save(arguments: argparse.Namespace) -> None:
    if arguments.profile:
        raise SettingError("--save-profile keeps --map, --set and --timezone; it doesn't go with --profile.")
    zone = arguments.timezone or "UTC"
    path = save(arguments.save_profile, pairs("--map", arguments.map), pairs("--set", arguments.set), zone)
    print(f"The profile is kept in {path}: --profile {arguments.save_profile}.", file=sys.stderr)


def _share(file: TextIO) -> float:
    """How much of a file is read; of a pipe nobody knows."""
    return file.buffer.tell() / max(1, os.fstat(file.fileno()).st_size) if file.seekable() else 0.0


def _store(found: Any, writer: CopyWriter, rejects: RejectsFile, share: Callable[[], float]) -> None:
    def reject(refused: Refused) -> None:
        for (line, cells), reason in refused:
            rejects.add(Reject(line, reason, cells))

    bar = common.Bar("read")
    for rows in found:
        if isinstance(rows, Reject):
            rejects.add(rows)
        else:
            reject(writer.add(rows))
            bar.show(share())
    reject(writer.flush())
    bar.end()


def pairs(option: str, texts: list[str]) -> dict[str, str]:
    """COLUMN=VALUE, each column once. Raises `SettingError`."""
    pairs = {}
    for text in texts:
        column, equals, value = text.partition("=")
        if not equals or not column:
            raise SettingError(f"{option} holds {text[:60]!r}; it may hold COLUMN=VALUE.")
        if column in pairs:
            raise SettingError(f"{option} names {column!r} twice.")
        pairs[column] = value
    return pairs
