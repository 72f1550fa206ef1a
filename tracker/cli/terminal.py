"""Output of the commands: escapes control characters, so that stored text can't control a terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

# C0 without line feed and tab, DEL, C1, and the characters that change the direction of text.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def _escape(match: re.Match[str]) -> str:
    # JSON documents stay valid with this escape.
    return f"\\u{ord(match[0]):04x}"


def terminal_text(text: object) -> str:
    """The text as one line without control characters.

    >>> terminal_text("a\\x1b[31m\\nb")
    'a\\\\u001b[31m b'
    """
    return _CONTROLS.sub(_escape, " ".join(str(text).split()))


def print_error(text: object) -> None:
    """Print one line on standard error, after the name of the command."""
    print(terminal_text(f"token-tracker: {text}"), file=sys.stderr)


class _SafeStream:
    """A stream that escapes control characters, and characters that its encoding lacks."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str, /) -> int:
        self.write_raw(_CONTROLS.sub(_escape, text))
        return len(text)

    def write_raw(self, text: str) -> None:
        """Write text without escaping; for the library's own text that moves the cursor."""
        encoding = self._stream.encoding or "utf-8"
        self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def safe_streams() -> Iterator[None]:
    """Replace standard output and standard error by escaping streams for the duration of the block."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _SafeStream(streams[0]), _SafeStream(streams[1])
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


def show_progress(text: str) -> None:
    """Write a progress line to standard error without escaping, so that it can move the cursor."""
    write = getattr(sys.stderr, "write_raw", sys.stderr.write)
    write(text)
    sys.stderr.flush()
