"""A real PostgreSQL for every test: a server a session, a fresh database a test."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import bursts
import psycopg2
import pytest
from faults import Proxy
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from support import (
    NEEDS_PASSWORD,
    ROLE_PASSWORD,
    connect,
    end_sessions,
    eventually,
    run,
    small_disk,
    value,
    with_database,
    with_role,
)

from tracker import Tracker
from tracker.database import embedded
from tracker.database.migrate import migrate
from tracker.database.url import clean
from tracker.recording import record_log as log
from tracker.recording import tracker as tracker_module

ROOT = Path(__file__).parent.parent
# A shared machine makes any one example slow; what must hold doesn't depend on it. The gate tries the same examples
# each time, so that it fails for the change that it tests; every other run tries new ones.
hypothesis_settings.register_profile(
    "tracker", deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
hypothesis_settings.register_profile("gate", hypothesis_settings.get_profile("tracker"), derandomize=True)
hypothesis_settings.load_profile("gate" if os.environ.get("CI") == "true" else "tracker")
# Files by their time, the slowest first, so that no worker begins a long file at the end. Files that use the
# processor (browsers) alternate with files that wait (faults).
# fmt: off
_SLOWEST_FILES = (
    "test_browser", "test_broken_setups", "test_frameworks", "test_forks", "test_charts_browser",
    "test_browser_links", "test_growth", "test_pages", "test_browser_actions", "test_sign_in", "test_hostile",
    "test_server", "test_live", "test_korean", "test_embedded", "test_saved_views", "test_exporters",
    "test_refresh", "test_same_answer", "test_faults", "test_diagnosis", "test_installed", "test_outage",
    "test_leaves", "test_commands", "test_promises", "test_cli_outbox", "test_migrate", "test_cli_errors",
    "test_schema_names", "test_odd_pages", "test_reprice", "test_evaluate", "test_wrapping", "test_middleware",
    "test_rollup_reader", "test_span_calls", "test_cli_damaged_outbox", "test_refresh_faults", "test_odd_input",
    "test_price_of_all_facts", "test_cli_embedded", "test_login_errors", "test_debug_api", "test_gemini",
    "test_odd_rows", "test_doctor", "test_adoption", "test_captures", "test_bill_comparison", "test_export_limits",
    "test_budget_command", "test_examples", "test_table_changes", "test_drain_lock", "test_durability",
    "test_one_row_per_call", "test_indexes", "test_deadlines",
)
# fmt: on
PROVIDERS = "tests/providers/"
_numbers = itertools.count(1)
# The compiled test files are used again in the next run.
sys.dont_write_bytecode = False
gc.disable()  # while hundreds of files are imported
# What a developer's shell or a CI service may have set, and what would change what is tested.
_FOREIGN = (
    "TRACKER_",
    "VERCEL",
    "PG",
    "AWS_",
    "K_",
    "CLOUD_RUN",
    "GOOGLE_CLOUD_REGION",
    "FUNCTIONS_WORKER_RUNTIME",
    "NETLIFY",
    "RENDER",
    "RAILWAY_",
    "DYNO",
    "HEROKU_",
    "FLY_",
    "NODE_ENV",
    "APP_ENV",
    "ENVIRONMENT",
    "DATABASE_URL",
    "POSTGRES_URL",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database-url", help="a superuser's URL of the server to test against, instead of the embedded one"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(_SLOWEST_FILES)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """The files of the providers in one worker, because the SDKs take seconds to import; else each file for itself."""
    from xdist.scheduler import LoadFileScheduling

    class FilesOrProviders(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return PROVIDERS if nodeid.startswith(PROVIDERS) else super()._split_scope(nodeid)

    return FilesOrProviders(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if bursts.RESULTS and config.option.markexpr == "long":
        terminalreporter.write_line("\n" + bursts.table())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker waits for the others after its last test; Trackers whose server is gone by then log nothing."""
    if hasattr(session.config, "workerinput"):
        logging.getLogger("tracker").setLevel(logging.CRITICAL + 1)


