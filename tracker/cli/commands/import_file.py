"""token-tracker import: load calls from a file; importing a file again adds no duplicates."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from tracker.cli import command_setup
from tracker.cli.terminal import print_error
from tracker.database.connect import Connection
from tracker.database.locate import Database
from tracker.database.schema import read_table
from tracker.errors import SettingError
from tracker.importing import profile_rows
from tracker.importing.column_mapping import ColumnMapping
from tracker.importing.csv_file import read_calls
from tracker.importing.decimal_marks import MARKS
from tracker.importing.input_file import InputFile
from tracker.importing.log_replay import LogRecords
from tracker.importing.profile import Profile, call_profiles, find_profile, save_profile
from tracker.importing.profile_rules import ColumnRule
from tracker.importing.rejects import RejectsFile, rejects_path
from tracker.importing.row_builder import Reject, RowBlock
from tracker.recording.bulk_insert import BatchWriter, RefusedRows
from tracker.recording.copy import CopyWriter
from tracker.recording.insert import Target, find_missing_ids
from tracker.rollups.pruned_buckets import REASON, PrunedBuckets


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("import", help="load calls from CSV or JSON, or replay a log")
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="COLUMN=HEADER",
        help="read COLUMN from the file's column HEADER; a.b is b in the object a, metadata.KEY a key of metadata",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="COLUMN=VALUE",
        help="set COLUMN to VALUE in every row",
    )
    parser.add_argument("--timezone", metavar="ZONE", help="time zone of times without one (default UTC)")
    parser.add_argument("--decimal", choices=MARKS, help="decimal mark of the numbers, if the file leaves it ambiguous")
    parser.add_argument(
        "--rejects", type=Path, metavar="FILE", help="file for rejected rows (default NAME.rejects.csv)"
    )
    parser.add_argument(
        "--profile",
        metavar="NAME",
        help="format of the file: "
        + ", ".join(("tracker-log", *call_profiles()))
        + ", a saved profile, or a .toml file. tracker-log is a platform's log that contains undelivered records",
    )
    parser.add_argument(
        "--add-to-pruned",
        action="store_true",
        help="also add calls from periods that were pruned; only for calls that were never imported",
    )
    parser.add_argument("--save-profile", metavar="NAME", help="save --map, --set and --timezone as a profile")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    return _run_log(arguments) if arguments.profile == "tracker-log" else _run_file(arguments)


def _run_log(arguments: argparse.Namespace) -> int:
    """Replay the records in a platform's log. Each keeps its id, so a repeated import adds nothing."""
    if arguments.map or arguments.set or arguments.save_profile or arguments.decimal:
        raise SettingError("--map, --set, --save-profile and --decimal don't apply to a log: its records are complete.")
    problems: list[tuple[int, str]] = []
    with InputFile(arguments.file) as file:
        database = command_setup.locate_database()
        with closing(database.connect()) as connection:
            pruned = _pruned(connection, database, arguments)
            writer = BatchWriter(connection, database.url.schema)
            records = LogRecords(file.text)
            for line, record in records:
                if isinstance(record, str):
                    problems.append((line, record))
                elif record["created_at"] in pruned and _absent(connection, database, [str(record["id"])]):
                    problems.append((line, REASON))
                else:
                    problems += writer.add(record, line)
            problems += writer.flush()
        if file.problem:
            problems.append((records.lines, file.problem))
    print(
        f"{writer.count + len(problems)} records read: {writer.new} recorded, {writer.known} already there,"
        f" {len(problems)} rejected."
    )
    if not writer.count and not problems and not file.is_empty:
        problems.append((records.lines, "the file contains no failed or queued record; is it the right log?"))
    for line, reason in sorted(problems):
        print_error(f"line {line}: {reason}")
    return 1 if problems else 0


def _run_file(arguments: argparse.Namespace) -> int:
    with InputFile(arguments.file, newline="") as file:
        path = rejects_path(arguments.rejects, arguments.file)
        calls = _calls(file, arguments)
        next(calls)  # reads the first records, so that invalid arguments are reported before a row is stored
        if arguments.save_profile:
            _save(arguments)
        database = command_setup.locate_database()
        with (
            closing(database.connect()) as connection,
            RejectsFile(path, arguments.file, file.delimiter) as rejects,
            CopyWriter(connection, database.url.schema) as writer,
        ):
            try:
                _store(_unpruned(calls, connection, database, arguments, writer), writer, rejects, file.read_share)
            except KeyboardInterrupt:
                writer.flush()  # store and count the rows that were already sent
                print_error(f"Interrupted; {writer.new} rows are recorded. The same command adds the rest.")
                return 130
    return _report(writer, rejects, path, file)


