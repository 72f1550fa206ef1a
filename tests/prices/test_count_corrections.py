"""reprice reads inconsistent usage again, and sets counts, details and cost together."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from support import connect, rows, run

from tracker.cli import main
from tracker.database.migrate import migrate
from tracker.database.schema import read_table
from tracker.rollups.refresh import catch_up
from tracker.rollups.verify import verify

DAY = datetime(2026, 3, 1, 12, 7, tzinfo=UTC)
# As an earlier version stored it, which did not know OpenAI's total of this response.
MARKED = {
    "usage_problem": "total_mismatch",
    "usage_raw": {
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "total_tokens": 1200,
        "prompt_tokens_details": {"cached_tokens": 400},
    },
    "usage_source": "response:chat",
    "response_id": "chatcmpl-1",
    "usage": {"service_tier": "default"},
}
# (600 × 2.50 + 400 × 1.25 + 200 × 10) USD for a million tokens of gpt-4o
COST = Decimal("0.004")
CORRECTED = (1000, 200, 1200, 400, COST)
QUESTION = "SELECT input_tokens, output_tokens, total_tokens, cache_read_input_tokens, cost FROM token_usage"


@pytest.fixture
def reprice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command; its output."""

    def command(url: str, *arguments: str) -> str:
        monkeypatch.setenv("DATABASE_URL", url)
        capsys.readouterr()
        assert main(["reprice", *arguments]) == 0
        return capsys.readouterr().out

    return command


def insert(url: str, metadata: Any = MARKED, **columns: Any) -> str:
    """One marked call; its id."""
    given = {"model": "gpt-4o", "provider": "openai", "input_tokens": 0, "output_tokens": 0, "total_tokens": 1200}
    given |= {"id": str(uuid4()), "created_at": DAY, "metadata": json.dumps(metadata), **columns}
    given = {name: value for name, value in given.items() if value is not ...}
    with connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO token_usage ({', '.join(given)}) VALUES ({', '.join(['%s'] * len(given))})",
            list(given.values()),
        )
    return given["id"]


def test_counts_details_and_cost_change_together_and_the_marks_go(
    reprice: Callable[..., str], database_url: str
) -> None:
    insert(database_url)
    with connect(database_url) as connection:
        catch_up(connection, read_table(connection))
    assert "1 calls would get corrected counts." in reprice(database_url, "--dry-run")
    assert rows(database_url, QUESTION) == [(0, 0, 1200, 0, None)]
    assert "1 calls changed. 1 calls got corrected counts." in reprice(database_url)
    assert rows(database_url, QUESTION) == [CORRECTED]
    metadata = {"response_id": "chatcmpl-1", "usage": {"service_tier": "default"}}
    assert rows(database_url, "SELECT metadata FROM token_usage") == [(metadata,)]
    with connect(database_url) as connection:
        catch_up(connection, table := read_table(connection))
        assert list(verify(connection, table)) == []
    assert rows(database_url, "SELECT * FROM token_tracker_unpriced_rollup") == []
    assert "0 calls changed.\n" in reprice(database_url)


def test_a_given_cost_is_kept_when_counts_are_corrected(reprice: Callable[..., str], database_url: str) -> None:
    insert(database_url, cost=7, cost_source="provided")
    assert "0 calls changed. 1 calls got corrected counts." in reprice(database_url)
    assert rows(database_url, QUESTION) == [(*CORRECTED[:4], 7)]


@pytest.mark.parametrize(
    "metadata",
    [
        {**MARKED, "usage_raw": {**MARKED["usage_raw"], "total_tokens": 5}},  # it still contradicts itself
        {"usage_problem": "The answer's usage contradicts itself: a part is above its whole; recorded with 0 tokens."},
        {**MARKED, "usage_raw": "text"},
        {**MARKED, "usage_source": "none:chat"},
    ],
)
def test_usage_without_raw_numbers_keeps_its_mark(
    reprice: Callable[..., str], database_url: str, metadata: Any
) -> None:
    insert(database_url, metadata)
    out = reprice(database_url)
    assert "The provider's usage contradicts itself, or could not be read." in out
    assert rows(database_url, QUESTION) == [(0, 0, 1200, 0, None)]
    assert rows(database_url, "SELECT metadata, cost_source FROM token_usage") == [
        (metadata, "unpriced usage_inconsistent")
    ]


def test_a_row_that_changed_in_the_meantime_is_left_alone(
    reprice: Callable[..., str], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tracker.prices import reprice as module

    insert(database_url)
    original = module.apply

    def late(*arguments: Any) -> int:
        run(
            database_url, "UPDATE token_usage SET metadata = '{}', input_tokens = 3, cost = 5, cost_source = 'provided'"
        )
        return original(*arguments)

    monkeypatch.setattr(module, "apply", late)
    reprice(database_url)
    assert rows(database_url, QUESTION) == [(3, 0, 1200, 0, 5)]


def test_an_adopted_table_with_json_and_a_generated_total(reprice: Callable[..., str], empty_database_url: str) -> None:
    run(
        empty_database_url,
        "CREATE TABLE token_usage (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), created_at timestamp, model text,"
        " provider text, user_id text, operation text, input_tokens int, output_tokens int,"
        " total_tokens int GENERATED ALWAYS AS (input_tokens + output_tokens) STORED,"
        " cost numeric(10,6) NOT NULL DEFAULT 0, cost_source varchar(20), metadata json)",
    )
    migrate(lambda: connect(empty_database_url))
    insert(empty_database_url, total_tokens=..., created_at="2026-03-01 12:07")
    insert(empty_database_url, None, total_tokens=..., model="my-finetune", created_at="2026-03-01 12:07")
    reprice(empty_database_url)
    assert sorted(rows(empty_database_url, QUESTION)) == [(0, 0, 0, 0, 0), CORRECTED]
    assert rows(empty_database_url, "SELECT cost_source FROM token_usage WHERE input_tokens = 0") == [
        ("unpriced model_unkno",)
    ]
    assert "0 calls changed.\n" in reprice(empty_database_url)


# The query for the rows of versions before 0.6, whose usage cannot be read again; docs/prices.md contains it.
EARLIER = """
SELECT created_at, id, model, metadata ->> 'usage_problem' AS problem
FROM token_usage
WHERE metadata ->> 'usage_problem' LIKE '% %' AND metadata ->> 'usage_raw' IS NULL
  AND metadata ->> 'usage_problem' <> 'the sum of many calls, which has no price of one call'
ORDER BY created_at
"""


AGGREGATED = ["usage_aggregated", "the sum of many calls, which has no price of one call"]


@pytest.mark.parametrize("problem", AGGREGATED)
def test_the_sum_of_many_calls_has_a_reason_of_its_own(
    reprice: Callable[..., str], database_url: str, problem: str
) -> None:
    insert(database_url, {"usage_problem": problem})
    assert "The row is the sum of many calls in a usage export; it has no price." in reprice(database_url)
    assert rows(database_url, "SELECT cost, cost_source FROM token_usage") == [(None, "unpriced usage_aggregated")]


def test_the_query_of_the_docs_lists_the_rows_that_cannot_be_corrected(database_url: str) -> None:
    from support import ROOT

    listed = insert(database_url, {"usage_problem": "The answer's usage contradicts itself."})
    insert(database_url)
    insert(database_url, {})
    for problem in AGGREGATED:
        insert(database_url, {"usage_problem": problem})
    assert [row[1] for row in rows(database_url, EARLIER)] == [listed]
    assert EARLIER.strip() in (ROOT / "docs" / "prices.md").read_text(encoding="utf-8")
