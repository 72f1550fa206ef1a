"""A file's records → rows, by a profile."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any

from tracker.errors import SettingError, UsageError
from tracker.importing import records
from tracker.importing.cell_parsers import NUMERIC
from tracker.importing.column_mapping import IMPORTABLE, REQUIRED, ColumnMapping
from tracker.importing.input_file import InputFile
from tracker.importing.profile import Profile
from tracker.importing.profile_rules import ColumnRule, as_object, has, pick
from tracker.importing.row_builder import BLOCK_CHARACTERS, BLOCK_ROWS, Block, Calls, Reading, Reject
from tracker.importing.time_parsers import parse_time
from tracker.providers.consistency import AGGREGATED
from tracker.providers.frameworks.langfuse_usage import read_exported_usage

_SAMPLE = 200
_COUNTED = "counted"


def read_calls(
    file: InputFile,
    profile: Profile,
    asked: tuple[str, ...] = (),
    *,
    decimal: str | None = None,
) -> Iterator[Calls | Reject | None]:
    """Yield None once the first records are read and fit, then the rows: calls in blocks, each reject by itself.

    Records that the profile leaves out are counted in `file.passed_over`. The names in `asked` must be in the file.
    Raises `SettingError` for a file that doesn't fit, and for a column that there isn't.
    """
    found = records.read(file, profile.within, numeric=_numeric_names(profile), decimal=decimal)
    if profile.langfuse_usage:
        found = _with_counts(found, profile)
    sample = list(islice(found, _SAMPLE))
    mapping = {**_of_our_names(sample, profile), **profile.mapping}
    _check(sample, profile, mapping, asked)
    columns = sorted(mapping)
    if profile.aggregated and "metadata" not in columns:
        columns.append("metadata")
    plan = ColumnMapping({column: column for column in columns}, profile.constants, profile.timezone)
    reading = Reading(plan, columns)
    yield None
    now = datetime.now(UTC)
    rest = chain(sample, found)
    while some := _some(rest):
        lines, texts, origins, identities = [], [], [], []
        for record in some:
            cells = _cells(record, profile, mapping, columns, now)
            if isinstance(cells, str):
                yield Reject(record.line, cells, record.cells)
            elif cells is None:
                file.passed_over += 1
            else:
                lines.append(record.line)
                texts.append(cells)
                origins.append(record.cells)
                identities.append(_identity(record.values, profile))
        yield from reading.block(Block(lines, list(zip(*texts, strict=True)), origins, identities))


def _numeric_names(profile: Profile) -> frozenset[str]:
    """The names in the file whose values are numbers for the profile."""
    rules = [rule for column, rule in profile.mapping.items() if column in NUMERIC]
    return NUMERIC.union(*((*rule.first, *rule.sum, *rule.cents) for rule in rules))


def _with_counts(found: Iterator[records.Found], profile: Profile) -> Iterator[records.Found]:
    """The records with what Langfuse's usage says, as the object `counted`."""
    for record in found:
        usage = next((one for name in profile.langfuse_usage if (one := as_object(record.values.get(name)))), {})
        is_embedding = str(record.values.get("type", "")).lower() == "embedding"
        counted = read_exported_usage(usage, embedding=is_embedding)
        yield record._replace(values={**record.values, _COUNTED: counted})


def _some(found: Iterator[records.Found]) -> list[records.Found]:
    """As many records as are read together, by their number and their size."""
    some: list[records.Found] = []
    characters = 0
    while len(some) < BLOCK_ROWS and characters < BLOCK_CHARACTERS and (record := next(found, None)):
        some.append(record)
        characters += sum(map(len, record.cells))
    return some


def _cells(
    record: records.Found, profile: Profile, mapping: Mapping[str, ColumnRule], columns: list[str], now: datetime
) -> list[str] | str | None:
    """The record's texts by column, None if the profile leaves it out, or what is wrong with it."""
    if record.problem:
        return record.problem
    if not _counts(record.values, profile):
        return None
    try:
        cells = [mapping[column].text(record.values, column) if column in mapping else "" for column in columns]
        _check_over(record.values, profile, now)
    except UsageError as error:
        return str(error)
    if profile.aggregated:
        place = columns.index("metadata")
        cells[place] = json.dumps({**json.loads(cells[place] or "{}"), "usage_problem": AGGREGATED}, ensure_ascii=False)
    return cells


def _of_our_names(sample: list[records.Found], profile: Profile) -> dict[str, ColumnRule]:
    """Values that have our names already, as in a file without a profile."""
    if profile.identity or profile.within:
        return {}  # another's names, whatever they are called
    names = {name for record in sample for name in record.values}
    return {name: ColumnRule(first=(name,)) for name in IMPORTABLE if name in names and name not in profile.constants}


def _check(
    sample: list[records.Found], profile: Profile, mapping: Mapping[str, ColumnRule], asked: tuple[str, ...]
) -> None:
    for column in (*mapping, *profile.constants):
        if column not in IMPORTABLE:
            raise SettingError(f"There is no column {column[:60]!r}; there are: {', '.join(IMPORTABLE)}.")
    whole = [record.values for record in sample if not record.problem]
    there = sorted({name for values in whole for name in values})
    shown = f"it has: {', '.join(there)[:300]}"
    for column in REQUIRED:
        if column not in mapping and column not in profile.constants:
            raise SettingError(f"Nothing gives {column}: say --map {column}=NAME or --set {column}=VALUE; {shown}.")
    if not whole:
        return
    for column in REQUIRED:
        names = mapping[column].names if column in mapping else ()
        if names and not any(has(values, name) for values in whole for name in names):
            in_file = profile.langfuse_usage if names[0].startswith(f"{_COUNTED}.") else names
            wanted = " or ".join(in_file)[:200]
            expected = f" The profile is for {profile.title}." if profile.title else ""
            raise SettingError(f"The file has no {wanted!r} (for {column}); {shown}.{expected}")
    for name in asked:
        if not any(has(values, name) for values in whole):
            raise SettingError(f"The file has no {name[:60]!r}; {shown}.")


def _counts(values: Mapping[str, Any], profile: Profile) -> bool:
    if not _matches(values, profile.only) or any(_matches(values, table) for table in profile.skip):
        return False
    return all(str(pick(values, name) or "").strip() for name in profile.needs)


def _matches(values: Mapping[str, Any], wanted: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether each name has one of its values, in lower case; a name without a value has the value ""."""
    found = {name: pick(values, name) for name in wanted}
    return all(("" if found[name] is None else str(found[name]).strip().lower()) in wanted[name] for name in wanted)


def _identity(values: Mapping[str, Any], profile: Profile) -> str | None:
    """What tells this record from others, as one text; None where nothing does."""
    parts = {name: str(value) for name in profile.identity if (value := pick(values, name)) not in {None, ""}}
    return json.dumps({"profile": profile.name, **parts}, sort_keys=True) if parts else None


def _check_over(values: Mapping[str, Any], profile: Profile, now: datetime) -> None:
    """Raise `UsageError` for a stretch of time that still runs: stored now, it would stay what it is now."""
    for name in profile.ends:
        try:
            moment = parse_time(ColumnRule(first=(name,)).text(values, "created_at"), profile.timezone)
        except ValueError:
            continue
        if moment > now:
            raise UsageError("this stretch of time isn't over yet: export it again when it is")
