"""A server for a benchmark: the one it is given, or an embedded one that is gone afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from time import perf_counter
from typing import Any
from urllib.parse import quote

import psycopg2

from tracker import settings
from tracker.database import embedded
from tracker.database.locate import Database
from tracker.database.migrate import migrate
from tracker.database.url import clean


@contextmanager
def server(url: str | None) -> Iterator[str]:
    """A superuser's URL."""
    if url:
        yield url
        return
    directory = tempfile.mkdtemp(prefix="tracker-benchmark-")
    try:
        yield f"postgresql://postgres@/postgres?host={quote(embedded.start(directory).host)}"
    finally:
        embedded.stop(directory)
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def database(server_url: str, name: str) -> Iterator[Database]:
    """A migrated database that is gone afterwards."""
    name = f"tracker_benchmark_{name}_{os.getpid()}"
    run(server_url, f"CREATE DATABASE {name}")
    place, _, query = server_url.partition("?")
    url = f"{place.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")
    found = Database(clean(url), embedded=False, settings=settings.load({}))
    try:
        migrate(found.connect)
        yield found
    finally:
        run(server_url, f"DROP DATABASE {name} WITH (FORCE)")


def run(url: str, *statements: str) -> list[Any]:
    """Run statements outside of any transaction; the rows of the last one."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def timed_ms(work: Any) -> float:
    """How long one call takes."""
    started = perf_counter()
    work()
    return (perf_counter() - started) * 1000
