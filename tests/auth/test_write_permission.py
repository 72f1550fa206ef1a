"""Who may save on the pages, for each kind of sign-in."""

from __future__ import annotations

import pytest

from tracker.auth.access_policy import resolve_policy
from tracker.auth.password_hash import hash_password
from tracker.settings import load


@pytest.mark.parametrize(
    ("env", "login", "expected"),
    [
        ({}, False, True),
        ({}, True, True),
        ({"TRACKER_DASHBOARD_OPEN": "true"}, False, False),
        ({"TRACKER_DASHBOARD_OPEN": "true", "TRACKER_DASHBOARD_WRITE": "true"}, False, True),
        ({"TRACKER_DASHBOARD_OPEN": "true"}, True, True),
        ({"TRACKER_DASHBOARD_WRITE": "false"}, True, False),
    ],
)
def test_an_open_dashboard_needs_a_setting_to_write(env: dict[str, str], login: bool, expected: bool) -> None:
    settings = load(env)
    assert resolve_policy(settings, login=login, bound_to="127.0.0.1").allows_writes is expected


def test_a_shared_password_may_write() -> None:
    settings = load(
        {"TRACKER_DASHBOARD_OPEN": "true", "TRACKER_DASHBOARD_PASSWORD_HASH": str(hash_password("long password"))}
    )
    assert resolve_policy(settings, login=False, bound_to="127.0.0.1").allows_writes
