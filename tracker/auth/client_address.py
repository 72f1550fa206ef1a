"""The client address and the host name of a request, and whether the request comes from this machine."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

# Each of these headers proves a proxy between the client and this server, even if the peer's address is a loopback.
_PROXY_HEADERS = (
    "cf-connecting-ip",
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
)
_HOST = re.compile(r"(?:\[([^\]]*)\]|([^:\[\],/@\s]*))(?::\d*)?")


def request_headers(scope: Mapping[str, Any]) -> dict[str, str]:
    """The headers of an ASGI request by lower-case name. The values of a repeated header are joined."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope.get("headers", ()):
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}{'; ' if name == 'cookie' else ', '}{value}" if name in headers else value
    return headers


def is_local(scope: Mapping[str, Any]) -> bool:
    """Whether a request comes from this machine: a loopback peer, a loopback Host header, and no proxy header.

    The Host header matters: in a DNS rebinding attack, and behind a proxy on this machine, the peer is a loopback
    address but the Host header has another name.
    """
    headers = request_headers(scope)
    if any(name in headers for name in _PROXY_HEADERS):
        return False
    return is_loopback(peer_address(scope)) and names_loopback(headers.get("host", ""))


def peer_address(scope: Mapping[str, Any]) -> str:
    """The address of the request's peer; empty if the server doesn't know it."""
    client = scope.get("client") or ("",)
    return str(client[0])


def is_loopback(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback


def host_name(host: str) -> str:
    """The name in a Host header, without the port; the unchanged text if the header is malformed."""
    match = _HOST.fullmatch(host.strip().lower())
    if match is None:
        return host
    return match[2].rstrip(".") if match[1] is None else match[1]


def names_loopback(host: str) -> bool:
    name = host_name(host)
    return name == "localhost" or is_loopback(name)
