"""Sessions: whole, ours, in time, and over when somebody signs out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.auth.logins import LIFETIME_S, Sessions, cookies_named


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_session_is_known_in_every_process_with_the_same_hash_and_in_no_other():
    cookie = Sessions("hash").start()
    assert Sessions("hash").find(cookie)
    assert Sessions("another").find(cookie) is None


def test_a_session_expires():
    clock = Clock()
    sessions = Sessions("hash", clock)
    cookie = sessions.start()
    clock.now += LIFETIME_S - 1
    assert sessions.find(cookie)
    clock.now += 1
    assert sessions.find(cookie) is None


def test_who_signed_out_is_out_with_a_copy_of_the_cookie_too():
    sessions = Sessions("hash")
    cookie, other = sessions.start(), sessions.start()
    sessions.end(sessions.find(cookie))
    assert sessions.find(cookie) is None
    assert sessions.find(other)


def test_what_has_expired_is_forgotten():
    clock = Clock()
    sessions = Sessions("hash", clock)
    for _ in range(50):
        sessions.end(sessions.find(sessions.start()))
    clock.now += LIFETIME_S + 1
    sessions.end(sessions.find(sessions.start()))
    assert len(sessions._ended) == 1


@pytest.mark.parametrize("part", [0, 1, 2, 3])
def test_a_cookie_that_was_changed_anywhere_is_no_session(part):
    sessions = Sessions("hash")
    parts = sessions.start().split(".")
    parts[part] = parts[part][:-1] + ("0" if parts[part][-1] != "0" else "1")
    assert sessions.find(".".join(parts)) is None


@given(st.text(max_size=200))
def test_no_text_is_a_session_by_chance(text):
    assert Sessions("hash").find(text) is None


def test_a_browser_may_send_several_cookies_of_one_name():
    assert cookies_named("a", "b=1; a=2; aa=3;a=4=5; junk") == ["2", "4=5"]
