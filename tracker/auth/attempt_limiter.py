"""How often a secret may be tried: a limit for each peer, and one for everybody together."""

from __future__ import annotations

import ipaddress
import time
from collections import deque
from collections.abc import Callable

# Passwords: a person's are guessable, so that tries are few. Tokens: a program's aren't, so that answers are.
PER_PEER, TOGETHER, PASSWORD_WINDOW_S = 10, 100, 300.0
MAX_REFUSALS, REFUSAL_WINDOW_S = 30, 60.0
_MOST_PEERS = 10_000


class SlidingWindow:
    """Counts what happened in the last while."""

    def __init__(self, limit: int, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._window_s = window_s
        self._clock = clock
        self._at: deque[float] = deque()

    def wait_s(self) -> float:
        """Seconds until there is room for one more; 0 where there is."""
        now = self._clock()
        while self._at and now - self._at[0] >= self._window_s:
            self._at.popleft()
        return self._at[0] + self._window_s - now if len(self._at) >= self._limit else 0.0

    def add(self) -> None:
        self._at.append(self._clock())
        if len(self._at) > self._limit:
            self._at.popleft()

    def take_back(self) -> None:
        if self._at:
            self._at.pop()

    def __bool__(self) -> bool:
        return bool(self._at)


class Attempts:
    """Tries at the password. A try is counted before it is checked, so that many at once don't slip through."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._together = SlidingWindow(TOGETHER, PASSWORD_WINDOW_S, clock)
        self._peers: dict[str, SlidingWindow] = {}

    def wait_s(self, peer: str) -> float:
        """Seconds that a peer must wait before its next try; 0 for now."""
        own = self._peers.get(_network(peer))
        return max(self._together.wait_s(), own.wait_s() if own else 0.0)

    def count(self, peer: str) -> None:
        if len(self._peers) >= _MOST_PEERS:
            self._peers = {name: window for name, window in self._peers.items() if window.wait_s() > 0}
        self._together.add()
        self._peers.setdefault(_network(peer), SlidingWindow(PER_PEER, PASSWORD_WINDOW_S, self._clock)).add()

    def take_back(self, peer: str) -> None:
        """The try was the right password: it doesn't count."""
        self._together.take_back()
        if own := self._peers.get(_network(peer)):
            own.take_back()


def _network(peer: str) -> str:
    """An IPv6 peer has a whole /64 to itself; it counts as one."""
    try:
        ip = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer[:50]
    if ip.version == 6 and not ip.ipv4_mapped:
        return str(ipaddress.ip_network(f"{ip}/64", strict=False))
    return str(ip)
