"""Servers that refuse every login with a message of the test's choice, in PostgreSQL's own protocol."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_ENCRYPTION_REQUESTS = {80877103, 80877104}


class RefusingServer:
    """Answers each start-up message with an ErrorResponse; `logins` counts them."""

    def __init__(self, sqlstate: str, message: bytes, severity: bytes, routine: str) -> None:
        fields = [b"S" + severity, b"VFATAL", b"C" + sqlstate.encode(), b"M" + message]
        if routine:
            fields += [b"Fauth.c", b"L1", b"R" + routine.encode()]
        body = b"".join(field + b"\0" for field in fields) + b"\0"
        self._answer = b"E" + struct.pack("!I", len(body) + 4) + body
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.logins = 0

    @property
    def url(self) -> str:
        return f"postgresql://app:hunter2-secret@127.0.0.1:{self._listener.getsockname()[1]}/shop"

    def serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, suppress(OSError, struct.error):
                self._refuse(client)

    def _refuse(self, client: socket.socket) -> None:
        while True:
            length, code = struct.unpack("!II", client.recv(8))
            if code not in _ENCRYPTION_REQUESTS:
                break
            client.sendall(b"N")
        client.recv(length - 8)
        self.logins += 1
        client.sendall(self._answer)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def refusing(
    sqlstate: str, message: str | bytes, severity: str = "FATAL", routine: str = ""
) -> Iterator[RefusingServer]:
    """A server that refuses logins; its URL's user is app, its database shop."""
    said = message.encode() if isinstance(message, str) else message
    server = RefusingServer(sqlstate, said, severity.encode(), routine)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()
