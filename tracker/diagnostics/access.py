"""Who may read or write what isn't for everybody: the debug report and the traces' route."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from typing import Any

from tracker.settings import Settings

_PROXIED = ("x-forwarded-for", "forwarded", "x-real-ip", "via")


def allowed(scope: Mapping[str, Any], settings: Settings) -> bool:
    """Whether an ASGI request may pass.

    With TRACKER_DEBUG_TOKEN set: who sends it as `Authorization: Bearer …`. Without: nobody where the runtime is a
    deployed one, and on one's own machine only a direct peer on the loopback that also asks for the loopback's name,
    so that neither a proxy's guests nor a page of another origin come in.
    """
    headers = {name.decode("latin-1").lower(): value for name, value in scope.get("headers", ())}
    if settings.debug_token:
        scheme, _, given = headers.get("authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(
            given.strip(), settings.debug_token.strip().encode("utf-8", "surrogateescape")
        )
    if settings.runtime.deployed or any(name in headers for name in _PROXIED):
        return False
    client = scope.get("client") or ("",)
    return _is_loopback(str(client[0])) and _names_loopback(headers.get("host", b""))


def _is_loopback(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback


def _names_loopback(host: bytes) -> bool:
    name = host.decode("latin-1").strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    return name == "localhost" or _is_loopback(name)
