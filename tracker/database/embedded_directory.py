"""The directory of the embedded database: what in it is our own to remove, and what is somebody else's and stays.

Only what we made ourselves is removed, replaced or opened to others; whatever else is in the way is named.
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

ROOT_BASE = Path("/var/lib/token-tracker")
_MAKING = "initdb-"
_OURS = "made-by-token-tracker"
_DATA = "data"


def make(base: Path, *, is_default: bool = False) -> None:
    """Make the directory, closed to other users under any umask.

    As root those made here, and only those, can be passed through by the server's account. The default directory, which
    nobody else uses, is closed also if an earlier version left it open to writers.
    """
    mode = 0o711 if os.geteuid() == 0 else 0o700
    for path in reversed([path for path in (base, *base.parents) if not path.exists()]):
        with suppress(FileExistsError):
            path.mkdir(mode=mode)
            path.chmod(mode)
    found = base.stat()
    if is_default and found.st_uid == os.geteuid() and found.st_mode & 0o022:
        base.chmod(found.st_mode & 0o7755)


def open_lock(path: Path) -> IO[str]:
    """The lock file, made if it is missing: other users can't open it, and so can't hold its lock. Raises `OSError`."""
    file = open(path, "a", encoding="utf-8", opener=_open_private)  # noqa: SIM115  closing it ends the lock
    if os.fstat(file.fileno()).st_uid == os.geteuid():
        os.fchmod(file.fileno(), 0o600)
    return file


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def flock(file: IO[str], *, exclusive: bool, wait_s: float = 0.0) -> None:
    """Take the lock within the time. Raises `BlockingIOError` without a wait, `SetupError` after one."""
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
                    f"The embedded database can't start: another process{_holder(file)} has held the lock {file.name}"
                    f" for {wait_s:.0f} s.",
                    "End that process, or set TRACKER_EMBEDDED_DIR to another directory, or DATABASE_URL.",
                ) from None
        time.sleep(0.05)


def _holder(file: IO[str]) -> str:
    """The process that holds the lock, where the system tells."""
    inode = os.fstat(file.fileno()).st_ino
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return ""
    held = [parts for parts in map(str.split, lines) if len(parts) > 5 and parts[1] == "FLOCK"]
    pids = {parts[4] for parts in held if parts[5].endswith(f":{inode}")} - {"0", "-1"}
    return f" ({', '.join(sorted(pids))})" if pids else ""


def open_way(base: Path, user: int, group: int) -> None:
    """Root's server runs under another account, which must be able to pass every directory on the way.

    Root's own private ones among the temporary directories are opened to that account's group, which is nobody else's;
    any other is left as it is. Raises `SetupError`.
    """
    temporary = {Path(path).resolve() for path in (tempfile.gettempdir(), "/tmp", "/var/tmp")}  # noqa: S108
    for path in (base, *base.parents):
        found = path.stat()
        if _lets_pass(found, user, group):
            continue
        if found.st_uid != 0 or found.st_mode & 0o070 or temporary.isdisjoint(path.parents):
            raise SetupError(
                "embedded_unreachable",
                f"As root, the embedded database can't lie in {base}: {path} is closed to its account.",
                f"Let the account through (chmod o+x {shlex.quote(str(path))}), or set TRACKER_EMBEDDED_DIR to a"
                f" directory such as {ROOT_BASE}, or DATABASE_URL.",
            )
        os.chown(path, -1, group)
        path.chmod(found.st_mode & 0o7777 | 0o010)


def _lets_pass(found: os.stat_result, user: int, group: int) -> bool:
    if found.st_uid == user:
        return bool(found.st_mode & 0o100)
    return bool(found.st_mode & (0o010 if found.st_gid == group else 0o001))


def begin(base: Path) -> tuple[Path, Path]:
    """A new directory with our mark, and an empty one in it for initdb, which takes no other."""
    making = Path(tempfile.mkdtemp(prefix=_MAKING, dir=base))
    making.chmod(0o700)  # the umask may take this away
    (making / _OURS).touch()
    (making / _DATA).mkdir()
    (making / _DATA).chmod(0o700)
    return making, making / _DATA


def clear(base: Path) -> None:
    """Remove what a run of ours began and didn't end; the mark goes last, since an orphaned initdb may still write."""
    for making in base.glob(_MAKING + "*"):
        if making.is_symlink() or not (making / _OURS).is_file():
            continue
        shutil.rmtree(making / _DATA, ignore_errors=True)
        if not (making / _DATA).exists():
            shutil.rmtree(making, ignore_errors=True)


def check_free(data: Path) -> None:
    """Raises `SetupError` where something lies that isn't a database; an empty directory is no obstacle."""
    if data.is_symlink() or (data.exists() and not (data.is_dir() and not any(data.iterdir()))):
        raise SetupError(
            "embedded_occupied",
            f"The embedded database can't be made: {data} is there, and is no PostgreSQL database.",
            "Move it away, or set TRACKER_EMBEDDED_DIR to another directory, or DATABASE_URL.",
        )


def check_own(path: Path, *users: int) -> None:
    """Raises `SetupError` unless it is one of these users' directory: anybody may make one beside temporary files."""
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in users:
        raise SetupError(
            "embedded_occupied",
            f"The embedded database can't use {path} for its socket: it is somebody else's.",
            "Have it removed, or set TRACKER_EMBEDDED_DIR to a directory with a shorter path, or DATABASE_URL.",
        )
