"""A real PostgreSQL for every test: a server a session, a fresh database a test."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest

from tracker import settings
from tracker.database import embedded, locate
from tracker.database.migrate import migrate
from tracker.database.url import clean
from tracker.recording import tracker as tracker_module

ROOT = Path(__file__).parent.parent
_numbers = itertools.count(1)
# What a developer's shell or a CI service may have set, and what would change what is tested.
_FOREIGN = (
    "TRACKER_",
    "VERCEL",
    "PG",
    "AWS_",
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


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees a setting of the machine it runs on."""
    for name in os.environ:
        if name.startswith(_FOREIGN):
            monkeypatch.delenv(name)
    monkeypatch.setattr(tracker_module, "_warned", set())


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A superuser's URL of a running server."""
    if given := request.config.getoption("--database-url"):
        yield given
        return
    directory = Path(tempfile.mkdtemp(prefix="tracker-tests-"))
    url = embedded.start(str(directory))
    yield f"postgresql://postgres@/postgres?host={quote(url.host)}"
    embedded.stop(str(directory))
    shutil.rmtree(directory, ignore_errors=True)


def with_database(url: str, name: str) -> str:
    """The same server's URL for another database."""
    place, _, query = url.partition("?")
    return f"{place.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")


def run(url: str, *statements: str) -> None:
    """Run statements one by one outside of any transaction."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """The name of a migrated database that others are copied from."""
    name = f"tracker_template_{os.getpid()}"
    run(server_url, f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")
    migrate(lambda: connect(with_database(server_url, name)))
    yield name
    run(server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def connect(url: str) -> psycopg2.extensions.connection:
    """A connection as the tracker makes them."""
    database = locate.Database(clean(url), embedded=False, settings=settings.load({}))
    return database.connect("tests")


@pytest.fixture
def new_database(server_url: str) -> Iterator[Callable[[str], str]]:
    """Makes databases that are gone after the test: from the template's name to a URL."""
    made: list[str] = []

    def make(template: str = "template0") -> str:
        name = f"tracker_test_{os.getpid()}_{next(_numbers)}"
        run(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
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
