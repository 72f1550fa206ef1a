"""A background task survives what it meets, and the debug report says how it is doing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support import a_call, eventually

from tracker import settings
from tracker.background_tasks import PeriodicWorker, TaskRunner, background_tasks
from tracker.database.locate import Database
from tracker.database.url import clean
from tracker.diagnostics import report
from tracker.errors import SettingError
from tracker.maintenance import check_budgets, price_new_calls
from tracker.otlp.storing.late_rows import compare_late_rows
from tracker.recording.bulk_insert import BatchWriter
from tracker.reports.connections.sampler import Sampler
from tracker.reports.engine import current_reader
from tracker.reports.engine.reader import Reader


@pytest.fixture(autouse=True)
def own_reader() -> Iterator[None]:
    """No test keeps another one's Reader."""
    yield
    current_reader.close()


def fail() -> None:
    raise ValueError("year 57868 of user u_42 is out of range")


def test_an_exception_ends_one_run_and_the_next_one_works(caplog: pytest.LogCaptureFixture) -> None:
    tasks = TaskRunner()
    tasks.run("price", fail)
    (state,) = tasks.states()
    assert (state["failuresInARow"], state["error"], state["lastSuccessAt"]) == (1, "ValueError", None)
    tasks.run("price", lambda: None)
    (state,) = tasks.states()
    assert (state["failuresInARow"], state["error"]) == (0, None)
    assert state["lastSuccessAt"] == state["lastRunAt"]


def test_a_failure_each_minute_is_one_traceback_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    tasks = TaskRunner(clock=lambda: now[0])
    for minute in range(121):
        now[0] = 60.0 * minute
        tasks.run("price", fail)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 3
    assert tasks.states()[0]["failuresInARow"] == 121


def test_a_sentence_of_ours_is_the_error_and_secrets_are_masked() -> None:
    def fail_with_sentence() -> None:
        raise SettingError("postgresql://user:hunter2@host/db can't be used.")

    tasks = TaskRunner()
    tasks.run("budgets", fail_with_sentence)
    assert tasks.states()[0]["error"] == "postgresql://user:***@host/db can't be used."


def test_a_sentence_of_ours_is_logged_once_an_hour_without_traceback(caplog: pytest.LogCaptureFixture) -> None:
    def fail_with_sentence() -> None:
        raise SettingError("postgresql://user:hunter2@host/db can't be used.")

    now = [0.0]
    tasks = TaskRunner(clock=lambda: now[0])
    for minute in range(121):
        now[0] = 60.0 * minute
        tasks.run("budgets", fail_with_sentence)
    assert [(record.levelno, record.exc_info) for record in caplog.records] == [(logging.WARNING, None)] * 3
    assert "postgresql://user:***@host/db can't be used." in caplog.text


def states() -> dict[str, tuple[int, str | None]]:
    return {state["name"]: (state["failuresInARow"], state["error"]) for state in background_tasks.states()}


MINUTE_TASKS = {
    "compare_late_rows": compare_late_rows,
    "price_new_calls": price_new_calls.price_new_calls,
    "check_budgets": check_budgets.check_budgets,
}


def test_the_minute_tasks_fail_without_a_database_and_recover(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_tasks, "_states", {})
    monkeypatch.setenv("DATABASE_URL", "postgresql://user@127.0.0.1:1/db")
    for name, work in MINUTE_TASKS.items():
        background_tasks.run(name, work)
    found = states()
    assert {name: failures for name, (failures, _) in found.items()} == dict.fromkeys(MINUTE_TASKS, 1)
    assert all("127.0.0.1:1." in (error or "") for _, error in found.values())
    monkeypatch.setenv("DATABASE_URL", database_url)
    for name, work in MINUTE_TASKS.items():
        background_tasks.run(name, work)
    assert states() == dict.fromkeys(MINUTE_TASKS, (0, None))


def test_the_sampler_and_the_refresh_report_their_recovery(
    database_url: str, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("refresh_rollups", "sample_connections")
    monkeypatch.setattr(background_tasks, "_states", {})
    for name in names:
        background_tasks.record_failure(name, ValueError())
    writer = BatchWriter(connection, None)
    writer.add(a_call().as_row(), None)
    writer.flush()
    reader = Reader(Database(clean(database_url), embedded=False, settings=settings.load({})))
    sampler = Sampler(reader)
    try:
        sampler.latest()
        assert states()["sample_connections"] == (0, None)
        reader.freshness()
        assert eventually(lambda: states()["refresh_rollups"] == (0, None), 20)
    finally:
        sampler.stop()
        reader.close()


def test_a_periodic_worker_continues_after_an_exception_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_tasks, "_states", {})
    runs: list[int] = []

    def fail_once() -> None:
        runs.append(len(runs))
        if len(runs) == 1:
            raise ValueError

    worker = PeriodicWorker("test-worker", {"sometimes": fail_once, "never": fail}, lambda _: 0.01, jitter=0.5)
    worker.wake()
    assert eventually(lambda: len(runs) >= 3)
    worker.stop()
    number = len(runs)
    worker.wake()
    assert (len(runs), worker.is_stopped) == (number, True)
    assert states() == {"sometimes": (0, None), "never": (number, "ValueError")}
    assert all(state["nextRunAt"] for state in background_tasks.states())


def test_waking_a_periodic_worker_ends_its_pause_and_restarts_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_tasks, "_states", {})
    runs: list[str] = []
    pause_s, is_needed = [60.0], [True]
    work = {"count": lambda: runs.append(threading.current_thread().name)}
    worker = PeriodicWorker("test-worker", work, lambda _: pause_s[0], is_needed=lambda: is_needed[0])
    worker.wake()
    assert eventually(lambda: len(runs) == 1)
    assert not worker.is_due()
    is_needed[0], pause_s[0] = False, 0.0
    worker.wake()
    assert eventually(worker.is_due)
    assert runs == ["test-worker"]
    is_needed[0], pause_s[0] = True, 0.01
    worker.wake()
    assert eventually(lambda: len(runs) >= 3)
    worker.stop()


def test_the_error_of_a_task_that_was_stopped_is_not_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_tasks, "_states", {})
    started, go_on = threading.Event(), threading.Event()

    def fail_later() -> None:
        started.set()
        go_on.wait(20)
        raise ConnectionError

    worker = PeriodicWorker("test-worker", {"closed": fail_later}, lambda _: 0.0)
    worker.wake()
    assert started.wait(20)
    worker.stop(timeout_s=0.0)
    go_on.set()
    assert eventually(worker.is_due)
    assert states() == {}


def test_the_debug_report_has_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_tasks, "_states", {})
    background_tasks.run("price_new_calls", fail)
    (task,) = report.build_report(limit_s=1).as_dict()["backgroundTasks"]
    assert (task["name"], task["error"]) == ("price_new_calls", "ValueError")
