"""The records of a file as names and values: CSV, JSON lines, or JSON with an array or pages of buckets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TextIO

from tracker.errors import SettingError
from tracker.sources.csv_lines import CsvRecords

_PEEK = 65_536
_LONGEST_LINE = 8_000_000
_LONGEST_DOCUMENT = 256_000_000


class Found(NamedTuple):
    """A record and where it begins, or what is wrong there; `cells` is the record as it came."""

    line: int
    values: Mapping[str, Any]
    cells: list[str]
    problem: str | None = None


def kind_of(file: TextIO) -> str:
    """What the file holds by its first characters: csv, json or jsonl. It is left at its beginning."""
    if not file.seekable():
        return "csv"  # a pipe can't be read twice
    head = file.read(_PEEK)
    file.seek(0)
    head = head.lstrip()
    if head[:1] not in {"[", "{"}:
        return "csv"
    # An object that is spread over lines is one document; an object that ends with its line is one of many.
    return "json" if head[0] == "[" or head.partition("\n")[0].strip() == "{" else "jsonl"


def read(file: TextIO, kind: str, within: Sequence[str] = ()) -> Iterator[Found]:
    """Each record; `within` names the lists that records lie in, such as data, then results, whose other values they
    share. The file's text is UTF-8 read with `surrogateescape`. Raises `SettingError` for what can't be read at all.
    """
    if kind == "csv":
        yield from _csv(file)
        return
    for found in _lines(file) if kind == "jsonl" else _document(file):
        if found.problem:
            yield found
        else:
            for values in _unfolded(found.values, within):
                yield Found(found.line, values, [json.dumps(values, ensure_ascii=False)[:100_000]])


def _csv(file: TextIO) -> Iterator[Found]:
    records = CsvRecords(file)
    first = next(iter(records), None)
    if first is None or first.problem or not any(name.strip() for name in first.cells):
        raise SettingError("The file is empty, or its first line doesn't name columns.")
    header = [name.strip() for name in first.cells]
    if double := next((name for name in header if name and header.count(name) > 1), None):
        raise SettingError(f"The file has more than one header {double[:60]!r}.")
    records.width = len(header)
    for line, cells, problem in records:
        yield Found(line, {} if problem else dict(zip(header, cells, strict=True)), cells, problem)


def _lines(file: TextIO) -> Iterator[Found]:
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if len(line) >= _LONGEST_LINE and not line.endswith("\n"):
            while (rest := file.readline(_LONGEST_LINE)) and not rest.endswith("\n"):
                pass
            yield Found(number, {}, [line[:1000]], f"longer than {_LONGEST_LINE:,} characters")
        elif line.strip():
            yield _parsed(number, line.strip())


def _parsed(number: int, text: str) -> Found:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Found(number, {}, [text[:1000]], f"not readable as JSON: {str(error)[:100]}")
    if not isinstance(values, dict):
        return Found(number, {}, [text[:1000]], "not a JSON object")
    return Found(number, values, [])


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
            yield Found(number, values, [])
        else:
            yield Found(number, {}, [json.dumps(values)[:1000]], "not a JSON object")


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
