"""Opens the dashboard in the browser of a desktop, which `streamlit run` does for scripts, but not for ASGI apps."""

from __future__ import annotations

import os
import socket
import threading
import time
import webbrowser
from contextlib import suppress

import streamlit as st

_WILDCARDS = {"", "0.0.0.0", "::"}  # noqa: S104  compared, not bound
_WAIT_S = 30.0
_INTERVAL_S = 0.2


def open_when_ready() -> None:
    """Open the browser in a thread as soon as the server accepts connections; not in a terminal without a desktop.

    Without a desktop, the option `server.headless` is true: its default on Linux depends on the display.
    """
    if not st.get_option("server.headless") and "SSH_CONNECTION" not in os.environ:
        threading.Thread(target=_wait_and_open, name="tracker-open-browser", daemon=True).start()


def dashboard_url(host: str) -> str:
    """The address of the dashboard on this machine."""
    scheme = "https" if st.get_option("server.sslCertFile") else "http"
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{st.get_option('server.port')}/{base}"


def _wait_and_open() -> None:
    address = str(st.get_option("server.address") or "")
    host = "localhost" if address in _WILDCARDS else address
    ends = time.monotonic() + _WAIT_S
    while time.monotonic() < ends:
        with suppress(OSError), socket.create_connection((host, int(st.get_option("server.port"))), 1.0):
            webbrowser.open(dashboard_url(host))
            return
        time.sleep(_INTERVAL_S)
