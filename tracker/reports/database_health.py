"""Does the database answer, and are the required columns there? Monitors ask it, so it costs little and never hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from tracker.errors import DatabaseError, SettingError

# No longer: within it a database that has just died still counts as well. It bounds what anonymous callers can cost.
CACHE_S = 0.2
ANSWER_S = 4.0


@dataclass(frozen=True, slots=True)
class Health:
    """`reason` is None when healthy, else a stable word: an error's code, `setting` or `timeout`."""

    reason: str | None

    @property
    def status_code(self) -> int:
        return 503 if self.reason else 200

    def as_dict(self) -> dict[str, str]:
        """The answer as JSON; no host, no user, no sentence: nobody had to log in to read it."""
        return {"status": "unavailable", "reason": self.reason} if self.reason else {"status": "ok"}


class HealthCheck:
    """Runs `probe` in a thread, one at a time however many ask; its answer serves everybody for a moment."""

    def __init__(self, probe: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._probe = probe
        self._clock = clock
        self._task: asyncio.Task[Health] | None = None
        self._last: tuple[float, Health] | None = None

    async def __call__(self) -> Health:
        """The state now, or at most `CACHE_S` ago; `timeout` when it takes longer than `ANSWER_S`."""
        if self._last and self._clock() - self._last[0] < CACHE_S:
            return self._last[1]
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._ask())
        try:
            # Shielded: the check goes on behind a reader who left, and a second one joins it instead of a new one.
            return await asyncio.wait_for(asyncio.shield(self._task), ANSWER_S)
        except TimeoutError:
            return Health("timeout")

    async def _ask(self) -> Health:
        health = await asyncio.to_thread(self._state)
        self._last = (self._clock(), health)
        return health

    def _state(self) -> Health:
        try:
            self._probe()
        except DatabaseError as error:
            return Health(error.code)
        except SettingError:
            return Health("setting")
        return Health(None)
