"""Fixtures of the broken setups: a standby, poolers with bad certificates, ports that hang."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest
from faults import Proxy
from support import ROLE_PASSWORD, eventually, value, with_role

from tracker.database import embedded
from tracker.database.url import clean

TOKEN = "debug-tok3n-of-the-tests"


class DatabaseSetup:
    """A migrated database, and the means to break it."""

    def __init__(
        self, url: str, empty_url: str, new_role: Callable[..., str], directory: Path, stack: ExitStack
    ) -> None:
        self.plain_url = url
        self.role = new_role("LOGIN SUPERUSER")
        self.url = self.of_role(self.role)
        self.empty_url = with_role(empty_url, self.role)
        self.new_role = new_role
        self.directory = directory
        self.stack = stack
        self.clock_offset_s = 0.0
        self.is_repeatable = True
        self.through_pooler = False
        self.cause = ""
        self.request: pytest.FixtureRequest

    def of_role(self, role: str) -> str:
        return with_role(self.plain_url, role)

    def skip_behind_pooler(self) -> None:
        """Skip the setup behind a pooler, which answers in place of the server or waits until its own limit."""
        if self.fixture("pooled"):
            pytest.skip("The pooler of --database-url answers in place of the server.")

    def proxy(self) -> Proxy:
        return self.stack.enter_context(Proxy(self.plain_url))

    def on_port(self, port: int, host: str = "127.0.0.1", query: str = "") -> str:
        name = clean(self.plain_url).dbname
        return with_role(f"postgresql://{host}:{port}/{name}{query}", self.role)

    def fixture(self, name: str) -> object:
        return self.request.getfixturevalue(name)


@pytest.fixture
def setup(
    database_url: str,
    empty_database_url: str,
    new_role: Callable[..., str],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[DatabaseSetup]:
    with ExitStack() as stack:
        made = DatabaseSetup(database_url, empty_database_url, new_role, tmp_path, stack)
        made.request = request
        yield made


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, Path]]:
    """Makes self-signed certificates: from a name and a validity to (key, certificate)."""
    directory = tmp_path_factory.mktemp("certificates")
    program = shutil.which("openssl")
    if program is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("openssl is not installed.")

    def make(name: str, start: str = "20200101000000Z", end: str = "20900101000000Z") -> tuple[Path, Path]:
        home = Path(tempfile.mkdtemp(dir=directory))
        (home / "index.txt").touch()
        (home / "serial").write_text("01\n")
        (home / "ca.cnf").write_text(
            f"[ca]\ndefault_ca=c\n[c]\ndatabase={home}/index.txt\nserial={home}/serial\nnew_certs_dir={home}\n"
            "default_md=sha256\npolicy=p\nx509_extensions=e\n[p]\ncommonName=supplied\n"
            f"[e]\nsubjectAltName=DNS:{name}\nbasicConstraints=CA:TRUE\n"
        )
        key, request, certificate = home / "key.pem", home / "request.pem", home / "certificate.pem"
        for arguments in (
            ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={name}"],
            ["ca", "-batch", "-selfsign", "-config", home / "ca.cnf", "-keyfile", key, "-in", request, "-out",
             certificate, "-startdate", start, "-enddate", end, "-notext"],
        ):  # fmt: skip
            done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        return key, certificate

    return make


@pytest.fixture(scope="session")
def tls_pooler(
    server_url: str, certificates: Callable[..., tuple[Path, Path]]
) -> Iterator[Callable[..., tuple[int, Path]]]:
    """Starts PgBouncers that require TLS: from a certificate's name and validity to (port, root certificate)."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("PgBouncer is not installed.")
    target, running = clean(server_url), []

    def start(name: str, *validity: str) -> tuple[int, Path]:
        key, certificate = certificates(name, *validity)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        home = Path(tempfile.mkdtemp(prefix="tracker-tls-"))
        (home / "users").write_text('"postgres" ""\n')
        for file in (key, certificate):
            shutil.copy(file, home)
        (home / "ini").write_text(
            f"[databases]\n* = host={target.host} port={target.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {home}/users\n"
            f"pool_mode = transaction\nclient_tls_sslmode = require\nclient_tls_key_file = {home}/key.pem\n"
            f"client_tls_cert_file = {home}/certificate.pem\n"
        )
        account = embedded._account() if os.geteuid() == 0 else {}
        for path in (home, *home.iterdir()):
            if account:
                os.chown(path, account["user"], account["group"])
        with (home / "log").open("w") as log:
            process = subprocess.Popen([program, str(home / "ini")], stdout=log, stderr=log, **account)
        running.append((process, home))

        def answers() -> bool:
            assert process.poll() is None, (home / "log").read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        eventually(answers)
        return port, certificate

    yield start
    for process, home in running:
        process.terminate()
        process.wait(timeout=10)
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def standby_url(server_url: str, template: str) -> Iterator[Callable[[str], str]]:
    """A read-only replica of the server: from a database's URL to its URL there, once it has arrived."""
    if not embedded._servers:
        pytest.skip("A replica needs the embedded server, not one of --database-url.")
    server = next(iter(embedded._servers.values()))
    account, programs = server._as_account, server._program
    home = Path(tempfile.mkdtemp(prefix="tracker-standby-"))
    sockets = Path(tempfile.mkdtemp(prefix="tracker-s-"))
    for path in (home, sockets):
        path.chmod(0o700)
        if account:
            os.chown(path, account["user"], account["group"])
    data, log = home / "data", home / "log"

    def run_program(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(programs / program), *arguments], cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, check=False, timeout=120, **account,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    run_program("pg_basebackup", "-h", server.url.host, "-U", "postgres", "-D", str(data), "-R", "-c", "fast")
    options = f"-c listen_addresses='' -c unix_socket_directories='{sockets}' -c hot_standby=on"
    run_program("pg_ctl", "-D", str(data), "-w", "-t", "60", "-l", str(log), "-o", options, "start")

    def url_on_standby(url: str) -> str:
        name = clean(url).dbname
        standby = f"postgresql://postgres@/{name}?host={quote(str(sockets))}"
        eventually(lambda: _has_table(standby), within_s=30)
        return standby

    yield url_on_standby
    run_program("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
    shutil.rmtree(home)
    shutil.rmtree(sockets)


def _has_table(url: str) -> bool:
    import psycopg2

    try:
        return value(url, "SELECT to_regclass('token_usage') IS NOT NULL")
    except psycopg2.OperationalError:
        return False


@pytest.fixture
def secret() -> str:
    return ROLE_PASSWORD


@pytest.fixture
def token() -> str:
    return TOKEN
