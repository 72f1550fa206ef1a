"""A model's colour: the same on every page and in every range, for as long as the dashboard runs."""

from __future__ import annotations

import threading
from collections.abc import Iterable

OTHER = "others"
_SLOTS = 10
_lock = threading.Lock()
_taken: list[str] = []


def domain(names: Iterable[str]) -> list[str]:
    """The names in the order of the theme's ten colours, those seen before first; the last colour is for the others."""
    with _lock:
        for name in names:
            if name not in _taken and name != OTHER and len(_taken) < _SLOTS - 1:
                _taken.append(name)
        return [*_taken, *[f"\u200b{slot}" for slot in range(_SLOTS - 1 - len(_taken))], OTHER]


def fold(name: str, known: list[str]) -> str:
    """The name itself if it has a colour, else `OTHER`."""
    return name if name in known else OTHER
