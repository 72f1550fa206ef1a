"""Fixtures of the tests of the database: a table that an application made itself."""

from __future__ import annotations

import pytest
from migrate_support import OLD_INDEX, OLD_INSERT, OLD_TABLE
from support import run


@pytest.fixture
def old_url(empty_database_url) -> str:
    """A database with the user's own table and three rows from before."""
    run(empty_database_url, OLD_TABLE, OLD_INDEX, *[OLD_INSERT] * 3)
    return empty_database_url
