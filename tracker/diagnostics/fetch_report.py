"""Fetches a deployed debug report over https, within one time limit and without redirects."""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import time
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, urlsplit

from tracker.database.watchdog import timer
from tracker.diagnostics.dns_lookup import SocketAddress, look_up
from tracker.errors import SettingError, TrackerError
from tracker.messages import Message

REPORT_PATH = "/api/debug/token-tracking"
TIMEOUT_S = 15.0
MAX_BYTES = 2_000_000
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# RFC 8215: local-use NAT64, for any IPv4 address.
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
# RFC 6052 and RFC 4291: prefixes whose last 32 bits are the IPv4 address.
_PREFIXES_WITH_IPV4 = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "::/96")))


class FetchError(TrackerError):
    """The report can't be fetched. The message names the cause and the remedy, and contains no token."""


class ReportUrlError(FetchError, SettingError):
    """The URL is invalid, so no request was sent."""


def fetch_report(
    url: str, token: str | None = None, *, private: bool = False, timeout_s: float = TIMEOUT_S
) -> dict[str, Any]:
    """The debug report at a URL, as JSON; a URL without a path gets `REPORT_PATH`.

    `private` allows addresses of this machine and of private networks, and http:// to them. The host name is resolved
    once, and the connection uses the checked address (no DNS rebinding). Redirects are not followed, because they
    would forward the token. Raises `FetchError`.
    """
    parts = _parse_url(url)
    deadline = time.monotonic() + timeout_s
    address = _resolve(parts, private, deadline)
    if parts.scheme == "http" and is_public_address(address):
        raise FetchError(Message("diagnostics.fetch.token_over_http"))
    status, body = _get(parts, str(address), token, deadline)
    return _parse_report(status, body)


def is_private_url(url: str) -> bool:
    """Whether the URL's host is written as an address of this machine or of a private network."""
    host = (_parse_url(url).hostname or "").lower()
    if host == "localhost":
        return True
    with suppress(ValueError):
        return not is_public_address(ipaddress.ip_address(host.partition("%")[0]))
    return False


def _parse_url(url: str) -> SplitResult:
    """The URL's parts. Raises `ReportUrlError`."""
    try:
        parts = urlsplit(url.strip())
        is_port_valid = parts.port is None or parts.port > 0
    except ValueError:
        raise ReportUrlError(Message("diagnostics.fetch.url_malformed")) from None
    if parts.scheme not in {"https", "http"} or not parts.hostname or not is_port_valid:
        raise ReportUrlError(Message("diagnostics.fetch.url_scheme_invalid"))
    if parts.username is not None or parts.password is not None:
        raise ReportUrlError(Message("diagnostics.fetch.url_with_credentials"))
    if not all("!" <= char <= "~" for char in parts.geturl()):
        raise ReportUrlError(Message("diagnostics.fetch.url_unencoded_character"))
    return parts


def _resolve(parts: SplitResult, private: bool, deadline: float) -> IpAddress:
    socket_addresses: list[SocketAddress] = []
    with suppress(TimeoutError):
        socket_addresses = look_up([(parts.hostname or "", _port(parts))], max(0.0, deadline - time.monotonic()))
    addresses = [ipaddress.ip_address(str(address[0]).partition("%")[0]) for _, address in socket_addresses]
    if not addresses:
        raise FetchError(Message("diagnostics.fetch.host_unknown", hostname=parts.hostname))
    non_public = [address for address in addresses if not is_public_address(address)]
    if non_public and not private:
        raise FetchError(Message("diagnostics.fetch.private_address", hostname=parts.hostname))
    # IPv4 first: IPv6 doesn't work in all networks that resolve it.
    return min(addresses, key=lambda address: address.version)


def is_public_address(address: IpAddress) -> bool:
    """Whether an address is public; for an IPv6 address that embeds an IPv4 address, whether the latter is public."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _LOCAL_NAT64:
            return False
        address = _embedded_ipv4(address) or address
    return address.is_global and not address.is_multicast


def _embedded_ipv4(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if int(address) > 1 and any(address in network for network in _PREFIXES_WITH_IPV4):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.sixtofour or (address.teredo[1] if address.teredo else None)


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _get(parts: SplitResult, address: str, token: str | None, deadline: float) -> tuple[int, bytes]:
    host = parts.hostname or ""
    connection = http.client.HTTPConnection(host, _port(parts))
    headers = {"Accept": "application/json", "User-Agent": "token-tracker", "Accept-Encoding": "identity"}
    if token:
        headers["Authorization"] = f"Bearer {token.strip()}"
    path = parts.path if parts.path not in {"", "/"} else REPORT_PATH
    try:
        connection.sock = sock = _connect(parts, address, deadline)
        # A server that sends single bytes slowly never reaches the socket's own timeout.
        timer.schedule(deadline, lambda: _shut_down(sock))
        connection.request("GET", path + (f"?{parts.query}" if parts.query else ""), headers=headers)
        response = connection.getresponse()
        body = response.read(MAX_BYTES + 1)
        timed_out = time.monotonic() >= deadline
    except ssl.SSLCertVerificationError:
        raise FetchError(Message("diagnostics.fetch.certificate_unverified", host=host)) from None
    except TimeoutError:
        raise FetchError(Message("diagnostics.fetch.timeout", host=host)) from None
    except (OSError, http.client.HTTPException, ValueError):
        if time.monotonic() >= deadline:
            raise FetchError(Message("diagnostics.fetch.timeout", host=host)) from None
        raise FetchError(Message("diagnostics.fetch.unreachable", host=host)) from None
    finally:
        connection.close()
    if timed_out:
        raise FetchError(Message("diagnostics.fetch.timeout", host=host))
    return response.status, body


def _connect(parts: SplitResult, address: str, deadline: float) -> socket.socket:
    remaining_s = max(0.1, deadline - time.monotonic())
    sock = socket.create_connection((address, _port(parts)), timeout=remaining_s)
    if parts.scheme == "http":
        return sock
    try:
        # The certificate is verified against the host name, not against the resolved address.
        return ssl.create_default_context().wrap_socket(sock, server_hostname=parts.hostname)
    except BaseException:
        sock.close()
        raise


def _shut_down(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _parse_report(status: int, body: bytes) -> dict[str, Any]:
    if 300 <= status < 400:
        raise FetchError(Message("diagnostics.fetch.redirect", status=status))
    if len(body) > MAX_BYTES:
        raise FetchError(Message("diagnostics.fetch.answer_too_large", max_bytes=f"{MAX_BYTES:,}"))
    if status in {401, 403}:
        is_from_debug_api = b'"unauthorized"' in body
        remedy = Message(f"diagnostics.fetch.{'token_required' if is_from_debug_api else 'proxy_login'}")
        raise FetchError(Message("diagnostics.fetch.refused", status=status, remedy=remedy))
    try:
        report = json.loads(body)
    except (ValueError, RecursionError):
        report = None
    if not isinstance(report, dict) or not isinstance(report.get("environment"), dict):
        raise FetchError(Message("diagnostics.fetch.not_a_report", status=status, report_path=REPORT_PATH))
    return report
