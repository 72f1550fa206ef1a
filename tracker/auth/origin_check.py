"""Checks of the Host and Origin headers, against DNS rebinding and cross-site requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from tracker.auth.client_address import host_name, request_headers

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def is_listed(host: str, allowed: Iterable[str]) -> bool:
    """Whether a Host header's name matches an entry of `allowed`, Streamlit's `server.allowedHosts`."""
    name = host_name(host)
    for pattern in (entry.strip().lower().rstrip(".") for entry in allowed):
        if pattern == "*" or name == pattern or (pattern.startswith("*.") and name.endswith(pattern[1:])):
            return bool(name)
    return False


def is_cross_site_request(scope: Mapping[str, Any], allowed_origins: Iterable[str] = ()) -> bool:
    """Whether a page of another site sends this request, by its Origin or Sec-Fetch-Site header.

    A navigation from another site (a link) is allowed: only the user of the browser sees the response.
    """
    headers = request_headers(scope)
    origin = headers.get("origin")
    if origin is not None:
        return not _is_same_origin(origin, headers.get("host", "")) and origin.rstrip("/") not in set(allowed_origins)
    return headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate"


def _is_same_origin(origin: str, host: str) -> bool:
    """Whether an Origin and a Host header name the same host and port. The default port depends on the scheme."""
    try:
        origin_url = urlsplit(origin)
        host_url = urlsplit(f"{origin_url.scheme}://{host}")
        default_port = _PORTS.get(origin_url.scheme)
        same_port = (origin_url.port or default_port) == (host_url.port or default_port)
    except ValueError:
        return False
    return bool(origin_url.hostname) and origin_url.hostname == host_url.hostname and same_port
