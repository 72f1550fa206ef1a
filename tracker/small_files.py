"""Reads small text files, such as configuration, with a size limit; each error is one sentence."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tracker.errors import SettingError

MAX_BYTES = 1_000_000


def read_text(path: Path, label: str) -> str:
    """The file's text. Raises `SettingError`, which starts with `label`, for anything but a small text file.

    Refuses a device or a FIFO without waiting for it. The error contains none of the file's content.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer.
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SettingError(f"{label}: {str(path)!r} is not a regular file.")
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SettingError(f"{label}: {str(path)!r} can't be read: {error.strerror}.") from None
    except ValueError:
        raise SettingError(f"{label}: {str(path)!r} is not a file path.") from None
    if len(content) > MAX_BYTES:
        raise SettingError(f"{label}: {str(path)!r} is larger than {MAX_BYTES:,} bytes.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SettingError(f"{label}: {str(path)!r} is not UTF-8 text.") from None


def parse_toml(text: str, label: str, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """The document. Raises `SettingError` if the text is not TOML, or exceeds Python's limits of depth or digits."""
    try:
        return tomllib.loads(text, parse_float=parse_float)
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"{label} is not TOML: {error}.") from None
    except (ValueError, ArithmeticError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else "it has a number that can't be read"
        raise SettingError(f"{label} can't be read: {why}.") from None
