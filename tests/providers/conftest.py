"""Fixtures of the tests of providers: a local provider API, and the stored rows. LiteLLM makes no request."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import psycopg2.extras
import pytest
from api_server import ApiServer, running_api_server
from support import connect

# Without this, LiteLLM downloads its price list when it is imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"


@pytest.fixture
def provider() -> Iterator[ApiServer]:
    """A local server with the APIs of the providers."""
    with running_api_server() as running:
        yield running


@pytest.fixture
def stored(database_url: str) -> Any:
    """A function that reads the rows as dicts, in the order in which they were recorded."""

    def read() -> list[dict[str, Any]]:
        factory = psycopg2.extras.RealDictCursor
        with closing(connect(database_url)) as connection, connection.cursor(cursor_factory=factory) as cursor:
            cursor.execute("SELECT * FROM token_usage ORDER BY recorded_at, id")
            return [dict(row) for row in cursor.fetchall()]

    return read
