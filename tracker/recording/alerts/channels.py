"""Sends an alert to a URL: a JSON POST for https, apprise for other schemes. The URL is secret and never logged."""

from __future__ import annotations

import http.client
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

from tracker.forks import fork_guard
from tracker.recording.record_log import logger, warn_once

TIMEOUT_S = 5.0
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def send(url: str, alert: Mapping[str, Any]) -> bool:
    """Send the alert and return whether the channel accepted it; a failure is logged. Never raises."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            return _post(url, alert)
        if parts.scheme == "http":
            warn_once("An alert URL (masked) begins with http://; alerts are sent only to https:// URLs.")
        else:
            return _notify(url, *_as_text(alert), parts.scheme)
    except Exception as error:  # noqa: BLE001  a failing channel must not cause other failures
        logger().warning("An alert couldn't be sent to an alert URL (masked): %s.", type(error).__name__)
    return False


def _as_text(alert: Mapping[str, Any]) -> tuple[str, str]:
    """The title and the text of an alert for channels that people read; a digest has its own."""
    if "text" in alert:
        return alert["title"], alert["text"]
    lines = [f"{name}: {value}" for name, value in alert.items() if value is not None and name not in {"type", "error"}]
    return f"{alert['type']} ({alert['environment']})", "\n".join([str(alert["error"]), "", *lines])


def _post(url: str, alert: Mapping[str, Any]) -> bool:
    """POST the alert as JSON. Redirects aren't followed, because they lead to a host that isn't configured."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    headers = {"Content-Type": "application/json", "User-Agent": "token-tracker"}
    if parts.username:
        with fork_guard.importing:
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
    return status < 300


def _notify(url: str, title: str, body: str, scheme: str) -> bool:
    try:
        with fork_guard.importing:
            import apprise
    except ImportError:
        warn_once(f"An alert URL (masked) of the kind {scheme}:// needs apprise: pip install apprise.")
        return False
    with _silent_libraries():
        channel = apprise.Apprise()
        is_readable = channel.add(url)
        is_sent = is_readable and channel.notify(
            title=plain_text(title), body=plain_text(body), body_format=apprise.NotifyFormat.TEXT
        )
    if not is_readable:
        warn_once(f"apprise can't read an alert URL (masked) of the kind {scheme}://.")
    elif not is_sent:
        logger().warning("An alert couldn't be sent to an alert URL (masked) of the kind %s://.", scheme)
    return bool(is_readable and is_sent)


def plain_text(text: str) -> str:
    """The text without mentions, which a chat service would turn into notifications.

    An invisible space splits the start of a mention: `<!channel>` and `<@U1>` in Slack, `@everyone` in Discord.

    >>> plain_text("<!channel>") == "<\\u200b!channel>"
    True
    """
    return _MENTION.sub("\\g<0>\u200b", text)


# The start of Slack's special sequences, and an @ before a word that is not in a mail address.
_MENTION = re.compile(r"<(?=[!@#])|(?<![\w.])@(?=\w)")
_SENDING: ContextVar[bool] = ContextVar("tracker_sending_alert", default=False)


class _DropWhileSending(logging.Filter):
    """Drops the log lines of a library while it sends an alert, because they contain the secret parts of the URL."""

    def filter(self, _record: logging.LogRecord, /) -> bool:
        return not _SENDING.get()


@contextmanager
def _silent_libraries() -> Iterator[None]:
    """Suppress the log lines of apprise and its HTTP client in the block; other uses by the host are still logged."""
    for name in ("apprise", "urllib3.connectionpool", "requests_oauthlib.oauth1_auth"):
        library_logger = logging.getLogger(name)
        if not any(isinstance(existing, _DropWhileSending) for existing in library_logger.filters):
            library_logger.addFilter(_DropWhileSending())
    token = _SENDING.set(True)
    try:
        yield
    finally:
        _SENDING.reset(token)
