"""One alert to one URL: a JSON POST to https, anything else through apprise. The URL is a secret and is never shown."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from tracker.recording.log import logger, warn_once
from tracker.threads import fork_gate

TIMEOUT_S = 5.0
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def send(url: str, alert: Mapping[str, Any]) -> None:
    """Send it, or say in the log why that failed; raises nothing."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            _post(url, alert)
        elif parts.scheme == "http":
            warn_once("An alert URL (masked) begins with http://; alerts are sent only to https:// URLs.")
        else:
            _notify(url, alert, parts.scheme)
    except Exception as error:  # noqa: BLE001  a channel that fails can't be allowed to fail anything else
        logger().warning("An alert couldn't be sent to an alert URL (masked): %s.", type(error).__name__)


def _post(url: str, alert: Mapping[str, Any]) -> None:
    """POST the alert as JSON. A redirect isn't followed: it would carry the alert somewhere nobody named."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    headers = {"Content-Type": "application/json", "User-Agent": "token-tracker"}
    if parts.username:
        with fork_gate.importing:
            import base64
            from urllib.parse import unquote

        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(credentials.encode()).decode()
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, json.dumps(alert), headers)
        status = connection.getresponse().status
    finally:
        connection.close()
    if status >= 300:
        logger().warning("An alert URL (masked) answered %d.", status)


def _notify(url: str, alert: Mapping[str, Any], scheme: str) -> None:
    try:
        with fork_gate.importing:
            import apprise
    except ImportError:
        warn_once(f"An alert URL (masked) of the kind {scheme}:// needs apprise: pip install 'token-tracker[alerts]'.")
        return
    channel = apprise.Apprise()
    if not channel.add(url):
        warn_once(f"apprise can't read an alert URL (masked) of the kind {scheme}://.")
        return
    lines = [f"{name}: {value}" for name, value in alert.items() if value is not None and name not in {"type", "error"}]
    body = "\n".join([str(alert["error"]), "", *lines])
    if not channel.notify(title=f"{alert['type']} ({alert['environment']})", body=body):
        logger().warning("An alert couldn't be sent to an alert URL (masked) of the kind %s://.", scheme)
