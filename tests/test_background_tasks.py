"""A background task survives what it meets, and the debug report says how it is doing."""

from __future__ import annotations

import logging

import pytest

from tracker.background_tasks import BackgroundTasks, background_tasks
from tracker.diagnostics import report
from tracker.errors import SettingError


def fail() -> None:
    raise ValueError("year 57868 of user u_42 is out of range")


def test_an_exception_ends_one_run_and_the_next_one_works(caplog: pytest.LogCaptureFixture) -> None:
    tasks = BackgroundTasks()
    tasks.run("price", fail)
    (state,) = tasks.states()
    assert (state["failuresInARow"], state["error"], state["lastSuccessAt"]) == (1, "ValueError", None)
    tasks.run("price", lambda: None)
    (state,) = tasks.states()
    assert (state["failuresInARow"], state["error"]) == (0, None)
    assert state["lastSuccessAt"] == state["lastRunAt"]


def test_a_failure_each_minute_is_one_traceback_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    tasks = BackgroundTasks(clock=lambda: now[0])
    for minute in range(121):
        now[0] = 60.0 * minute
        tasks.run("price", fail)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 3
    assert tasks.states()[0]["failuresInARow"] == 121


def test_a_sentence_of_ours_is_the_error_and_secrets_are_masked() -> None:
    def fail_with_sentence() -> None:
        raise SettingError("postgresql://user:hunter2@host/db can't be used.")

    tasks = BackgroundTasks()
    tasks.run("budgets", fail_with_sentence)
    assert tasks.states()[0]["error"] == "postgresql://user:***@host/db can't be used."


def test_the_debug_report_has_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_tasks, "_states", {})
    background_tasks.run("price_new_calls", fail)
    (task,) = report.build(limit_s=1).as_dict()["backgroundTasks"]
    assert (task["name"], task["error"]) == ("price_new_calls", "ValueError")
