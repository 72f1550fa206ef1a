"""A PostgreSQL server of the distribution's packages: another version than the embedded one, with TLS and languages.

python -m debian_server pytest -q tests/database     # with tests/ on the path: runs it with --database-url
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import psycopg2
from support import NEEDS_PASSWORD

from tracker.database import embedded

_PROGRAMS = Path("/usr/lib/postgresql")
NEEDED = "Debian's PostgreSQL is not installed: apt-get install postgresql-15."


def programs() -> Path | None:
    """The directory of PostgreSQL 15's programs, which Supabase runs; else of the newest version that is installed."""
    if (_PROGRAMS / "15" / "bin" / "initdb").exists():
        return _PROGRAMS / "15" / "bin"
    found = sorted(_PROGRAMS.glob("*/bin/initdb"), key=lambda path: int(path.parent.parent.name))
    return found[-1].parent if found else None


class DebianServer:
    """Runs until the block ends; listens on 127.0.0.1 and on a socket, and trusts everybody unless `hba` says else."""

    def __init__(self, *, hba: str = "", language: str = "", tls: tuple[Path, Path] | None = None) -> None:
        found = programs()
        assert found is not None, NEEDED
        self._programs = found
        self._home = Path(tempfile.mkdtemp(prefix="tracker-debian-"))
        self._data = self._home / "data"
        self._hba, self._language, self._tls = hba, language, tls
        self._account: dict[str, Any] = embedded._account() if os.geteuid() == 0 else {}
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]

    @property
    def admin_url(self) -> str:
        """A superuser's URL through the socket."""
        return f"postgresql://postgres@/postgres?host={self._home}&port={self.port}"

    def url(self, role: str, database: str = "postgres", query: str = "") -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}{query}"

    def __enter__(self) -> Self:
        if self._language:
            self._make_language()
        self._own(self._home)
        made = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "-U", "postgres", "-N"]
        self._do("initdb", *made, "-D", str(self._data))
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self._home),
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "200",
            **({"lc_messages": f"{self._language}.UTF-8"} if self._language else {}),
        }
        if self._tls:
            key, certificate = str(self._copy(self._tls[0])), str(self._copy(self._tls[1]))
            settings |= {"ssl": "on", "ssl_key_file": key, "ssl_cert_file": certificate, "ssl_ca_file": certificate}
        lines = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(lines)
        if self._hba:
            (self._data / "pg_hba.conf").write_text(self._hba)
        self._do("pg_ctl", "-D", str(self._data), "-w", "-l", str(self._home / "log"), "start")
        return self

    def __exit__(self, *_: object) -> None:
        self._do("pg_ctl", "-D", str(self._data), "-m", "immediate", "stop")
        shutil.rmtree(self._home, ignore_errors=True)

    def _make_language(self) -> None:
        done = subprocess.run(
            ["localedef", "-c", "-i", self._language, "-f", "UTF-8", str(self._home / f"{self._language}.UTF-8")],
            capture_output=True,
            check=False,
        )
        # 1: warnings about the locale's own text.
        assert done.returncode in {0, 1}, done.stderr.decode()

    def _copy(self, path: Path) -> Path:
        copied = self._home / path.name
        shutil.copy(path, copied)
        self._own(copied)
        copied.chmod(0o600)
        return copied

    def _own(self, path: Path) -> None:
        if self._account:
            os.chown(path, self._account["user"], self._account["group"])

    def _do(self, program: str, *arguments: str) -> None:
        environment = {**os.environ, "LC_ALL": "C.UTF-8", **({"LOCPATH": str(self._home)} if self._language else {})}
        done = subprocess.run(
            [str(self._programs / program), *arguments], cwd=self._home, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False, timeout=120,
            env=environment, **self._account,
        )  # fmt: skip
        log = self._home / "log"
        assert done.returncode == 0, done.stderr + (log.read_text() if log.exists() else "")


def main(command: list[str]) -> int:
    """Run a command on a server of its own; its exit code."""
    hba = f"local all +{NEEDS_PASSWORD} scram-sha-256\nlocal all all trust\nhost all all 127.0.0.1/32 trust\n"
    with DebianServer(hba=hba) as server:
        with closing(psycopg2.connect(server.admin_url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE ROLE {NEEDS_PASSWORD}")
        return subprocess.run([*command, "--database-url", server.admin_url], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