def _pruned(connection: Connection, database: Database, arguments: argparse.Namespace) -> PrunedBuckets:
    if arguments.add_to_pruned:
        return PrunedBuckets(frozenset())
    return PrunedBuckets.read(connection, read_table(connection, database.url.schema))


def _absent(connection: Connection, database: Database, ids: Sequence[str]) -> set[str]:
    return find_missing_ids(connection, Target.read(connection, database.url.schema), ids)


def _unpruned(
    blocks: Iterator[RowBlock | Reject | None],
    connection: Connection,
    database: Database,
    arguments: argparse.Namespace,
    writer: CopyWriter,
) -> Iterator[RowBlock | Reject]:
    """The file's calls; a call in a pruned 15-minute bucket that is not in the table becomes a reject.

    An id that prune removed looks like a new id: without this check, a repeated import would double the sums.
    """
    pruned = _pruned(connection, database, arguments)
    for rows in blocks:
        if rows is None:
            continue
        if isinstance(rows, Reject) or not (indices := pruned.indices(rows.created_at)):
            yield rows
            continue
        ids = [rows.columns["id"][index] for index in indices]
        writer.wait()  # the writer uses the same connection
        unknown = _absent(connection, database, ids)
        rejected = {index for index, record_id in zip(indices, ids, strict=True) if record_id in unknown}
        for index in sorted(rejected):
            line, cells = rows.source(index)
            yield Reject(line, REASON, cells)
        if len(rejected) < len(rows.created_at):
            yield rows.without(rejected)


def _report(writer: CopyWriter, rejects: RejectsFile, path: Path, file: InputFile) -> int:
    """Print the numbers of recorded and rejected rows; return the exit status."""
    count = writer.count + rejects.count
    print(
        f"{count} rows read: {writer.new} recorded, {writer.known} already there, {rejects.count} rejected"
        + (f", {file.skipped} records skipped." if file.skipped else ".")
    )
    if rejects.first:
        first = rejects.first
        print_error(f"Rejected rows are in {path}; first, line {first.line}: {first.reason}")
    if file.problem:
        print_error(f"{file.path}: {file.problem}")
    is_without_rows = not (count or file.skipped or file.is_empty)
    if is_without_rows:
        print_error(f"{file.path} has no rows: only a header, or an empty list.")
    return 1 if rejects.count or file.problem or is_without_rows else 0


def _calls(file: InputFile, arguments: argparse.Namespace) -> Iterator[RowBlock | Reject | None]:
    """The file's calls. A CSV file without a profile, or with a plain one, takes the fast path."""
    mapping, constants = parse_pairs("--map", arguments.map), parse_pairs("--set", arguments.set)
    profile = find_profile(arguments.profile) if arguments.profile else Profile("")
    profile_rules = {column: rule for column, rule in profile.mapping.items() if column not in constants}
    profile = replace(
        profile,
        mapping={**profile_rules, **{column: ColumnRule(first=(header,)) for column, header in mapping.items()}},
        constants={**profile.constants, **constants},
        timezone=command_setup.check_time_zone(arguments.timezone or profile.timezone),
    )
    if file.kind == "csv" and (plain := profile.plain) is not None:
        plan = ColumnMapping(plain, profile.constants, profile.timezone, arguments.decimal)
        return read_calls(file.text, plan, file.delimiter)
    return profile_rows.read_calls(file, profile, tuple(mapping.values()), decimal=arguments.decimal)


def _save(arguments: argparse.Namespace) -> None:
    if arguments.profile:
        raise SettingError("--save-profile saves --map, --set and --timezone; it can't be combined with --profile.")
    zone = arguments.timezone or "UTC"
    path = save_profile(
        arguments.save_profile, parse_pairs("--map", arguments.map), parse_pairs("--set", arguments.set), zone
    )
    print(f"Saved the profile in {path}. Use it with --profile {arguments.save_profile}.", file=sys.stderr)


def _store(blocks: Any, writer: CopyWriter, rejects: RejectsFile, share: Callable[[], float]) -> None:
    def reject(refused: RefusedRows) -> None:
        for (line, cells), reason in refused:
            rejects.add(Reject(line, reason, cells))

    bar = command_setup.ProgressBar("read")
    for rows in blocks:
        if isinstance(rows, Reject):
            rejects.add(rows)
        else:
            reject(writer.add(rows))
            bar.show(share())
    reject(writer.flush())
    bar.end()


def parse_pairs(option: str, texts: list[str]) -> dict[str, str]:
    """The values of a repeated option COLUMN=VALUE by column. Raises `SettingError`."""
    pairs = {}
    for text in texts:
        column, equals, value = text.partition("=")
        if not equals or not column:
            raise SettingError(f"{option} is {text[:60]!r}; use COLUMN=VALUE.")
        if column in pairs:
            raise SettingError(f"{option} names {column!r} twice.")
        pairs[column] = value
    return pairs
