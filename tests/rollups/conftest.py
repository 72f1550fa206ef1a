"""What the rollups' tests share: calls put into the table, a Reader, and the rollups' own connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from rollups_support import Store
from support import connect

from tracker.rollups import refresh


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """The fresh, migrated database as the rollups see it."""
    with closing(connect(database_url)) as connection:
        store = Store(database_url, connection)
        yield store
        store.reader.close()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody writes beside the test, so that a refresh needn't wait for who may just have begun."""
    monkeypatch.setattr(refresh, "VISIBILITY_LAG_S", 0.0)


@pytest.fixture
def new_store() -> Iterator[Callable[[str], Store]]:
    """Makes stores on other databases."""
    made: list[Store] = []

    def make(url: str) -> Store:
        made.append(Store(url, connect(url)))
        return made[-1]

    yield make
    for store in made:
        store.reader.close()
        store.connection.close()
