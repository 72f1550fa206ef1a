"""The health check for monitoring: does the database respond, and does the table have the required columns?"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tracker.errors import DatabaseError, SettingError
from tracker.single_flight import SingleFlight, wait_for

# Limits the load that anonymous callers can cause. A database that fails is reported as healthy for this time.
CACHE_S = 0.2
TIMEOUT_S = 4.0


@dataclass(frozen=True, slots=True)
class Health:
    """`reason` is None when healthy, else a stable word: an error's code, `setting` or `timeout`."""

    reason: str | None

    @property
    def status_code(self) -> int:
        return 503 if self.reason else 200

    def as_dict(self) -> dict[str, str]:
        """The response as JSON. It needs no login, so it contains no host, user or message."""
        return {"status": "unavailable", "reason": self.reason} if self.reason else {"status": "ok"}


class HealthCheck:
    """Runs `probe` in a thread, one at a time; concurrent callers share its result, which is cached for `CACHE_S`."""

    def __init__(self, probe: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._probe = probe
        self._health = SingleFlight("tracker-health", self._run_probe, lambda _: CACHE_S, clock)

    async def __call__(self) -> Health:
        """The health, at most `CACHE_S` old; reason `timeout` if the probe takes longer than `TIMEOUT_S`."""
        return await wait_for(self._health.request(), TIMEOUT_S) or Health("timeout")

    def _run_probe(self) -> Health:
        try:
            self._probe()
        except DatabaseError as error:
            return Health(error.code)
        except SettingError:
            return Health("setting")
        return Health(None)
