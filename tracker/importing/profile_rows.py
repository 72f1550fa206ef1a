"""Builds rows from a file's records by the rules of a profile."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any

from tracker.errors import SettingError, UsageError
from tracker.importing import records
from tracker.importing.cell_parsers import NUMERIC
from tracker.importing.column_mapping import IMPORTABLE, REQUIRED, ColumnMapping
from tracker.importing.input_file import InputFile
from tracker.importing.metadata_rules import fold_properties
from tracker.importing.profile import Profile
from tracker.importing.profile_rules import ColumnRule, as_object, has, pick
from tracker.importing.row_builder import BLOCK_CHARACTERS, BLOCK_ROWS, RecordBlock, Reject, RowBlock, RowBuilder
from tracker.importing.time_parsers import parse_time
from tracker.providers.consistency import AGGREGATED
from tracker.providers.frameworks.langfuse_usage import read_exported_usage

_SAMPLE = 200
_COUNTED = "counted"


def read_calls(
    file: InputFile,
    profile: Profile,
    required: tuple[str, ...] = (),
    *,
    decimal: str | None = None,
) -> Iterator[RowBlock | Reject | None]:
    """Yield None once the first records are read and valid, then blocks of rows, and each reject by itself.

    `file.skipped` counts the records that the profile skips. The file must have the names in `required`. Raises
    `SettingError` for a file that doesn't fit the profile, and for an unknown column.
    """
    file_records = records.read(file, profile.within, numeric=_numeric_names(profile), decimal=decimal)
    if profile.langfuse_usage:
        file_records = _with_langfuse_usage(file_records, profile)
    sample = list(islice(file_records, _SAMPLE))
    rules = {**_rules_for_column_names(sample, profile), **profile.mapping}
    mapping, constants = fold_properties(rules, profile.constants)
    profile = replace(profile, constants=constants)
    _check(sample, profile, mapping, required)
    columns = sorted(mapping)
    if profile.aggregated and "metadata" not in columns:
        columns.append("metadata")
    column_mapping = ColumnMapping({column: column for column in columns}, profile.constants, profile.timezone)
    builder = RowBuilder(column_mapping, columns)
    yield None
    now = datetime.now(UTC)
    remaining = chain(sample, file_records)
    while block := _next_block(remaining):
        lines, texts, origins, identities = [], [], [], []
        for record in block:
            cells = _cells(record, profile, mapping, columns, now)
            if isinstance(cells, str):
                yield Reject(record.line, cells, record.cells)
            elif cells is None:
                file.skipped += 1
            else:
                lines.append(record.line)
                texts.append(cells)
                origins.append(record.cells)
                identities.append(_identity(record.values, profile))
        yield from builder.build(RecordBlock(lines, list(zip(*texts, strict=True)), origins, identities))


def _numeric_names(profile: Profile) -> frozenset[str]:
    """The names in the file whose values the profile reads as numbers."""
    rules = [rule for column, rule in profile.mapping.items() if column in NUMERIC]
    return NUMERIC.union(*((*rule.first, *rule.sum, *rule.cents) for rule in rules))


def _with_langfuse_usage(
    file_records: Iterator[records.InputRecord], profile: Profile
) -> Iterator[records.InputRecord]:
    """The records, each with the counts of its Langfuse usage as the object `counted`."""
    for record in file_records:
        usage = next((usage for name in profile.langfuse_usage if (usage := as_object(record.values.get(name)))), {})
        is_embedding = str(record.values.get("type", "")).lower() == "embedding"
        counted = read_exported_usage(usage, embedding=is_embedding)
        yield record._replace(values={**record.values, _COUNTED: counted})


def _next_block(file_records: Iterator[records.InputRecord]) -> list[records.InputRecord]:
    """The records of the next block, limited by number and size."""
    block: list[records.InputRecord] = []
    characters = 0
    while len(block) < BLOCK_ROWS and characters < BLOCK_CHARACTERS and (record := next(file_records, None)):
        block.append(record)
        characters += sum(map(len, record.cells))
    return block


def _cells(
    record: records.InputRecord, profile: Profile, mapping: Mapping[str, ColumnRule], columns: list[str], now: datetime
) -> list[str] | str | None:
    """The record's texts by column, None if the profile skips it, or the reason to reject it."""
    if record.problem:
        return record.problem
    if not _is_imported(record.values, profile):
        return None
    try:
        cells = [mapping[column].text(record.values, column) if column in mapping else "" for column in columns]
        _check_ended(record.values, profile, now)
    except UsageError as error:
        return str(error)
    if profile.aggregated:
        position = columns.index("metadata")
        metadata = {**json.loads(cells[position] or "{}"), "usage_problem": AGGREGATED}
        cells[position] = json.dumps(metadata, ensure_ascii=False)
    return cells


