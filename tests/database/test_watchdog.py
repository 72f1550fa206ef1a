"""The timer runs actions at their times and in order."""

from __future__ import annotations

import threading
import time

import pytest

from tracker.database.watchdog import Timer


def test_an_action_runs_at_its_time_and_not_before():
    done, ran_at = threading.Event(), []
    due = time.monotonic() + 0.1

    def act() -> None:
        ran_at.append(time.monotonic())
        done.set()

    Timer().schedule(due, act)
    assert done.wait(5)
    assert due <= ran_at[0] < due + 0.5


def test_actions_run_in_the_order_of_their_times():
    timer, done, order = Timer(), threading.Event(), []
    now = time.monotonic()
    for delay in (0.15, 0.05, 0.1):
        timer.schedule(now + delay, lambda delay=delay: order.append(delay))
    timer.schedule(now + 0.2, done.set)
    assert done.wait(5)
    assert order == [0.05, 0.1, 0.15]


def test_an_action_may_ask_for_another():
    timer, done = Timer(), threading.Event()
    timer.schedule(time.monotonic(), lambda: timer.schedule(time.monotonic() + 0.01, done.set))
    assert done.wait(5)


@pytest.mark.parametrize("far", [1e9, 1e12, float("inf")])
def test_a_time_farther_away_than_any_thread_can_wait_stops_nothing(far):
    timer, done = Timer(), threading.Event()
    timer.schedule(time.monotonic() + far, lambda: None)
    timer.schedule(time.monotonic() + 0.05, lambda: timer.schedule(time.monotonic() + 0.05, done.set))
    assert done.wait(5)
