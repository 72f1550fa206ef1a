"""The limits for password attempts: for each client and in total, over a sliding window."""

from __future__ import annotations

from tracker.auth.attempt_limiter import MAX_IN_TOTAL, MAX_PER_PEER, PASSWORD_WINDOW_S, LoginAttempts


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_client_over_its_limit_waits_and_other_clients_do_not():
    clock = Clock()
    attempts = LoginAttempts(clock)
    for _ in range(MAX_PER_PEER):
        assert attempts.wait_s("192.0.2.1") == 0
        attempts.count("192.0.2.1")
    assert attempts.wait_s("192.0.2.1") == PASSWORD_WINDOW_S
    assert attempts.wait_s("192.0.2.2") == 0
    clock.now += PASSWORD_WINDOW_S
    assert attempts.wait_s("192.0.2.1") == 0


def test_all_clients_wait_when_the_total_limit_is_reached():
    attempts = LoginAttempts(Clock())
    for number in range(MAX_IN_TOTAL):
        attempts.count(f"192.0.2.{number}")
    assert attempts.wait_s("198.51.100.1") > 0


def test_a_right_password_does_not_count():
    attempts = LoginAttempts(Clock())
    for _ in range(3 * MAX_PER_PEER):
        attempts.count("192.0.2.1")
        attempts.uncount("192.0.2.1")
    assert attempts.wait_s("192.0.2.1") == 0


def test_an_ipv6_network_is_one_peer():
    attempts = LoginAttempts(Clock())
    for number in range(MAX_PER_PEER):
        attempts.count(f"2001:db8::{number:x}")
    assert attempts.wait_s("2001:db8::ffff") > 0
    assert attempts.wait_s("2001:db8:1::1") == 0
