"""A set of sequence numbers, stored as ranges: consecutive numbers need constant memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

Range = tuple[int, int]
# Alternating numbers produce many ranges. Above this limit, the lowest two ranges are merged.
MAX_RANGES = 1000


class NumberRanges:
    """A set of sequence numbers.

    >>> numbers = NumberRanges([1, 2, 3, 7])
    >>> numbers.add(6)
    >>> numbers.ranges
    [(1, 3), (6, 7)]
    """

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self.ranges: list[Range] = []
        for number in numbers:
            self.add(number)

    def add(self, number: int) -> None:
        """Add a number; it usually follows the last one."""
        self.add_range((number, number))

    def add_range(self, added: Range) -> None:
        """Add a range of numbers."""
        ranges = self.ranges
        first, last = added
        if ranges and ranges[-1][1] + 1 == first:
            ranges[-1] = (ranges[-1][0], last)
            return
        start = bisect_right(ranges, (first,))
        if start and ranges[start - 1][1] + 1 >= first:
            start -= 1
        end = start
        while end < len(ranges) and ranges[end][0] <= last + 1:
            first, last = min(first, ranges[end][0]), max(last, ranges[end][1])
            end += 1
        ranges[start:end] = [(first, last)]
        if len(ranges) > MAX_RANGES:
            ranges[:2] = [(ranges[0][0], ranges[1][1])]

    def without(self, numbers: Iterable[int]) -> list[Range]:
        """The ranges of this set without these numbers.

        >>> NumberRanges([1, 2, 3, 7]).without([2, 7])
        [(1, 1), (3, 3)]
        """
        left: list[Range] = []
        removed = sorted(set(numbers))
        for first, last in self.ranges:
            for number in removed[bisect_right(removed, first - 1) : bisect_right(removed, last)]:
                if number > first:
                    left.append((first, number - 1))
                first = number + 1
            if first <= last:
                left.append((first, last))
        return left
