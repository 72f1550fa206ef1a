"""Fixtures of the budget tests: a database with calls, and a receiver of alerts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "rollups"))

from budgets_support import Listener
from rollups_support import Store
from support import connect


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """The fresh, migrated database."""
    with closing(connect(database_url)) as connection:
        store = Store(database_url, connection)
        yield store
        store.reader.close()


@pytest.fixture
def at(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store, as the command line's database."""
    monkeypatch.setenv("DATABASE_URL", store.url)
    return store


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A URL for alerts, and what came there."""
    with Listener() as listening:
        yield listening
