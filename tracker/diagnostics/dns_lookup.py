"""DNS lookups with a time limit."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

SocketAddress = tuple[socket.AddressFamily, Any]


def look_up(hosts: Iterable[tuple[str, str | int]], timeout_s: float) -> list[SocketAddress]:
    """The addresses of (host, port) pairs; a host that has none is skipped. Raises `TimeoutError`."""
    addresses: list[SocketAddress] = []
    finished = threading.Event()

    def look_up_all() -> None:
        for host, port in hosts:
            with suppress(OSError, UnicodeError, ValueError):
                results = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
                addresses.extend((family, address) for family, _, _, _, address in results)
        finished.set()

    # getaddrinfo has no timeout, so it runs in a daemon thread that may outlive the lookup.
    threading.Thread(target=look_up_all, name="tracker-dns", daemon=True).start()
    if not finished.wait(timeout_s):
        raise TimeoutError
    return addresses