def _rules_for_column_names(sample: list[records.InputRecord], profile: Profile) -> dict[str, ColumnRule]:
    """Rules for values that already have a column's name, as in a file without a profile."""
    if profile.identity or profile.within:
        return {}  # an equal name may mean something else in another product's export
    names = {name for record in sample for name in record.values}
    return {name: ColumnRule(first=(name,)) for name in IMPORTABLE if name in names and name not in profile.constants}


def _check(
    sample: list[records.InputRecord], profile: Profile, mapping: Mapping[str, ColumnRule], required: tuple[str, ...]
) -> None:
    for column in (*mapping, *profile.constants):
        if column not in IMPORTABLE:
            raise SettingError(f"There is no column {column[:60]!r}; there are: {', '.join(IMPORTABLE)}.")
    valid = [record.values for record in sample if not record.problem]
    names_in_file = sorted({name for values in valid for name in values})
    available = f"it has: {', '.join(names_in_file)[:300]}"
    for column in REQUIRED:
        if column not in mapping and column not in profile.constants:
            raise SettingError(
                f"The column {column} has no value: use --map {column}=NAME or --set {column}=VALUE; {available}."
            )
    if not valid:
        return
    for column in REQUIRED:
        names = mapping[column].names if column in mapping else ()
        if names and not any(has(values, name) for values in valid for name in names):
            in_file = profile.langfuse_usage if names[0].startswith(f"{_COUNTED}.") else names
            wanted = " or ".join(in_file)[:200]
            expected = f" The profile is for {profile.title}." if profile.title else ""
            raise SettingError(f"The file has no {wanted!r} (for {column}); {available}.{expected}")
    for name in required:
        if not any(has(values, name) for values in valid):
            raise SettingError(f"The file has no {name[:60]!r}; {available}.")


def _is_imported(values: Mapping[str, Any], profile: Profile) -> bool:
    if not _matches(values, profile.only) or any(_matches(values, table) for table in profile.skip):
        return False
    return all(str(pick(values, name) or "").strip() for name in profile.needs)


def _matches(values: Mapping[str, Any], wanted: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether each name has one of its values, in lower case; a name without a value has the value ""."""
    picked = {name: pick(values, name) for name in wanted}
    return all(("" if picked[name] is None else str(picked[name]).strip().lower()) in wanted[name] for name in wanted)


def _identity(values: Mapping[str, Any], profile: Profile) -> str | None:
    """The values that identify this record, as one text; None if it has none of them."""
    parts = {name: str(value) for name in profile.identity if (value := pick(values, name)) not in {None, ""}}
    return json.dumps({"profile": profile.name, **parts}, sort_keys=True) if parts else None


def _check_ended(values: Mapping[str, Any], profile: Profile, now: datetime) -> None:
    """Raise `UsageError` for a period that has not ended: its counts would never be updated."""
    for name in profile.ends:
        try:
            end = parse_time(ColumnRule(first=(name,)).text(values, "created_at"), profile.timezone)
        except ValueError:
            continue
        if end > now:
            raise UsageError("this period has not ended yet: export it again when it has")
