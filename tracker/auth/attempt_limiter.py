"""Rate limits: password attempts for each client and in total, and refused tokens."""

from __future__ import annotations

import ipaddress
import time
from collections import deque
from collections.abc import Callable

# A password can be guessed, so attempts are few. A token can't, so only the number of 401 responses is limited.
MAX_PER_PEER, MAX_IN_TOTAL, PASSWORD_WINDOW_S = 10, 100, 300.0
MAX_REFUSALS, REFUSAL_WINDOW_S = 30, 60.0
_MAX_PEERS = 10_000


class SlidingWindow:
    """Counts events of the last `window_s` seconds against a limit."""

    def __init__(self, limit: int, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._window_s = window_s
        self._clock = clock
        self._times: deque[float] = deque()

    def wait_s(self) -> float:
        """Seconds until the limit allows one more event; 0 if it does now."""
        now = self._clock()
        while self._times and now - self._times[0] >= self._window_s:
            self._times.popleft()
        return self._times[0] + self._window_s - now if len(self._times) >= self._limit else 0.0

    def add(self) -> None:
        self._times.append(self._clock())
        if len(self._times) > self._limit:
            self._times.popleft()

    def remove_newest(self) -> None:
        if self._times:
            self._times.pop()


class LoginAttempts:
    """Password attempts by client. An attempt is counted before the check, so parallel attempts are limited too."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all_peers = SlidingWindow(MAX_IN_TOTAL, PASSWORD_WINDOW_S, clock)
        self._peers: dict[str, SlidingWindow] = {}

    def wait_s(self, peer: str) -> float:
        """Seconds until a client may try again; 0 if it may now."""
        window = self._peers.get(_network(peer))
        return max(self._all_peers.wait_s(), window.wait_s() if window else 0.0)

    def count(self, peer: str) -> None:
        if len(self._peers) >= _MAX_PEERS:
            self._peers = {network: window for network, window in self._peers.items() if window.wait_s() > 0}
        self._all_peers.add()
        self._peers.setdefault(_network(peer), SlidingWindow(MAX_PER_PEER, PASSWORD_WINDOW_S, self._clock)).add()

    def uncount(self, peer: str) -> None:
        """Remove the client's newest attempt: the password was right."""
        self._all_peers.remove_newest()
        if window := self._peers.get(_network(peer)):
            window.remove_newest()


def _network(peer: str) -> str:
    """The client's address; for IPv6 its /64 network, because one client owns all addresses of it."""
    try:
        ip = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer[:50]
    if isinstance(ip, ipaddress.IPv6Address) and not ip.ipv4_mapped:
        return str(ipaddress.ip_network(f"{ip}/64", strict=False))
    return str(ip)
