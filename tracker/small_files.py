"""Reads small text files, such as configuration, with a size limit; each error is one sentence."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tracker.errors import SettingError
from tracker.messages import Message

MAX_BYTES = 1_000_000


def read_text(path: Path, label: str) -> str:
    """The file's text. Raises `SettingError`, which starts with `label`, for anything but a small text file.

    Refuses a device or a FIFO without waiting for it. The error contains none of the file's content.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer.
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SettingError(Message("general.file.not_regular", label=label, path=repr(str(path))))
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SettingError(
            Message("general.file.unreadable", label=label, path=repr(str(path)), words=error.strerror)
        ) from None
    except ValueError:
        raise SettingError(Message("general.file.not_a_path", label=label, path=repr(str(path)))) from None
    if len(content) > MAX_BYTES:
        raise SettingError(Message("general.file.too_large", label=label, path=repr(str(path)), bytes=f"{MAX_BYTES:,}"))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SettingError(Message("general.file.not_utf8", label=label, path=repr(str(path)))) from None


def parse_toml(text: str, label: str, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """The document. Raises `SettingError` if the text is not TOML, or exceeds Python's limits of depth or digits."""
    try:
        return tomllib.loads(text, parse_float=parse_float)
    except tomllib.TOMLDecodeError as error:
        raise SettingError(Message("general.file.not_toml", label=label, words=str(error))) from None
    except (ValueError, ArithmeticError, RecursionError) as error:
        code = "too_deep" if isinstance(error, RecursionError) else "number_unreadable"
        raise SettingError(Message(f"general.file.{code}", label=label)) from None
