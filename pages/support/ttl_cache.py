"""Answers that all readers share for a while: what costs much and changes slowly is asked once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import TypeVar

T = TypeVar("T")

_MOST = 200
_lock = threading.Lock()
_answers: dict[Hashable, tuple[float, object]] = {}
_asking: dict[Hashable, threading.Lock] = {}


def shared(key: Hashable, seconds: float, ask: Callable[[], T]) -> T:
    """The answer under `key`, at most `seconds` old; while one reader asks, the others wait for the same answer."""
    with _lock:
        turn = _asking.setdefault(key, threading.Lock())
    with turn:
        asked_at, answer = _answers.get(key, (float("-inf"), None))
        if time.monotonic() - asked_at > seconds:
            answer = ask()
            with _lock:
                if len(_answers) > _MOST:
                    _answers.clear()
                    _asking.clear()
                _answers[key] = time.monotonic(), answer
    return answer  # type: ignore[return-value]
