"""The way to the database, step by step and timed: the name, the network, TLS, the login. Which one fails?"""

from __future__ import annotations

import errno
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from tracker.database.connect import Connection, connect, elapsed_ms
from tracker.errors import DatabaseError

if TYPE_CHECKING:
    from tracker.database.url import DatabaseUrl

T = TypeVar("T")
Address = tuple[socket.AddressFamily, Any]

STEP_S = 2.5
_SSL_REQUEST = struct.pack("!II", 8, 80877103)
_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
# OpenSSL's codes of a refused certificate (x509_vfy.h), as far as there is something else to do about each.
_CERTIFICATE = {
    10: ("certificate_expired", "The certificate of the server {server} has expired."),
    9: ("certificate_not_yet", "The certificate of the server {server} isn't valid yet, or this clock is slow."),
    62: ("certificate_host", "The certificate of the server {server} is made for another name."),
    64: ("certificate_host", "The certificate of the server {server} is made for another address."),
    18: ("certificate_unknown", "Nobody whom this machine trusts has signed the certificate of {server}."),
    19: ("certificate_unknown", "Nobody whom this machine trusts has signed the certificate of {server}."),
    20: ("certificate_unknown", "Nobody whom this machine trusts has signed the certificate of {server}."),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step: how long it took, and, where it failed, why. `ok` is None for one that wasn't reached or needed."""

    name: str
    ok: bool | None
    ms: float | None = None
    code: str | None = None
    detail: str = ""


class _Failed(Exception):  # noqa: N818  a step's answer
    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(slots=True)
class Way:
    """Walks the steps in order until one fails. `connection` is open only when all went well: close it."""

    url: DatabaseUrl
    deadline: float
    steps: list[Step] = field(default_factory=list)
    connection: Connection | None = None
    error: DatabaseError | None = None

    @property
    def failed(self) -> Step | None:
        return next((step for step in self.steps if step.ok is False), None)

    def network(self) -> bool:
        """DNS, TCP and TLS; whether a login is worth trying."""
        if self.url.host.startswith("/"):
            return all(
                [self.skip("dns", "a socket of this machine"), self._run("tcp", self._local), self.skip("tls", "")]
            )
        addresses = self._run("dns", self._resolve)
        if not addresses:
            return False
        reached = self._run("tcp", lambda: self._dial(addresses))
        if reached is None:
            return False
        with reached:
            if self.url.params.get("sslmode") == "disable":
                return self.skip("tls", "sslmode=disable")
            if self.url.params.get("sslnegotiation") == "direct":
                return self.skip("tls", "negotiated with the login")
            return self._run("tls", lambda: self._secure(reached)) is not None

    def login(self, application_name: str, timeout_s: float) -> Connection | None:
        """Log in as the recorder does; the connection, or None with the reason in `error`."""
        started = time.perf_counter()
        try:
            self.connection = connect(self.url, timeout_s=self._left(timeout_s), application_name=application_name)
        except DatabaseError as error:
            self.fail("login", error, started)
            return None
        self.steps.append(Step("login", True, elapsed_ms(started)))
        return self.connection

    def fail(self, name: str, error: DatabaseError, started: float) -> None:
        """Enter a step that the database itself refused."""
        self.error = error
        self.steps.append(Step(name, False, elapsed_ms(started), error.code, error.cause))

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self.connection is not None:
            self.connection.close()

    def skip(self, name: str, why: str) -> bool:
        self.steps.append(Step(name, None, detail=why))
        return True

    def _left(self, at_most: float = STEP_S) -> float:
        return max(0.05, min(at_most, self.deadline - time.monotonic()))

    def _run(self, name: str, work: Callable[[], tuple[T, str]]) -> T | None:
        started = time.perf_counter()
        try:
            result, detail = work()
        except _Failed as failure:
            self.steps.append(Step(name, False, elapsed_ms(started), failure.code, str(failure)))
            return None
        self.steps.append(Step(name, True, elapsed_ms(started), detail=detail))
        return result

    @property
    def _server(self) -> str:
        return f"{self.url.host}:{self.url.port}"

    def _local(self) -> tuple[bool, str]:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(self._left())
            try:
                probe.connect(f"{self.url.host}/.s.PGSQL.{self.url.port}")
            except OSError:
                raise _Failed("refused", f"Nothing answers at the socket in {self.url.host}.") from None
        return True, ""

    def _resolve(self) -> tuple[list[Address], str]:
        found: list[Address] = []
        answered = threading.Event()
        hosts, ports = self.url.host.split(","), self.url.port.split(",")
        ports = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)

        def ask() -> None:
            # The name service can't be told a time limit, so it is asked in a thread that may be left behind.
            for host, port in zip(hosts, ports, strict=True):
                with suppress(OSError, UnicodeError, ValueError):
                    answers = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
                    found.extend((family, address) for family, _, _, _, address in answers)
            answered.set()

        threading.Thread(target=ask, name="tracker-dns", daemon=True).start()
        if not answered.wait(self._left()):
            raise _Failed("dns_timeout", "The name service didn't answer in time.")
        if not found:
            raise _Failed("host_unknown", f"There is no server named {self.url.host}.")
        kinds = sorted({"IPv6" if family == socket.AF_INET6 else "IPv4" for family, _ in found})
        return list(found), " and ".join(kinds)

    def _dial(self, addresses: list[Address]) -> tuple[socket.socket, str]:
        """Each address in turn, as libpq does."""
        errors: list[OSError] = []
        end = time.monotonic() + self._left()
        for family, address in addresses:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.settimeout(max(0.05, end - time.monotonic()))
                sock.connect(address)
            except OSError as error:
                errors.append(error)
                sock.close()
                continue
            return sock, "IPv6" if family == socket.AF_INET6 else "IPv4"
        raise self._not_reached(addresses, errors)

    def _not_reached(self, addresses: list[Address], errors: list[OSError]) -> _Failed:
        if any(isinstance(error, ConnectionRefusedError) for error in errors):
            return _Failed("refused", f"Nothing answers at {self._server}.")
        if all(family == socket.AF_INET6 for family, _ in addresses):
            return _Failed("ipv6_only", f"{self.url.host} has an IPv6 address alone, which this network can't reach.")
        if all(error.errno in _UNREACHABLE for error in errors):
            return _Failed("unreachable", f"{self._server} is not reachable from this network.")
        return _Failed("timeout", f"The server {self._server} didn't answer in time.")

    def _secure(self, sock: socket.socket) -> tuple[bool, str]:
        """Ask for TLS as PostgreSQL's protocol does ("SSL Session Encryption"), and shake hands."""
        sock.settimeout(self._left())
        mode = self.url.params.get("sslmode", "prefer")
        try:
            sock.sendall(_SSL_REQUEST)
            answer = sock.recv(1)
        except OSError as error:
            if isinstance(error, TimeoutError) and _speaks_lines(sock):
                raise _Failed("not_postgres", f"{self._server} does not speak the PostgreSQL protocol.") from None
            code = "silent" if isinstance(error, TimeoutError) else "hung_up"
            raise _Failed(code, f"What answers at {self._server} took the connection and said nothing.") from None
        if answer == b"N":
            if mode in {"require", "verify-ca", "verify-full"}:
                raise _Failed(
                    "tls_refused", f"The server {self._server} doesn't speak TLS, and sslmode={mode} asks for it."
                )
            return True, "not offered: the connection isn't encrypted"
        if answer == b"":
            raise _Failed("hung_up", f"What answers at {self._server} hung up at once.")
        if answer not in b"SE":
            raise _Failed("not_postgres", f"{self._server} does not speak the PostgreSQL protocol.")
        if answer == b"E":
            return True, "refused with an error: the login says why"
        return True, self._shake_hands(sock, mode)

    def _shake_hands(self, sock: socket.socket, mode: str) -> str:
        verify = mode in {"verify-ca", "verify-full"}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = mode == "verify-full"
        context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
        try:
            if verify:
                self._trust(context)
            with context.wrap_socket(sock, server_hostname=self.url.host.split(",")[0]) as secured:
                return f"{secured.version()}" + ("" if verify else ", certificate not verified")
        except ssl.SSLCertVerificationError as error:
            code, sentence = _CERTIFICATE.get(
                error.verify_code, ("certificate", "The certificate of {server} is refused.")
            )
            raise _Failed(code, sentence.format(server=self._server)) from None
        except (ssl.SSLError, OSError) as error:
            late = isinstance(error, TimeoutError)
            sentence = f"The TLS handshake with {self._server} {'took too long' if late else 'failed'}."
            raise _Failed("tls_timeout" if late else "tls_failed", sentence) from None

    def _trust(self, context: ssl.SSLContext) -> None:
        from pathlib import Path

        root = self.url.params.get("sslrootcert", "")
        if root == "system":
            context.load_default_certs()
            return
        file = Path(root) if root else Path.home() / ".postgresql" / "root.crt"
        try:
            context.load_verify_locations(file)
        except (OSError, ssl.SSLError):
            raise _Failed("root_certificate", "The root certificate that sslmode asks for can't be read.") from None


def _speaks_lines(sock: socket.socket) -> bool:
    """Whether the silent one only waits for the end of a line, as a web or mail server does and PostgreSQL never."""
    with suppress(OSError):
        sock.settimeout(0.5)
        sock.sendall(b"\r\n\r\n")
        return bool(sock.recv(1))
    return False
