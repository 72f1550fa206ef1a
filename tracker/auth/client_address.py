"""Where a request comes from: this machine itself, or anywhere else."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

# Any of these means that somebody stands between the peer and us, whatever the peer's address is.
_PROXIED = (
    "cf-connecting-ip",
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
)
_HOST = re.compile(r"(?:\[([^\]]*)\]|([^:\[\],/@\s]*))(?::\d*)?")


def headers(scope: Mapping[str, Any]) -> dict[str, str]:
    """An ASGI request's headers by their names in small letters; what came twice is joined: none hides the other."""
    found: dict[str, str] = {}
    for raw, content in scope.get("headers", ()):
        name, text = raw.decode("latin-1").lower(), content.decode("latin-1")
        found[name] = f"{found[name]}{'; ' if name == 'cookie' else ', '}{text}" if name in found else text
    return found


def is_local(scope: Mapping[str, Any]) -> bool:
    """Whether a request comes from this machine itself: from the loopback, for the loopback's name, through no proxy.

    The name matters: a page whose own name was made to lead to 127.0.0.1 (DNS rebinding) asks for its own name, and so
    does who comes through a proxy on this machine.
    """
    found = headers(scope)
    if any(name in found for name in _PROXIED):
        return False
    return is_loopback(peer(scope)) and names_loopback(found.get("host", ""))


def peer(scope: Mapping[str, Any]) -> str:
    """The address that a request comes from; empty where the server doesn't know it."""
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
    """The name of a Host header without its port; one that is malformed is no name of ours."""
    found = _HOST.fullmatch(host.strip().lower())
    if found is None:
        return host
    return found[2].rstrip(".") if found[1] is None else found[1]


def names_loopback(host: str) -> bool:
    name = host_name(host)
    return name == "localhost" or is_loopback(name)
