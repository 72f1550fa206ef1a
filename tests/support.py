"""What the tests share: statements run on the side, waiting for a condition, a call to record."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2

from tracker import TokenUsage, settings
from tracker.database import locate
from tracker.database.url import clean

ROOT = Path(__file__).parent.parent


def with_database(url: str, name: str) -> str:
    """The same server's URL for another database."""
    place, _, query = url.partition("?")
    return f"{place.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")


NEEDS_PASSWORD = "needs_password"  # the server asks this role's members for a password
ROLE_PASSWORD = "s3cr%t/pä$$:w?rd#@&=+"  # every character that a URL trips over


def with_parameters(url: str, text: str) -> str:
    """The same database's URL with more parameters."""
    return f"{url}{'&' if '?' in url else '?'}{text}"


def with_role(url: str, role: str, password: str = ROLE_PASSWORD) -> str:
    """The same database's URL for another role; its password is that of the roles that tests make."""
    scheme, _, rest = url.partition("://")
    place = rest.rpartition("@")[2]
    credentials = f"{role}:{quote(password, safe='')}" if password else role
    return f"{scheme}://{credentials}@{place}"


def run(url: str, *statements: str) -> None:
    """Run statements one by one outside of any transaction."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def rows(url: str, question: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """The rows that answer a question."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(question, parameters)
        return cursor.fetchall()


def value(url: str, question: str, parameters: Any = None) -> Any:
    """The one value that answers a question."""
    return rows(url, question, parameters)[0][0]


def count(url: str) -> int:
    """The number of rows of token_usage."""
    return value(url, "SELECT count(*) FROM token_usage")


@contextmanager
def locked(url: str, mode: str = "ACCESS EXCLUSIVE") -> Iterator[Callable[[], None]]:
    """Somebody else's lock on token_usage; ends with the block, or when what it yields is called."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE token_usage IN {mode} MODE")
        yield connection.rollback


def leave_behind(through: str, setting: str) -> None:
    """Set something in every connection that the pooler shares, as a careless client does."""
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(psycopg2.connect(through))) for _ in range(5)]
        for client in clients:
            with client.cursor() as cursor:
                cursor.execute(setting)  # opens a transaction, so that each holds a connection of its own
        for client in clients:
            _commit(client, setting)


def _commit(client: psycopg2.extensions.connection, setting: str) -> None:
    """Set and commit; a `statement_timeout` of 1 ms can cancel the COMMIT itself, also of a later attempt."""
    for _ in range(100):
        try:
            with client.cursor() as cursor:
                cursor.execute(setting)
            return client.commit()
        except psycopg2.errors.QueryCanceled:
            client.rollback()
    raise AssertionError(f"{setting} was canceled a hundred times")


def connect(url: str) -> psycopg2.extensions.connection:
    """A connection as the tracker makes them."""
    database = locate.Database(clean(url), embedded=False, settings=settings.load({}))
    return database.connect("tests")


def eventually(condition: Callable[[], Any], within_s: float = 10.0) -> Any:
    """Wait until a condition holds and return its value; fail when it doesn't within the time."""
    end = time.monotonic() + within_s
    while not (result := condition()):
        assert time.monotonic() < end, f"not within {within_s} s"
        time.sleep(0.01)
    return result


def end_sessions(url: str, whose: str) -> None:
    """End the server's sessions of which a condition on `pg_stat_activity` holds, until there are none.

    One that was just being opened gets its name, and into the view, only now.
    """
    ending = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {whose}"
    eventually(lambda: value(url, ending) == 0)


def set_default(url: str, setting: str) -> None:
    """Set a database's own default of a setting, also for the sessions that a pooler has begun."""
    name, elsewhere = clean(url).dbname, with_database(url, "postgres")
    run(elsewhere, f"ALTER DATABASE {name} SET {setting}")
    end_sessions(elsewhere, f"datname = '{name}'")


def a_call(**fields: Any) -> TokenUsage:
    """A call to record."""
    return TokenUsage(**{"model": "gemini-2.5-flash", "input_tokens": 812, "output_tokens": 164, **fields})


def python(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path = ROOT, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run Python with the work tree on its path, in the test's environment and `env`."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=child_environment(env),
        cwd=cwd,
        timeout=timeout,
        check=False,
    )


def child_environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a process that finds the work tree's modules and uses their compiled files."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    # A test must not open a browser on a desktop.
    return {**inherited, "PYTHONPATH": str(ROOT), "STREAMLIT_SERVER_HEADLESS": "true", **(env or {})}


class Disk(type(Path())):
    """A directory that is a file system of its own."""

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(self)], check=True, capture_output=True)


@contextmanager
def small_disk(directory: Path, megabytes: int = 4) -> Iterator[Disk]:
    """A small file system in memory, to be filled or made read-only; only root may mount one."""
    import pytest

    place = Disk(directory / "disk")
    place.mkdir(parents=True)
    options = f"size={megabytes}m,mode=0700"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("A small file system can't be mounted here: that takes root and the right to mount.")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
