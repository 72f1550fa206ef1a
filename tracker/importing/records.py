"""Reads the records of a CSV, JSON lines or JSON file as names and values."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, TextIO

from tracker.errors import SettingError, UsageError
from tracker.importing.csv_lines import CsvRecords
from tracker.importing.decimal_marks import AmbiguousNumberError, DecimalMark
from tracker.importing.input_file import InputFile

_BLOCK_RECORDS = 1000
_MAX_LINE_CHARACTERS = 8_000_000
_MAX_DOCUMENT_CHARACTERS = 256_000_000


class InputRecord(NamedTuple):
    """A record and the line where it begins, or the problem with it; `cells` is the record as the file has it."""

    line: int
    values: Mapping[str, Any]
    cells: Sequence[str] | str
    problem: str | None = None


def read(
    file: InputFile, within: Sequence[str] = (), *, numeric: Collection[str] = (), decimal: str | None = None
) -> Iterator[InputRecord]:
    """Yield each record. `within` names the nested lists that contain the records, such as data, then results; a
    record inherits the other values of these levels. The columns in `numeric` of a CSV file are normalized to a decimal
    point; `decimal` is the decimal mark that the user chose. Raises `SettingError` for an unreadable file.
    """
    if file.kind == "csv":
        csv_records = _csv(file)
        uses_comma = file.delimiter != "," or decimal
        marks = {name: DecimalMark(decimal) for name in numeric}
        yield from _with_points(csv_records, marks) if uses_comma else csv_records
        return
    for record in _lines(file.text) if file.kind == "jsonl" else _document(file.text):
        if record.problem:
            yield record
        else:
            for values in _unfolded(record.values, within):
                yield InputRecord(record.line, values, json.dumps(values, ensure_ascii=False)[:100_000])


def _csv(file: InputFile) -> Iterator[InputRecord]:
    records = CsvRecords(file.text, file.delimiter)
    first = next(iter(records), None)
    if first is None or first.problem or not any(name.strip() for name in first.cells):
        raise SettingError("The file is empty, or its first line doesn't name columns.")
    header = [name.strip() for name in first.cells]
    if double := next((name for name in header if name and header.count(name) > 1), None):
        raise SettingError(f"The file has more than one header {double[:60]!r}.")
    records.width = len(header)
    for line, cells, problem in records:
        yield InputRecord(line, {} if problem else dict(zip(header, cells, strict=True)), cells, problem)


def _with_points(records: Iterator[InputRecord], marks: Mapping[str, DecimalMark]) -> Iterator[InputRecord]:
    """The records with decimal points; the decimal mark of a column is detected from each block in advance."""
    while block := list(islice(records, _BLOCK_RECORDS)):
        for name, mark in marks.items():
            mark.detect(record.values[name] for record in block if name in record.values)
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


def _lines(file: TextIO) -> Iterator[InputRecord]:
    number = 0
    while line := file.readline(_MAX_LINE_CHARACTERS):
        number += 1
        if len(line) >= _MAX_LINE_CHARACTERS and not line.endswith("\n"):
            while (rest := file.readline(_MAX_LINE_CHARACTERS)) and not rest.endswith("\n"):
                pass
            yield InputRecord(number, {}, line[:1000], f"longer than {_MAX_LINE_CHARACTERS:,} characters")
        elif line.strip():
            yield _parsed(number, line.strip())


def _parsed(number: int, text: str) -> InputRecord:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        return InputRecord(number, {}, text[:1000], f"not readable as JSON: {str(error)[:100]}")
    if not isinstance(values, dict):
        return InputRecord(number, {}, text[:1000], "not a JSON object")
    return InputRecord(number, values, "")


def _document(file: TextIO) -> Iterator[InputRecord]:
    """The objects of a document; `line` is the number of the object in an array."""
    text = file.read(_MAX_DOCUMENT_CHARACTERS + 1)
    if len(text) > _MAX_DOCUMENT_CHARACTERS:
        raise SettingError(f"A JSON document may have {_MAX_DOCUMENT_CHARACTERS:,} characters; use JSON lines instead.")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingError(f"The file can't be read as JSON: {str(error)[:100]}.") from None
    for number, values in enumerate(document if isinstance(document, list) else [document], 1):
        if isinstance(values, dict):
            yield InputRecord(number, values, "")
        else:
            yield InputRecord(number, {}, json.dumps(values)[:1000], "not a JSON object")


def _unfolded(values: Mapping[str, Any], within: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """The records in these nested lists; each inherits the values of the outer objects."""
    for depth, name in enumerate(within):
        if isinstance(values.get(name), list):
            outer = {key: value for key, value in values.items() if key != name}
            for inner in values[name]:
                if isinstance(inner, dict):
                    yield from _unfolded({**outer, **inner}, within[depth + 1 :])
            return
    yield values
