"""Creates, locks and checks the directory of the embedded database.

Only files that this package created are removed, replaced or opened to other users; an obstacle is an error.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from tracker.errors import SetupError
from tracker.messages import Message

ROOT_BASE = Path("/var/lib/token-tracker")
_TEMPORARY_PREFIX = "initdb-"
_MARKER = "made-by-token-tracker"
_DATA = "data"


def create(base: Path, *, is_default: bool = False) -> None:
    """Create the directory, closed to other users under any umask.

    As root, the directories created here can be traversed by the server's account. The default directory is also closed
    if an earlier version left it writable for other users.
    """
    mode = 0o711 if os.geteuid() == 0 else 0o700
    for path in reversed([path for path in (base, *base.parents) if not path.exists()]):
        with suppress(FileExistsError):
            path.mkdir(mode=mode)
            path.chmod(mode)
    status = base.stat()
    if is_default and status.st_uid == os.geteuid() and status.st_mode & 0o022:
        base.chmod(status.st_mode & 0o7755)


def open_lock(path: Path) -> IO[str]:
    """The lock file, created if missing; other users can't open it and so can't lock it. Raises `OSError`."""
    file = open(path, "a", encoding="utf-8", opener=_open_private)  # noqa: SIM115  closing it releases the lock
    if os.fstat(file.fileno()).st_uid == os.geteuid():
        os.fchmod(file.fileno(), 0o600)
    return file


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def flock(file: IO[str], *, exclusive: bool, wait_s: float = 0.0) -> None:
    """Take the lock within `wait_s`. Raises `BlockingIOError` if `wait_s` is 0, otherwise `SetupError`."""
    import fcntl

    how = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB
    end_s = time.monotonic() + wait_s
    while True:
        try:
            return fcntl.flock(file, how)
        except BlockingIOError:
            if not wait_s:
                raise
            if time.monotonic() >= end_s:
                raise SetupError(
                    "embedded_busy",
                    Message("database.embedded_busy", holder=_holder(file), lock=file.name, wait_s=f"{wait_s:.0f}"),
                    Message("database.embedded_busy.remedy"),
                ) from None
        time.sleep(0.05)


def _holder(file: IO[str]) -> str:
    """The process that owns the lock, if /proc shows it."""
    inode = os.fstat(file.fileno()).st_ino
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return ""
    locks = [fields for fields in map(str.split, lines) if len(fields) > 5 and fields[1] == "FLOCK"]
    pids = {fields[4] for fields in locks if fields[5].endswith(f":{inode}")} - {"0", "-1"}
    return f" ({', '.join(sorted(pids))})" if pids else ""


def open_parents(base: Path, user: int, group: int) -> None:
    """Let the server's account traverse every parent directory; root's server runs under another account.

    Only root's private directories below the temporary directories are opened to that account's own group. Raises
    `SetupError` if another directory is closed.
    """
    temporary = {Path(path).resolve() for path in (tempfile.gettempdir(), "/tmp", "/var/tmp")}  # noqa: S108
    for path in (base, *base.parents):
        status = path.stat()
        if _can_traverse(status, user, group):
            continue
        if status.st_uid != 0 or status.st_mode & 0o070 or temporary.isdisjoint(path.parents):
            raise SetupError(
                "embedded_unreachable",
                Message("database.embedded_unreachable", base=base, path=path),
                Message(
                    "database.embedded_unreachable.remedy", quoted_path=shlex.quote(str(path)), root_base=ROOT_BASE
                ),
            )
        os.chown(path, -1, group)
        path.chmod(status.st_mode & 0o7777 | 0o010)


def _can_traverse(status: os.stat_result, user: int, group: int) -> bool:
    if status.st_uid == user:
        return bool(status.st_mode & 0o100)
    return bool(status.st_mode & (0o010 if status.st_gid == group else 0o001))


def create_temporary(base: Path) -> tuple[Path, Path]:
    """A new temporary directory with a marker file, and an empty directory in it for initdb."""
    temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY_PREFIX, dir=base))
    temporary.chmod(0o700)  # the umask may have removed permissions
    (temporary / _MARKER).touch()
    (temporary / _DATA).mkdir()
    (temporary / _DATA).chmod(0o700)
    return temporary, temporary / _DATA


def remove_temporary(base: Path) -> None:
    """Remove temporary directories of aborted runs; the marker last, since an orphaned initdb may still write."""
    for temporary in base.glob(_TEMPORARY_PREFIX + "*"):
        if temporary.is_symlink() or not (temporary / _MARKER).is_file():
            continue
        shutil.rmtree(temporary / _DATA, ignore_errors=True)
        if not (temporary / _DATA).exists():
            shutil.rmtree(temporary, ignore_errors=True)


def check_available(data: Path) -> None:
    """Raises `SetupError` if the path exists and isn't a database; an empty directory is allowed."""
    if data.is_symlink() or (data.exists() and not (data.is_dir() and not any(data.iterdir()))):
        raise SetupError(
            "embedded_occupied",
            Message("database.embedded_occupied", data=data),
            Message("database.embedded_occupied.remedy"),
        )


def check_owner(path: Path, *users: int) -> None:
    """Raises `SetupError` unless one of these users owns it: every user may create one in the temporary directory."""
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in users:
        raise SetupError(
            "embedded_occupied",
            Message("database.embedded_socket_foreign", path=path),
            Message("database.embedded_socket_foreign.remedy"),
        )
