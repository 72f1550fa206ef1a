"""Tries at the password: a limit for each peer, another for everybody together, and room again after a while."""

from __future__ import annotations

from tracker.auth.attempt_limiter import PASSWORD_WINDOW_S, PER_PEER, TOGETHER, Attempts


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_peer_waits_after_its_tries_and_others_do_not():
    clock = Clock()
    attempts = Attempts(clock)
    for _ in range(PER_PEER):
        assert attempts.wait_s("192.0.2.1") == 0
        attempts.count("192.0.2.1")
    assert attempts.wait_s("192.0.2.1") == PASSWORD_WINDOW_S
    assert attempts.wait_s("192.0.2.2") == 0
    clock.now += PASSWORD_WINDOW_S
    assert attempts.wait_s("192.0.2.1") == 0


def test_everybody_waits_when_many_peers_try():
    attempts = Attempts(Clock())
    for number in range(TOGETHER):
        attempts.count(f"192.0.2.{number}")
    assert attempts.wait_s("198.51.100.1") > 0


def test_a_right_password_does_not_count():
    attempts = Attempts(Clock())
    for _ in range(3 * PER_PEER):
        attempts.count("192.0.2.1")
        attempts.take_back("192.0.2.1")
    assert attempts.wait_s("192.0.2.1") == 0


def test_an_ipv6_network_is_one_peer():
    attempts = Attempts(Clock())
    for number in range(PER_PEER):
        attempts.count(f"2001:db8::{number:x}")
    assert attempts.wait_s("2001:db8::ffff") > 0
    assert attempts.wait_s("2001:db8:1::1") == 0
