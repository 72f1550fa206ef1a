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
def server(url: str | None, kept: str | None = None) -> Iterator[str]:
    """A superuser's URL; an embedded server's data stay in the directory `kept`."""
    if url:
        yield url
        return
    directory = kept or tempfile.mkdtemp(prefix="tracker-benchmark-")
    try:
        yield f"postgresql://postgres@/postgres?host={quote(embedded.start(directory).host)}"
    finally:
        embedded.stop(directory)
        if not kept:
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def database(server_url: str, name: str, *, keep: bool = False) -> Iterator[Database]:
    """A migrated database, which is dropped afterwards unless `keep`; a kept one is used again."""
    name = f"tracker_benchmark_{name}" if keep else f"tracker_benchmark_{name}_{os.getpid()}"
    if not run(server_url, f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
        run(server_url, f"CREATE DATABASE {name}")
    place, _, query = server_url.partition("?")
    url = f"{place.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")
    found = Database(clean(url), embedded=False, settings=settings.load({}))
    try:
        migrate(found.connect)
        yield found
    finally:
        if not keep:
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
