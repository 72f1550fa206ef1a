"""Fixtures of the tests of spans: the app, and a table that an application made itself."""

from __future__ import annotations

import pytest
from span_calls_support import NOW_NS
from support import connect, run
from traces_support import app_on


@pytest.fixture
def app(database_url):
    return app_on(database_url)


@pytest.fixture
def adopted_url(empty_database_url):
    """An application's own table: times without zone, metadata as json, wide numbers."""
    from tracker.database.migrate import migrate

    run(
        empty_database_url,
        "CREATE TABLE token_usage (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), note_id uuid, model text NOT NULL,"
        " input_tokens bigint NOT NULL, output_tokens numeric NOT NULL, total_tokens integer NOT NULL,"
        " metadata json, cost numeric(10,6), created_at timestamp DEFAULT now() NOT NULL)",
        "INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens, created_at)"
        f" VALUES ('gpt-4.1', 100, 20, 120, to_timestamp({NOW_NS / 1e9}) AT TIME ZONE 'Asia/Seoul')",
    )
    migrate(lambda: connect(empty_database_url), timezone="Asia/Seoul")
    return empty_database_url
