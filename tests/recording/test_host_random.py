"""A host that has seeded Python's generator gets the numbers that it would get without a recorder."""

from __future__ import annotations

import random

from support import a_call

GONE = "postgresql://u@127.0.0.1:1/db"


def test_retries_and_background_delivery_draw_none_of_the_hosts_random_numbers(new_tracker):
    random.seed(7)
    state = random.getstate()
    new_tracker(database_url=GONE, max_retries=3, deadline_s=1).record(a_call())
    background = new_tracker(database_url=GONE, mode="background", max_retries=1, deadline_s=1)
    background.record(a_call())
    background.flush(0.5)
    assert random.getstate() == state
