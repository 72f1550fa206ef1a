"""A value's colour: the same on every page and in every range, for as long as the dashboard runs."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable

OTHER = "others"
_SLOTS = 10
_lock = threading.Lock()
_taken: defaultdict[str, list[str]] = defaultdict(list)


def domain(names: Iterable[str], column: str = "model") -> list[str]:
    """The names in the order of the theme's ten colours, those seen before first; the last colour is for the others."""
    with _lock:
        taken = _taken[column]
        for name in names:
            if name not in taken and name != OTHER and len(taken) < _SLOTS - 1:
                taken.append(name)
        return [*taken, *[f"\u200b{slot}" for slot in range(_SLOTS - 1 - len(taken))], OTHER]


def fold(name: str, known: list[str]) -> str:
    """The name itself if it has a colour, else `OTHER`."""
    return name if name in known else OTHER
