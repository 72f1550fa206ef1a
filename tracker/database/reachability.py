"""Which address of a server answers, known before libpq connects, so that only the handshake keeps a fork waiting."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping

from tracker.threads import fork_gate

# For so long an address that answered is used again without asking the name service or knocking first.
_KNOWN_S = 60.0
_MOST_KNOWN = 64
_SHORTEST_S = 0.05
_DEFAULT_PORT = "5432"
_known: dict[tuple[str, str], tuple[str, float]] = {}


class UnreachableError(Exception):
    """No address of the server answers; the text is one that libpq would give."""


def reach(parameters: Mapping[str, str], end: float) -> Mapping[str, str]:
    """The hosts that answer until `end` (`time.monotonic`), with their addresses, as connection parameters.

    Raises `UnreachableError`.
    """
    hosts = parameters.get("host", "localhost").split(",")
    ports = parameters.get("port", _DEFAULT_PORT).split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    if "hostaddr" in parameters or any(not host or host.startswith(("/", "@")) for host in hosts):
        return {}
    any_host = parameters.get("target_session_attrs", "any") == "any" and "load_balance_hosts" not in parameters
    found: list[tuple[str, str, str]] = []
    failure = UnreachableError("timeout expired")
    for number, (host, port) in enumerate(zip(hosts, ports, strict=True)):
        share_s = (end - time.monotonic()) / (len(hosts) - number)
        try:
            found.append((host, port, _address(host, port or _DEFAULT_PORT, max(_SHORTEST_S, share_s))))
        except UnreachableError as error:
            failure = error
            continue
        if any_host:
            break
    if not found:
        raise failure
    names, numbers, addresses = zip(*found, strict=True)
    return {"host": ",".join(names), "port": ",".join(numbers), "hostaddr": ",".join(addresses)}


def forget(parameters: Mapping[str, str]) -> None:
    """The login failed: look the server's addresses up again next time."""
    for host in parameters.get("host", "").split(","):
        for known in tuple(_known):
            if known[0] == host:
                _known.pop(known, None)


def _address(host: str, port: str, timeout_s: float) -> str:
    known = _known.get((host, port))
    if known is not None and time.monotonic() - known[1] < _KNOWN_S:
        return known[0]
    end = time.monotonic() + timeout_s
    failure: Exception | None = None
    addresses = _resolved(host, port)
    for number, address in enumerate(addresses):
        left_s = (end - time.monotonic()) / (len(addresses) - number)
        try:
            socket.create_connection((address, int(port)), max(_SHORTEST_S, left_s)).close()
        except OSError as error:
            failure = error
            continue
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[host, port] = (address, time.monotonic())
        return address
    raise UnreachableError(_text(failure))


def _resolved(host: str, port: str) -> list[str]:
    try:
        if host.isascii():
            name = host.encode()
        else:
            with fork_gate.importing:  # Python imports the codec when it is first used
                name = host.encode("idna")
        found = socket.getaddrinfo(name, int(port), type=socket.SOCK_STREAM)
    except (OSError, ValueError):  # also a port or a name that can't be one
        raise UnreachableError("could not translate host name") from None
    return list(dict.fromkeys(str(address[4][0]) for address in found))


def _text(error: Exception | None) -> str:
    if isinstance(error, TimeoutError):
        return "timeout expired"
    return error.strerror or "" if isinstance(error, OSError) else ""
