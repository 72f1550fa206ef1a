"""Logins: signature, expiry, and sign-out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.auth.logins import LIFETIME_S, Logins, cookie_values


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_login_is_valid_in_each_process_with_the_same_hash_only():
    cookie = Logins("hash").create()
    assert Logins("hash").verify(cookie)
    assert Logins("another").verify(cookie) is None


def test_a_login_expires():
    clock = Clock()
    logins = Logins("hash", clock)
    cookie = logins.create()
    clock.now += LIFETIME_S - 1
    assert logins.verify(cookie)
    clock.now += 1
    assert logins.verify(cookie) is None


def test_signing_out_invalidates_every_copy_of_the_cookie():
    logins = Logins("hash")
    cookie, other = logins.create(), logins.create()
    logins.end(logins.verify(cookie))
    assert logins.verify(cookie) is None
    assert logins.verify(other)


def test_expired_logins_are_removed_from_memory():
    clock = Clock()
    logins = Logins("hash", clock)
    for _ in range(50):
        logins.end(logins.verify(logins.create()))
    clock.now += LIFETIME_S + 1
    logins.end(logins.verify(logins.create()))
    assert len(logins._ended) == 1


@pytest.mark.parametrize("part", [0, 1, 2, 3])
def test_a_changed_cookie_is_invalid(part):
    logins = Logins("hash")
    parts = logins.create().split(".")
    parts[part] = parts[part][:-1] + ("0" if parts[part][-1] != "0" else "1")
    assert logins.verify(".".join(parts)) is None


@given(st.text(max_size=200))
def test_arbitrary_text_is_not_a_valid_cookie(text):
    assert Logins("hash").verify(text) is None


def test_a_browser_may_send_several_cookies_of_one_name():
    assert cookie_values("a", "b=1; a=2; aa=3;a=4=5; junk") == ["2", "4=5"]
