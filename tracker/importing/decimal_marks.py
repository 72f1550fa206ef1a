"""Normalizes the numbers of a column whose decimal mark may be a point or a comma."""

from __future__ import annotations

import re
from collections.abc import Iterable

MARKS = (".", ",")
# A point or comma, and between digits the group separators of European exports: space, no-break spaces, apostrophe.
_NUMBER = re.compile(r"-?\d[\d.,' \u00a0\u202f\u2019]*|-?[.,]\d+", re.ASCII)
_GROUP = re.compile(r"[' \u00a0\u202f\u2019](?=\d{3}(?!\d))")
_GROUPED = re.compile(r"-?[1-9]\d{0,2}(?:[.,]\d{3})+", re.ASCII)


class AmbiguousNumberError(ValueError):
    """A number that can be read in two ways; the text continues the name of its column."""


class DecimalMark:
    """The decimal mark of one column, from `--decimal` or from the values that allow one reading only.

    `1,5` can only have a decimal comma, `1.234,5` too; `1,234` may be 1.234 or 1234. Such a value is read as the
    others of its column, and refused if they are ambiguous too.
    """

    def __init__(self, mark: str | None = None) -> None:
        self._marks = {mark} if mark else set()
        self._is_given = mark is not None

    def detect(self, texts: Iterable[str]) -> None:
        """Detect the decimal mark from the values of a block, before they are normalized."""
        if not self._is_given:
            self._marks.update(mark for text in texts if (mark := _only_mark(text)))

    def normalize(self, text: str) -> str:
        """The number with a decimal point and without groups; a text that is not a number is returned unchanged.

        Raises `AmbiguousNumberError` for a number that can be read in two ways.
        """
        text = text.strip()
        if not _NUMBER.fullmatch(text) or not any(mark in text for mark in MARKS):
            return _GROUP.sub("", text) if _NUMBER.fullmatch(text) else text
        mark = next(iter(self._marks)) if self._is_given else _only_mark(text)
        if mark is None:
            if not _GROUPED.fullmatch(text):
                return text
            if len(self._marks) != 1:
                raise AmbiguousNumberError(
                    f"is {text!r}, which has one separator and three digits after it: name the decimal mark with"
                    ' --decimal "," or --decimal "."'
                )
            mark = next(iter(self._marks))
        return _with_point(text, mark)


def _only_mark(text: str) -> str | None:
    """The decimal mark of a number that can be read in one way only; None for an integer or an ambiguous number."""
    text = _GROUP.sub("", text.strip())
    if not _NUMBER.fullmatch(text):
        return None
    present = [mark for mark in MARKS if mark in text]
    if len(present) == 2:  # the last one is the decimal mark: 1.234,5
        return max(MARKS, key=text.rfind)
    if not present:
        return None
    mark = present[0]
    other = MARKS[1 - MARKS.index(mark)]
    if text.count(mark) > 1:  # 1.234.567: groups
        return other if _GROUPED.fullmatch(text) else None
    return None if _GROUPED.fullmatch(text) else mark


def _with_point(text: str, mark: str) -> str:
    """The number in Python's form; one that doesn't fit the mark is returned unchanged."""
    plain = _GROUP.sub("", text)
    other = MARKS[1 - MARKS.index(mark)]
    whole, separator, fraction = plain.partition(mark)
    if other in fraction or mark in fraction:
        return text
    if other in whole:
        if not _GROUPED.fullmatch(whole):
            return text
        whole = whole.replace(other, "")
    return f"{whole or '0'}.{fraction}" if separator else whole
