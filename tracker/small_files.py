"""Reads small files that people write: regular files of a bounded size, with errors of one sentence."""

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
    """The file's text. Raises `SettingError`, which begins with `label`, for anything else than a small text file.

    A device or a FIFO is refused without waiting for it. No content of the file is in the error.
    """
    try:
        # Without O_NONBLOCK the opening of a FIFO waits for a writer.
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SettingError(f"{label}: {str(path)!r} is not a regular file.")
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SettingError(f"{label}: {str(path)!r} can't be read: {error.strerror}.") from None
    except ValueError:
        raise SettingError(f"{label}: {str(path)!r} is no path of a file.") from None
    if len(content) > MAX_BYTES:
        raise SettingError(f"{label}: {str(path)!r} is larger than {MAX_BYTES:,} bytes.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SettingError(f"{label}: {str(path)!r} is not UTF-8 text.") from None


def parse_toml(text: str, label: str, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """The document. Raises `SettingError` for a text that is not TOML, or nested or numbered beyond all limits."""
    try:
        return tomllib.loads(text, parse_float=parse_float)
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"{label} is not TOML: {error}.") from None
    except (ValueError, ArithmeticError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else "it has a number that can't be read"
        raise SettingError(f"{label} can't be read: {why}.") from None
