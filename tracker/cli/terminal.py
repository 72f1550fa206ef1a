"""Text for a terminal: what comes from files, databases and arguments can't send it control characters."""

from __future__ import annotations

import sys
import unicodedata

# Controls (C0, DEL, C1) move the cursor or run commands; format characters reorder what a person reads.
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def terminal_text(text: object) -> str:
    """The text as one line in which each control character is an escape such as \\x1b.

    >>> terminal_text("a\\x1b[31m\\nb")
    'a\\\\x1b[31m b'
    """
    line = " ".join(str(text).split())
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _HIDDEN_CATEGORIES else char
        for char in line
    )


def print_error(text: object) -> None:
    """Print one line on standard error, with the name of the command in front."""
    line = terminal_text(f"token-tracker: {text}")
    encoding = sys.stderr.encoding or "utf-8"
    print(line.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)
