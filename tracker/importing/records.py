"""The records of a file as names and values: CSV, JSON lines, or JSON with an array or pages of buckets."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, TextIO

from tracker.errors import SettingError, UsageError
from tracker.importing.csv_lines import CsvRecords
from tracker.importing.decimal_marks import AmbiguousNumberError, DecimalMark
from tracker.importing.input_file import InputFile

_BLOCK = 1000
_LONGEST_LINE = 8_000_000
_LONGEST_DOCUMENT = 256_000_000


class Found(NamedTuple):
    """A record and where it begins, or what is wrong with it; `cells` is the record as the file has it."""

    line: int
    values: Mapping[str, Any]
    cells: Sequence[str] | str
    problem: str | None = None


def read(
    file: InputFile, within: Sequence[str] = (), *, numeric: Collection[str] = (), decimal: str | None = None
) -> Iterator[Found]:
    """Each record; `within` names the lists that records are in, such as data, then results, whose other values they
    share. The columns in `numeric` of a CSV file get a decimal point, whatever decimal mark they have; `decimal` is the
    mark that the user named. Raises `SettingError` for a file that can't be read at all.
    """
    if file.kind == "csv":
        found = _csv(file)
        uses_comma = file.delimiter != "," or decimal
        yield from _with_points(found, {name: DecimalMark(decimal) for name in numeric}) if uses_comma else found
        return
    for record in _lines(file.text) if file.kind == "jsonl" else _document(file.text):
        if record.problem:
            yield record
        else:
            for values in _unfolded(record.values, within):
                yield Found(record.line, values, json.dumps(values, ensure_ascii=False)[:100_000])


def _csv(file: InputFile) -> Iterator[Found]:
    records = CsvRecords(file.text, file.delimiter)
    first = next(iter(records), None)
    if first is None or first.problem or not any(name.strip() for name in first.cells):
        raise SettingError("The file is empty, or its first line doesn't name columns.")
    header = [name.strip() for name in first.cells]
    if double := next((name for name in header if name and header.count(name) > 1), None):
        raise SettingError(f"The file has more than one header {double[:60]!r}.")
    records.width = len(header)
    for line, cells, problem in records:
        yield Found(line, {} if problem else dict(zip(header, cells, strict=True)), cells, problem)


def _with_points(records: Iterator[Found], marks: Mapping[str, DecimalMark]) -> Iterator[Found]:
    """The records with numbers that Python reads; the decimal mark of a column is learned a block ahead."""
    while block := list(islice(records, _BLOCK)):
        for name, mark in marks.items():
            mark.learn(record.values[name] for record in block if name in record.values)
        for record in block:
            try:
                yield record._replace(values=_normalized(record.values, marks))
            except UsageError as error:
                yield record._replace(values={}, problem=str(error))


def _normalized(values: Mapping[str, Any], marks: Mapping[str, DecimalMark]) -> Mapping[str, Any]:
    normalized = dict(values)
    for name, mark in marks.items():
        if name in normalized:
            try:
                normalized[name] = mark.normalize(normalized[name])
            except AmbiguousNumberError as error:
                raise UsageError(f"{name} {error}") from None
    return normalized


def _lines(file: TextIO) -> Iterator[Found]:
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if len(line) >= _LONGEST_LINE and not line.endswith("\n"):
            while (rest := file.readline(_LONGEST_LINE)) and not rest.endswith("\n"):
                pass
            yield Found(number, {}, line[:1000], f"longer than {_LONGEST_LINE:,} characters")
        elif line.strip():
            yield _parsed(number, line.strip())


def _parsed(number: int, text: str) -> Found:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Found(number, {}, text[:1000], f"not readable as JSON: {str(error)[:100]}")
    if not isinstance(values, dict):
        return Found(number, {}, text[:1000], "not a JSON object")
    return Found(number, values, "")


def _document(file: TextIO) -> Iterator[Found]:
    """A document's objects; an array's are numbered, since nobody counts its lines."""
    text = file.read(_LONGEST_DOCUMENT + 1)
    if len(text) > _LONGEST_DOCUMENT:
        raise SettingError(
            f"A JSON document may hold {_LONGEST_DOCUMENT:,} characters; write one object a line instead."
        )
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingError(f"The file can't be read as JSON: {str(error)[:100]}.") from None
    for number, values in enumerate(document if isinstance(document, list) else [document], 1):
        if isinstance(values, dict):
            yield Found(number, values, "")
        else:
            yield Found(number, {}, json.dumps(values)[:1000], "not a JSON object")


def _unfolded(values: Mapping[str, Any], within: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """The records in these lists, each with the values around it that it doesn't have itself."""
    for depth, name in enumerate(within):
        if isinstance(values.get(name), list):
            around = {key: value for key, value in values.items() if key != name}
            for inner in values[name]:
                if isinstance(inner, dict):
                    yield from _unfolded({**around, **inner}, within[depth + 1 :])
            return
    yield values
