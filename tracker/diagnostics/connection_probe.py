"""Probes the connection to the database step by step: DNS, TCP, TLS, and login. Each step is timed."""

from __future__ import annotations

import errno
import socket
import ssl
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from tracker.database.connect import Connection, connect, elapsed_ms
from tracker.diagnostics.dns_lookup import SocketAddress, look_up
from tracker.errors import DatabaseError
from tracker.messages import Message, join_messages, with_messages

if TYPE_CHECKING:
    from tracker.database.url import DatabaseUrl

T = TypeVar("T")

STEP_TIMEOUT_S = 2.5
_SSL_REQUEST = struct.pack("!II", 8, 80877103)
_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
# OpenSSL's verification errors (x509_vfy.h) that have a remedy of their own.
_CERTIFICATE_ERRORS = {
    9: "certificate_not_yet",
    10: "certificate_expired",
    18: "certificate_unknown",
    19: "certificate_unknown",
    20: "certificate_unknown",
    62: "certificate_host",
    64: "certificate_host",
}


@dataclass(frozen=True, slots=True)
class ConnectionStep:
    """The result of one step. `ok` is None when the step was skipped; `code` is set when it failed."""

    name: str
    ok: bool | None
    ms: float | None = None
    code: str | None = None
    detail: str = ""
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The step as an entry of the report's `database.steps`."""
        return with_messages(
            {"name": self.name, "ok": self.ok, "ms": self.ms, "code": self.code, "detail": self.detail}
        )

    def error_as_dict(self) -> dict[str, Any]:
        """The failed step as the report's `database.error`."""
        return with_messages({"code": self.code, "sentence": self.detail, "remedy": self.remedy})


class _StepFailure(Exception):  # noqa: N818  the result of a step, not an error of the program
    """The cause of a failed step. The message with `.remedy` after the cause's code is its remedy."""

    def __init__(self, code: str, cause: Message) -> None:
        super().__init__(cause)
        self.code = code
        self.cause = cause
        self.remedy = Message(f"{cause.code}.remedy")


