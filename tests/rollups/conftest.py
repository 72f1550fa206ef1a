"""Fixtures of the rollup tests: a store with a table of calls, its rollups, and a Reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from rollups_support import Store
from support import connect

from tracker.rollups import refresh


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A store on a new, migrated database."""
    with closing(connect(database_url)) as connection:
        store = Store(database_url, connection)
        yield store
        store.reader.close()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No concurrent inserts: the visibility horizon needs no lag."""
    monkeypatch.setattr(refresh, "VISIBILITY_LAG_S", 0.0)


@pytest.fixture
def new_store() -> Iterator[Callable[[str], Store]]:
    """A function that creates stores on other databases."""
    stores: list[Store] = []

    def make(url: str) -> Store:
        stores.append(Store(url, connect(url)))
        return stores[-1]

    yield make
    for store in stores:
        store.reader.close()
        store.connection.close()