@pytest.fixture(scope="module", autouse=True)
def short_garbage_collections() -> None:
    """Exclude the modules and collected tests from garbage collections: Streamlit runs a full one after each rerun."""
    # Clients of providers leave connections open, which are no fault of the next module.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees a setting of the machine it runs on."""
    for name in os.environ:
        if name.startswith(_FOREIGN):
            monkeypatch.delenv(name)
    monkeypatch.setattr(log, "_warned", set())
    monkeypatch.setattr(tracker_module, "_shared", None)
    # What a test queues is nobody else's, and nothing is left in the home of whoever runs it.
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
    # A command run in this process silences the library's log for the rest of it.
    logging.getLogger("tracker").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A superuser's URL of a running server."""
    if given := request.config.getoption("--database-url"):
        yield given
        return
    directory = Path(tempfile.mkdtemp(prefix="tracker-tests-"))
    socket_dir = embedded.start(str(directory)).host
    url = f"postgresql://postgres@/postgres?host={quote(socket_dir)}"
    # What a test writes needn't outlive a power cut.
    run(url, "ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off")
    if value(url, "SELECT count(*) FROM pg_settings WHERE name = 'file_copy_method' AND 'clone' = ANY (enumvals)"):
        run(url, "ALTER SYSTEM SET file_copy_method = clone")  # the kernel copies a database's files
    run(url, "SELECT pg_reload_conf()")
    yield url
    embedded.stop(str(directory))
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def asks_for_passwords(server_url: str) -> bool:
    """Whether a user that doesn't exist is refused for the password, as everywhere but on a server that trusts."""
    try:
        psycopg2.connect(with_role(server_url, "no_such_role")).close()
    except psycopg2.OperationalError as error:
        return "password authentication failed" in str(error)
    return False


@pytest.fixture(scope="session")
def pooled(server_url: str) -> bool:
    """Whether a pooler stands in front of the server: then a session's number is the pooler's own."""
    with closing(psycopg2.connect(server_url)) as opened, opened.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return bool(cursor.fetchone() != (opened.info.backend_pid,))


