"""A network that fails on demand: a TCP proxy in front of a PostgreSQL server, with switches.

    with Proxy(server_url) as proxy:
        recorder = Tracker(database_url=proxy.url)
        proxy.cut_after()                    # the next statement commits, its answer never arrives
        recorder.record(usage)
        proxy.statements                     # what the client sent since it was logged in

The proxy understands just enough of the protocol (PostgreSQL, "Message Formats") to count statements and to know
when an answer is complete. Switches may be changed at any time; they hold for every connection.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from typing import Self
from urllib.parse import quote

from tracker.database.url import clean

# Asked before the start-up message: shall we speak TLS, or GSSAPI? The answer is one letter, N for no.
_ENCRYPTION_REQUESTS = {80877103, 80877104}
_CANCEL_REQUEST = 80877102
# Sent while logging in or out, not on behalf of the application.
_UNCOUNTED = {b"p", b"X"}
_READY = b"Z"


class Proxy:
    """Forwards connections from its own port to the server of a URL, and breaks them on request."""

    def __init__(self, url: str) -> None:
        self._target = clean(url)
        self.delay_to_server_ms = 0.0
        """Before each message of a client is forwarded."""
        self.delay_to_client_ms = 0.0
        """Before each message of the server is forwarded."""
        self.swallow = False
        """Take (and acknowledge) everything, forward nothing, answer nothing: the peer that hangs.

        A connection that fell silent stays so when the switch is turned back; new ones work.
        """
        self._lock = threading.Lock()
        self._statements: list[str] = []
        self._cut_before = 0
        self._cut_after = 0
        self._sessions: list[_Session] = []
        self._accepted = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone doesn't wake a thread that waits in accept().
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.cut_all()
        for session in self._sessions:
            session.join()

    @property
    def port(self) -> int:
        """The loopback port that clients connect to."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """The same database through the proxy."""
        user, password = self._target.user or "", self._target.password
        credentials = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
        return f"postgresql://{credentials}@127.0.0.1:{self.port}/{self._target.dbname}"

    @property
    def connections(self) -> int:
        """How many connections were accepted."""
        return self._accepted

    @property
    def statements(self) -> list[str]:
        """What clients sent since they were logged in, one text a message that waits for an answer."""
        with self._lock:
            return list(self._statements)

    def forget(self) -> None:
        """Count statements from zero again."""
        with self._lock:
            self._statements.clear()

    def cut_before(self, statement: int = 1) -> None:
        """Cut the connection instead of forwarding the n-th statement from now on."""
        with self._lock:
            self._cut_before = statement

    def cut_after(self, statement: int = 1) -> None:
        """Cut the connection once the server has answered the n-th statement from now on, before the client knows."""
        with self._lock:
            self._cut_after = statement

    def cut_all(self) -> None:
        """Cut every connection there is."""
        for session in list(self._sessions):
            session.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._accepted += 1
            session = _Session(self, client)
            self._sessions.append(session)
            session.start()

    def _dial(self) -> socket.socket:
        host, port = self._target.host, self._target.port
        if not host.startswith("/"):
            return socket.create_connection((host, int(port)))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def _note(self, text: str) -> tuple[bool, bool]:
        """Count a statement; whether to cut before it, and after its answer."""
        with self._lock:
            self._statements.append(text)
            before, after = self._cut_before == 1, self._cut_after == 1
            self._cut_before = max(0, self._cut_before - 1)
            self._cut_after = max(0, self._cut_after - 1)
            return before, after


class _Session:
    """One client's connection and ours to the server, with a thread for each direction."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server: socket.socket | None = None
        self._cut_at_ready = False
        self._threads = [threading.Thread(target=self._upstream, name="proxy-upstream", daemon=True)]

    def start(self) -> None:
        self._threads[0].start()

    def join(self) -> None:
        for thread in list(self._threads):
            thread.join()
        self._client.close()
        if self._server:
            self._server.close()

    def cut(self) -> None:
        for end in (self._client, self._server):
            with suppress(OSError, AttributeError):
                end.shutdown(socket.SHUT_RDWR)

    def _upstream(self) -> None:
        with suppress(OSError, EOFError):
            if self._log_in():
                while True:
                    self._forward_to_server()
        self.cut()

    def _downstream(self) -> None:
        with suppress(OSError, EOFError):
            while True:
                self._forward_to_client()
        self.cut()

    def _log_in(self) -> bool:
        """Pass the start-up message on; False when the connection was only there to cancel another one."""
        while True:
            head = _exactly(self._client, 8)
            length, code = struct.unpack("!II", head)
            self._hold()
            if code not in _ENCRYPTION_REQUESTS:
                break
            self._client.sendall(b"N")
        rest = _exactly(self._client, length - 8)
        self._hold()
        self._server = self._proxy._dial()
        self._server.sendall(head + rest)
        if code == _CANCEL_REQUEST:
            return False
        downstream = threading.Thread(target=self._downstream, name="proxy-downstream", daemon=True)
        self._threads.append(downstream)
        downstream.start()
        return True

    def _forward_to_server(self) -> None:
        kind, message = _message(self._client)
        self._hold()
        before = False
        if kind not in _UNCOUNTED:
            before, after = self._proxy._note(message[5:].rstrip(b"\0").decode(errors="replace"))
            self._cut_at_ready = self._cut_at_ready or after
        if before:
            raise EOFError
        time.sleep(self._proxy.delay_to_server_ms / 1000)
        self._server.sendall(message)

    def _forward_to_client(self) -> None:
        kind, message = _message(self._server)
        self._hold()
        if self._cut_at_ready:
            # The answer is kept back until it is whole: then the server has committed.
            if kind == _READY:
                raise EOFError
            return
        time.sleep(self._proxy.delay_to_client_ms / 1000)
        self._client.sendall(message)

    def _hold(self) -> None:
        """Where everything is swallowed: read on, so that the client is acknowledged, until it gives up."""
        if self._proxy.swallow:
            while self._client.recv(65_536):
                pass
            raise EOFError


def _message(sock: socket.socket) -> tuple[bytes, bytes]:
    """The next message whole, and its kind."""
    head = _exactly(sock, 5)
    (length,) = struct.unpack("!I", head[1:])
    return head[:1], head + _exactly(sock, length - 4)


def _exactly(sock: socket.socket, count: int) -> bytes:
    parts = b""
    while len(parts) < count:
        if not (part := sock.recv(count - len(parts))):
            raise EOFError
        parts += part
    return parts