@dataclass(slots=True)
class ConnectionProbe:
    """Runs the steps in order until one fails. The caller closes `connection`, which is set after a login."""

    url: DatabaseUrl
    deadline: float
    steps: list[ConnectionStep] = field(default_factory=list)
    connection: Connection | None = None
    error: DatabaseError | None = None

    @property
    def failed_step(self) -> ConnectionStep | None:
        return next((step for step in self.steps if step.ok is False), None)

    def probe_network(self) -> bool:
        """Run DNS, TCP and TLS. Returns whether a login can be tried."""
        if self.url.host.startswith("/"):
            self.skip("dns", Message("diagnostics.step.unix_socket"))
            is_reachable = self._run("tcp", self._connect_unix_socket)
            self.skip("tls")
            return is_reachable is not None
        addresses = self._run("dns", self._resolve)
        if not addresses:
            return False
        connected = self._run("tcp", lambda: self._connect_tcp(addresses))
        if connected is None:
            return False
        with connected:
            if self.url.params.get("sslmode") == "disable":
                return self.skip("tls", Message("diagnostics.step.tls_disabled"))
            if self.url.params.get("sslnegotiation") == "direct":
                return self.skip("tls", Message("diagnostics.step.tls_at_login"))
            return self._run("tls", lambda: self._start_tls(connected)) is not None

    def log_in(self, application_name: str, timeout_s: float) -> Connection | None:
        """Log in as the recorder does. Returns the connection, or None with the reason in `error`."""
        started = time.perf_counter()
        try:
            self.connection = connect(
                self.url, timeout_s=self._remaining_s(timeout_s), application_name=application_name
            )
        except DatabaseError as error:
            self.record_failure("login", error, started)
            return None
        self.record_success("login", started)
        return self.connection

    def record_success(self, name: str, started: float) -> None:
        """Add a step that succeeded."""
        self.steps.append(ConnectionStep(name, True, elapsed_ms(started)))

    def record_failure(self, name: str, error: DatabaseError, started: float) -> None:
        """Add a step that failed with an error of the database."""
        self.error = error
        self.steps.append(ConnectionStep(name, False, elapsed_ms(started), error.code, error.cause, error.remedy))

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self.connection is not None:
            self.connection.close()

    def skip(self, name: str, reason: str = "") -> bool:
        """Add a step that is not needed. Always returns True: the probe continues."""
        self.steps.append(ConnectionStep(name, None, detail=reason))
        return True

    def _remaining_s(self, limit_s: float = STEP_TIMEOUT_S) -> float:
        return max(0.05, min(limit_s, self.deadline - time.monotonic()))

    def _run(self, name: str, step: Callable[[], tuple[T, str]]) -> T | None:
        started = time.perf_counter()
        try:
            result, detail = step()
        except _StepFailure as failure:
            self.steps.append(
                ConnectionStep(name, False, elapsed_ms(started), failure.code, failure.cause, failure.remedy)
            )
            return None
        self.steps.append(ConnectionStep(name, True, elapsed_ms(started), detail=detail))
        return result

    @property
    def _server(self) -> str:
        return f"{self.url.host}:{self.url.port}"

    def _connect_unix_socket(self) -> tuple[bool, str]:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(self._remaining_s())
            try:
                client.connect(f"{self.url.host}/.s.PGSQL.{self.url.port}")
            except OSError:
                raise _StepFailure("refused", Message("diagnostics.step.socket_refused", host=self.url.host)) from None
        return True, ""

    def _resolve(self) -> tuple[list[SocketAddress], str]:
        hosts, ports = self.url.host.split(","), self.url.port.split(",")
        ports = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
        try:
            addresses = look_up(zip(hosts, ports, strict=True), self._remaining_s())
        except TimeoutError:
            raise _StepFailure("dns_timeout", Message("diagnostics.step.dns_timeout")) from None
        if not addresses:
            raise _StepFailure("host_unknown", Message("login.host_unknown", host=self.url.host))
        families = sorted({_family_name(family) for family, _ in addresses})
        return addresses, join_messages(families, "general.both")

    def _connect_tcp(self, addresses: list[SocketAddress]) -> tuple[socket.socket, str]:
        """A socket to the first address that accepts; the addresses are tried in turn, as libpq does."""
        errors: list[OSError] = []
        deadline = time.monotonic() + self._remaining_s()
        for family, address in addresses:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.settimeout(max(0.05, deadline - time.monotonic()))
                sock.connect(address)
            except OSError as error:
                errors.append(error)
                sock.close()
                continue
            return sock, _family_name(family)
        raise self._tcp_failure(addresses, errors)

    def _tcp_failure(self, addresses: list[SocketAddress], errors: list[OSError]) -> _StepFailure:
        if any(isinstance(error, ConnectionRefusedError) for error in errors):
            return _StepFailure("refused", Message("login.refused", server=self._server))
        if all(family == socket.AF_INET6 for family, _ in addresses):
            return _StepFailure("ipv6_only", Message("login.ipv6_only", host=self.url.host))
        if all(error.errno in _UNREACHABLE for error in errors):
            return _StepFailure("unreachable", Message("login.unreachable", server=self._server))
        return _StepFailure("timeout", Message("login.timeout", server=self._server))

    def _start_tls(self, sock: socket.socket) -> tuple[bool, str]:
        """Send PostgreSQL's SSLRequest (see "SSL Session Encryption" in its protocol) and do the TLS handshake."""
        sock.settimeout(self._remaining_s())
        mode = self.url.params.get("sslmode", "prefer")
        try:
            sock.sendall(_SSL_REQUEST)
            reply = sock.recv(1)
        except OSError as error:
            if isinstance(error, TimeoutError) and _speaks_line_protocol(sock):
                raise _StepFailure("not_postgres", Message("login.not_postgres", server=self._server)) from None
            code = "silent" if isinstance(error, TimeoutError) else "hung_up"
            raise _StepFailure(code, Message(f"diagnostics.step.{code}", server=self._server)) from None
        if reply == b"N":
            if mode in {"require", "verify-ca", "verify-full"}:
                raise _StepFailure("tls_refused", Message("login.tls_refused", server=self._server))
            return True, Message("diagnostics.step.not_encrypted")
        if reply == b"":
            raise _StepFailure("hung_up", Message("diagnostics.step.hung_up", server=self._server))
        if reply not in b"SE":
            raise _StepFailure("not_postgres", Message("login.not_postgres", server=self._server))
        if reply == b"E":
            return True, Message("diagnostics.step.tls_request_refused")
        return True, self._do_tls_handshake(sock, mode)

    def _do_tls_handshake(self, sock: socket.socket, mode: str) -> str:
        verifies = mode in {"verify-ca", "verify-full"}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = mode == "verify-full"
        context.verify_mode = ssl.CERT_REQUIRED if verifies else ssl.CERT_NONE
        try:
            if verifies:
                self._load_root_certificates(context)
            with context.wrap_socket(sock, server_hostname=self.url.host.split(",")[0]) as tls:
                version = str(tls.version())
                return (
                    version if verifies else Message("diagnostics.step.certificate_not_verified", tls_version=version)
                )
        except ssl.SSLCertVerificationError as error:
            if code := _CERTIFICATE_ERRORS.get(error.verify_code):
                raise _StepFailure(code, Message(f"diagnostics.step.{code}", server=self._server)) from None
            raise _StepFailure("certificate", Message("login.certificate", server=self._server)) from None
        except (ssl.SSLError, OSError) as error:
            if isinstance(error, TimeoutError):
                message = Message("diagnostics.step.tls_timeout", server=self._server)
                raise _StepFailure("tls_timeout", message) from None
            raise _StepFailure("tls_failed", Message("login.tls_failed", server=self._server)) from None

    def _load_root_certificates(self, context: ssl.SSLContext) -> None:
        from pathlib import Path

        root = self.url.params.get("sslrootcert", "")
        if root == "system":
            context.load_default_certs()
            return
        file = Path(root) if root else Path.home() / ".postgresql" / "root.crt"
        try:
            context.load_verify_locations(file)
        except (OSError, ssl.SSLError):
            raise _StepFailure("root_certificate", Message("login.root_certificate")) from None


def _family_name(family: socket.AddressFamily) -> str:
    return "IPv6" if family == socket.AF_INET6 else "IPv4"


def _speaks_line_protocol(sock: socket.socket) -> bool:
    """Whether the server answers an empty line, as web and mail servers do and PostgreSQL doesn't."""
    with suppress(OSError):
        sock.settimeout(0.5)
        sock.sendall(b"\r\n\r\n")
        return bool(sock.recv(1))
    return False