@pytest.fixture(autouse=True)
def directly(request: pytest.FixtureRequest) -> None:
    """Leave out, behind a pooler, what needs the server's own sessions."""
    if request.node.get_closest_marker("direct") and request.getfixturevalue("pooled"):
        pytest.skip("Behind the pooler of --database-url the server's sessions are not ours.")


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """The name of a migrated database that others are copied from."""
    name = f"tracker_template_{os.getpid()}"
    run(server_url, f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")
    migrate(lambda: connect(with_database(server_url, name)))
    # A pooler keeps its connection, and a database in use is not copied.
    end_sessions(server_url, f"datname = '{name}'")
    yield name
    run(server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def new_role(server_url: str) -> Iterator[Callable[..., str]]:
    """Makes roles that are gone after the test: from SQL options to a name; or makes one of a given name."""
    made: list[str] = []

    def make(options: str = "LOGIN", name: str = "") -> str:
        name = name or f"tracker_role_{os.getpid()}_{next(_numbers)}"
        run(server_url, f"CREATE ROLE {name} {options} PASSWORD '{ROLE_PASSWORD}'")
        made.append(name)
        if "LOGIN" in options.split():
            try:
                psycopg2.connect(with_role(server_url, name)).close()
            except psycopg2.OperationalError:
                pytest.skip("A new role can't log in here: the pooler or pg_hba.conf knows only its own.")
            end_sessions(server_url, f"usename = '{name}'")  # which would count towards a limit of the role's
        return name

    yield make
    run(server_url, *(f"DROP ROLE IF EXISTS {name}" for name in made))


@pytest.fixture(scope="session")
def copying(server_url: str) -> str:
    """How a database is copied fastest; copying files takes checkpoints, which are cheap on our own server alone."""
    # Before PostgreSQL 15 there is no other way, and no word for it.
    chosen = "SELECT current_setting('fsync') = 'off' AND current_setting('server_version_num')::int >= 150000"
    return "STRATEGY file_copy" if value(server_url, chosen) else ""


@pytest.fixture
def new_database(server_url: str, copying: str, new_role: object) -> Iterator[Callable[[str], str]]:
    """Makes databases that are gone after the test: from the template's name to a URL."""
    made: list[str] = []

    def make(template: str = "template0") -> str:
        name = f"tracker_test_{os.getpid()}_{next(_numbers)}"
        run(server_url, f"CREATE DATABASE {name} TEMPLATE {template} {copying}")
        made.append(name)
        return with_database(server_url, name)

    yield make
    run(server_url, *(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)" for name in made))


@pytest.fixture
def database_url(new_database: Callable[[str], str], template: str) -> str:
    """The URL of a fresh, migrated database."""
    return new_database(template)


@pytest.fixture
def empty_database_url(new_database: Callable[..., str]) -> str:
    """The URL of a fresh database without any table."""
    return new_database()


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg2.extensions.connection]:
    """An autocommit connection to the fresh, migrated database."""
    with closing(connect(database_url)) as opened:
        yield opened


@pytest.fixture
def limited_url(database_url: str, new_role: Callable[..., str]) -> str:
    """The fresh, migrated database as an ordinary role sees it that may read and insert."""
    role = new_role()
    run(database_url, f"GRANT SELECT, INSERT ON token_usage TO {role}")
    return with_role(database_url, role)


@pytest.fixture
def new_tracker(database_url: str) -> Iterator[Callable[..., Tracker]]:
    """Makes Trackers, by default in direct mode on the fresh, migrated database; they are closed after the test."""
    made: list[Tracker] = []

    def make(**settings: Any) -> Tracker:
        made.append(Tracker(**{"database_url": database_url, "mode": "direct", **settings}))
        return made[-1]

    yield make
    for tracker in made:
        tracker._close(1.0)  # what still waits is of no use to anyone


@pytest.fixture
def recorder(new_tracker: Callable[..., Tracker]) -> Tracker:
    """A Tracker in direct mode on the fresh, migrated database."""
    return new_tracker()


@pytest.fixture
def as_ordinary_user() -> Callable[[], AbstractContextManager[None]]:
    """A block in which file permissions count, also where the tests run as root."""

    @contextmanager
    def block() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return block


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A directory in which nobody can write, not even root."""
    if os.geteuid() == 0:
        with small_disk(tmp_path) as disk:
            disk.remount("ro")
            yield disk
        return
    directory = tmp_path / "read-only"
    directory.mkdir(mode=0o555)
    yield directory
    directory.chmod(0o755)


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    """A network in front of the fresh, migrated database, which fails on request."""
    with Proxy(database_url) as running:
        yield running


@dataclass(frozen=True)
class Clerk:
    """A role that must give its password."""

    name: str
    password: str


@pytest.fixture(scope="session")
def clerk(server_url: str, request: pytest.FixtureRequest) -> Iterator[Clerk]:
    """A role that must give its password; the embedded server trusts everybody else."""
    role = Clerk(f"tracker_clerk_{os.getpid()}", "s3cr%t/" + secrets.token_urlsafe(9) + "@ß?#")
    literal = role.password.replace("'", "''")
    run(server_url, f"CREATE ROLE {role.name} LOGIN PASSWORD '{literal}'")

    def asks() -> bool:
        try:
            psycopg2.connect(with_role(server_url, role.name)).close()
        except psycopg2.OperationalError:
            return True
        return False

    if not request.config.getoption("--database-url"):
        file = Path(value(server_url, "SHOW hba_file"))
        file.write_text(f"local all {role.name} scram-sha-256\n" + file.read_text())
        run(server_url, "SELECT pg_reload_conf()")
        eventually(asks)
    elif value(server_url, f"SELECT count(*) FROM pg_roles WHERE rolname = '{NEEDS_PASSWORD}'"):
        run(server_url, f"GRANT {NEEDS_PASSWORD} TO {role.name}")
    if not asks():
        pytest.skip("The server of --database-url asks nobody for a password.")
    yield role
    run(server_url, f"DROP ROLE {role.name}")


@pytest.fixture
def password_url(database_url: str, clerk: Clerk) -> str:
    """The URL of a fresh, migrated database, of a role that may read and insert and must give its password."""
    run(database_url, f"GRANT SELECT, INSERT ON token_usage TO {clerk.name}")
    return with_role(database_url, clerk.name, clerk.password)


@pytest.fixture(scope="session")
def pooler(server_url: str) -> Iterator[Callable[[str], str]]:
    """PgBouncer in transaction mode with five connections a database: from a database's URL to its URL there."""
    with pgbouncer(server_url, "transaction") as through:
        yield through


@pytest.fixture(scope="session")
def statement_pooler(server_url: str) -> Iterator[Callable[[str], str]]:
    """The same in statement mode, where BEGIN ends the connection."""
    with pgbouncer(server_url, "statement") as through:
        yield through


@contextmanager
def pgbouncer(server_url: str, pool_mode: str) -> Iterator[Callable[[str], str]]:
    """A PgBouncer in front of a server: from a database's URL to its URL there."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        reason = "PgBouncer is not installed: apt-get install pgbouncer, or brew install pgbouncer."
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    target = clean(server_url)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    directory = Path(tempfile.mkdtemp(prefix="tracker-pooler-"))
    (directory / "users").write_text(f'"{target.user}" "{target.password or ""}"\n')
    (directory / "pgbouncer.ini").write_text(f"""\
[databases]
* = host={target.host} port={target.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
stats_users = {target.user}
auth_file = {directory}/users
pool_mode = {pool_mode}
default_pool_size = 5
max_client_conn = 500
""")
    account = embedded._account() if os.geteuid() == 0 else {}
    for path in (directory, *directory.iterdir()):
        if account:
            os.chown(path, account["user"], account["group"])
    with (directory / "log").open("w") as log:
        process = subprocess.Popen([program, str(directory / "pgbouncer.ini")], stdout=log, stderr=log, **account)

    def through(url: str) -> str:
        return f"postgresql://{target.user}@127.0.0.1:{port}/{clean(url).dbname}"

    def answers() -> bool:
        assert process.poll() is None, (directory / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    eventually(answers)
    yield through
    process.terminate()
    process.wait(timeout=10)
    shutil.rmtree(directory)
