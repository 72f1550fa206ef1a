"""Under which name we are asked, and whose page asks: against DNS rebinding and requests of other sites."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from tracker.auth.client_address import headers, host_name

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def is_listed(host: str, allowed: Iterable[str]) -> bool:
    """Whether a Host header's name is one of `allowed`, which are Streamlit's `server.allowedHosts`."""
    name = host_name(host)
    for pattern in (entry.strip().lower().rstrip(".") for entry in allowed):
        if pattern == "*" or name == pattern or (pattern.startswith("*.") and name.endswith(pattern[1:])):
            return bool(name)
    return False


def is_of_another_site(scope: Mapping[str, Any], allowed_origins: Iterable[str] = ()) -> bool:
    """Whether another site's page sends this request: by its Origin, or by what the browser says of itself.

    Who follows a link from elsewhere is let through: what it shows, its reader alone sees.
    """
    found = headers(scope)
    origin = found.get("origin")
    if origin is not None:
        return not _is_ours(origin, found.get("host", "")) and origin.rstrip("/") not in set(allowed_origins)
    return found.get("sec-fetch-site") == "cross-site" and found.get("sec-fetch-mode") != "navigate"


def _is_ours(origin: str, host: str) -> bool:
    """Whether an origin and a Host header are the same place; a Host without a port has the scheme's."""
    try:
        theirs = urlsplit(origin)
        ours = urlsplit(f"{theirs.scheme}://{host}")
        same_port = (theirs.port or _PORTS.get(theirs.scheme)) == (ours.port or _PORTS.get(theirs.scheme))
    except ValueError:
        return False
    return bool(theirs.hostname) and theirs.hostname == ours.hostname and same_port
