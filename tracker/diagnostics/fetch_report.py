"""A deployed debug report, fetched with care: the token in a header, one time limit, nowhere but where it was sent."""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, urlsplit

from tracker.database.watchdog import timer
from tracker.errors import SettingError, TrackerError

REPORT_PATH = "/api/debug/token-tracking"
TIMEOUT_S = 15.0
MAX_BYTES = 2_000_000


class FetchError(TrackerError):
    """A report couldn't be fetched: what happened, why, and what to do. It holds no token."""


class ReportUrlError(FetchError, SettingError):
    """What was given is no report's address, so nothing was tried."""


def fetch_report(
    url: str, token: str | None = None, *, private: bool = False, timeout_s: float = TIMEOUT_S
) -> dict[str, Any]:
    """The report at an address, as JSON; without a path in it, the route's usual one is asked.

    `private` allows addresses of this machine and its network, and http:// to them. The name is resolved once and
    that very address is connected to, so that a name can't lead elsewhere between check and use. Redirects aren't
    followed: they would carry the token along. Raises `FetchError`.
    """
    parts = _checked(url)
    deadline = time.monotonic() + timeout_s
    address = _resolve(parts, private, deadline)
    if parts.scheme == "http" and is_public_address(address):
        raise FetchError("The report's address begins with http://, which would show the token; use https://.")
    status, body = _get(parts, str(address), token, deadline)
    return _understood(status, body)


def is_private_url(url: str) -> bool:
    """Whether the address itself, as it is written, names this machine or a private network."""
    host = (_checked(url).hostname or "").lower()
    if host == "localhost":
        return True
    with suppress(ValueError):
        return not is_public_address(ipaddress.ip_address(host.partition("%")[0]))
    return False


def _checked(url: str) -> SplitResult:
    """The address's parts. Raises `ReportUrlError`."""
    try:
        parts = urlsplit(url.strip())
        port_is_one = parts.port is None or parts.port > 0
    except ValueError:
        raise ReportUrlError("The report's address can't be read; it may be https://your-app.vercel.app.") from None
    if parts.scheme not in {"https", "http"} or not parts.hostname or not port_is_one:
        raise ReportUrlError("The report's address must begin with https://, such as https://your-app.vercel.app.")
    if parts.username is not None or parts.password is not None:
        raise ReportUrlError(
            "The report's address holds a user or a password; the token goes into TRACKER_DEBUG_TOKEN."
        )
    if not all("!" <= char <= "~" for char in parts.geturl()):
        raise ReportUrlError("The report's address holds white space or a character that a URL must write as %XX.")
    return parts


def _resolve(parts: SplitResult, private: bool, deadline: float) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    found: list[str] = []
    answered = threading.Event()

    def ask() -> None:
        with suppress(OSError, UnicodeError):
            answers = socket.getaddrinfo(parts.hostname, _port(parts), type=socket.SOCK_STREAM)
            found.extend(str(address[0]) for *_, address in answers)
        answered.set()

    threading.Thread(target=ask, name="tracker-dns", daemon=True).start()
    answered.wait(max(0.0, deadline - time.monotonic()))
    addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in found]
    if not addresses:
        raise FetchError(f"There is no server named {parts.hostname}; correct the report's address.")
    inside = [address for address in addresses if not is_public_address(address)]
    if inside and not private:
        raise FetchError(
            f"{parts.hostname} is an address of this machine or of a private network, where reports are fetched only"
            " when asked for (--private)."
        )
    # IPv4 first: where both exist it is the one that surely works.
    return min(addresses, key=lambda address: address.version)


# RFC 8215: translation for local use, whatever IPv4 address is inside.
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
# RFC 6052 and RFC 4291: prefixes whose last 32 bits are the IPv4 address that is reached.
_WITH_IPV4_AT_END = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "::/96")))


def is_public_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether the address is a public one; an IPv6 address that leads to an IPv4 address is judged by that."""
    if address.version == 6:
        if address in _LOCAL_NAT64:
            return False
        inner = _ipv4_inside(address)
        address = inner if inner is not None else address
    return address.is_global and not address.is_multicast


def _ipv4_inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if int(address) > 1 and any(address in network for network in _WITH_IPV4_AT_END):
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
        # A server that sends a byte now and then never runs into a socket's own time limit.
        timer.at(deadline, lambda: _cut(sock))
        connection.request("GET", path + (f"?{parts.query}" if parts.query else ""), headers=headers)
        response = connection.getresponse()
        body = response.read(MAX_BYTES + 1)
        late = time.monotonic() >= deadline
    except ssl.SSLCertVerificationError:
        raise FetchError(f"The certificate of {host} couldn't be verified; nothing was sent.") from None
    except TimeoutError:
        raise FetchError(f"{host} didn't answer in time.") from None
    except (OSError, http.client.HTTPException, ValueError):
        what = "didn't answer in time" if time.monotonic() >= deadline else "couldn't be reached"
        raise FetchError(f"{host} {what}.") from None
    finally:
        connection.close()
    if late:
        raise FetchError(f"{host} didn't answer in time.")
    return response.status, body


def _connect(parts: SplitResult, address: str, deadline: float) -> socket.socket:
    left = max(0.1, deadline - time.monotonic())
    sock = socket.create_connection((address, _port(parts)), timeout=left)
    if parts.scheme == "http":
        return sock
    try:
        # The certificate is checked against the name, not against the address that it led to.
        return ssl.create_default_context().wrap_socket(sock, server_hostname=parts.hostname)
    except BaseException:
        sock.close()
        raise


def _cut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _understood(status: int, body: bytes) -> dict[str, Any]:
    if 300 <= status < 400:
        raise FetchError(
            f"It answered {status}, a redirect, which isn't followed; give the address that it leads to, or switch off"
            " what stands before the route."
        )
    if len(body) > MAX_BYTES:
        raise FetchError(f"The answer is larger than {MAX_BYTES:,} bytes; that is no debug report.")
    if status in {401, 403}:
        ours = b'"unauthorized"' in body
        raise FetchError(
            f"It answered {status}. "
            + (
                "Set TRACKER_DEBUG_TOKEN here to the token of that deployment."
                if ours
                else "Something before the route asks for a login (such as Vercel's Deployment Protection)."
            )
        )
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("environment"), dict):
        sentence = f"It answered {status}, but not with a debug report"
        raise FetchError(f"{sentence}; the route is {REPORT_PATH}, docs/debugging.md has a file for each platform.")
    return found
