"""The dashboard removes the marked row of a background response that another process retrieved."""

from __future__ import annotations

from contextlib import closing

import openai
import pytest
from support import connect, rows, run, value

from tracker.errors import SetupError
from tracker.otlp.storing import retrieved_responses
from tracker.otlp.storing.retrieved_responses import remove_retrieved, remove_since
from tracker.recording.capture import background_responses
from tracker.reports.engine import current_reader

GPT = "gpt-5-mini"
CODES = "SELECT input_tokens, metadata ->> 'usage_problem' FROM token_usage ORDER BY recorded_at, id"
MARKED = (0, "response_never_retrieved")


@pytest.fixture
def client(provider):
    """Makes wrapped clients of Trackers of their own, as processes of their own have them."""
    opened = []

    def make(tracker):
        opened.append(openai.OpenAI(api_key="k", base_url=provider.url + "/v1", max_retries=0))
        return tracker.wrap(opened[-1])

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def remove(database_url, monkeypatch):
    """One run of the dashboard's task."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    retrieved_responses._last_s.clear()
    yield remove_retrieved
    current_reader.close()


def create(client, tracker):
    created = client(tracker).responses.create(model=GPT, input="Hi", background=True)
    return created.id


def retrieve(client, tracker, *ids):
    """Poll until the responses are finished, as the server answers the second poll."""
    gpt = client(tracker)
    for response_id in ids * 2:
        gpt.responses.retrieve(response_id)


def test_the_marked_row_of_a_retrieved_response_is_removed_and_explained(
    client, new_tracker, provider, database_url, remove
):
    first, second = new_tracker(), new_tracker()
    lost, retrieved = create(client, first), create(client, first)
    first.close()
    assert rows(database_url, CODES) == [MARKED, MARKED]
    assert remove() == 0
    retrieve(client, second, retrieved)
    assert remove() == 1
    assert rows(database_url, CODES) == [MARKED, (provider.served[-1].input_tokens, None)]
    assert value(database_url, "SELECT metadata ->> 'response_id' FROM token_usage WHERE input_tokens = 0") == lost
    ledger = "SELECT count(*), bool_and(instance_id IS NOT NULL) FROM token_tracker_ledger WHERE kind = 'removed'"
    assert rows(database_url, ledger) == [(1, True)]
    assert remove() == 0


def test_a_marked_row_that_arrives_after_the_result_is_removed(client, new_tracker, provider, database_url, remove):
    first, second = new_tracker(), new_tracker()
    response_id = create(client, first)
    retrieve(client, second, response_id)
    assert remove() == 0
    first.close()
    assert remove() == 1
    assert rows(database_url, CODES) == [(provider.served[-1].input_tokens, None)]


def test_a_cancelled_response_also_replaces_the_marked_row(client, new_tracker, database_url, remove):
    first, second = new_tracker(), new_tracker()
    response_id = create(client, first)
    first.close()
    client(second).responses.cancel(response_id)
    assert remove() == 1
    assert rows(database_url, "SELECT success, metadata ->> 'usage_problem' IS NULL FROM token_usage") == [
        (False, True)
    ]


def test_a_row_with_another_problem_or_id_stays(client, new_tracker, database_url, remove):
    first, second = new_tracker(), new_tracker()
    response_id = create(client, first)
    first.close()
    retrieve(client, second, response_id)
    run(
        database_url,
        'UPDATE token_usage SET metadata = metadata || \'{"usage_problem": "usage_missing"}\' WHERE input_tokens = 0',
    )
    assert remove() == 0
    run(database_url, f"UPDATE token_usage SET metadata = metadata || '{{\"usage_problem\": \"{MARKED[1]}\"}}',"
        " id = gen_random_uuid() WHERE input_tokens = 0")  # fmt: skip
    assert remove() == 0
    assert value(database_url, "SELECT count(*) FROM token_usage") == 2


def test_a_run_reads_a_bounded_number_of_rows(client, new_tracker, database_url, remove, monkeypatch):
    first, second = new_tracker(), new_tracker()
    ids = [create(client, first) for _ in range(5)]
    first.close()
    retrieve(client, second, *ids)
    monkeypatch.setattr("tracker.otlp.storing.late_rows._LIMIT", "FETCH FIRST 3 ROWS WITH TIES")
    monkeypatch.setattr(retrieved_responses, "MAX_ROWS", 3)
    with closing(connect(database_url)) as connection:
        done = remove_since(connection, None, 0.0)
    assert done.next_s is not None
    while remove():
        pass
    assert value(database_url, "SELECT count(*) FROM token_usage WHERE input_tokens = 0") == 0
    assert value(database_url, "SELECT count(*) FROM token_usage") == 5


def test_the_ids_are_derived_from_the_response(client, new_tracker, database_url):
    tracker = new_tracker()
    response_id = create(client, tracker)
    tracker.close()
    marked = str(background_responses.derived_id("openai", response_id, background_responses.NEVER_RETRIEVED))
    assert rows(database_url, "SELECT id::text FROM token_usage") == [(marked,)]
    assert marked[14] == "8"


def test_a_database_without_the_table_is_a_sentence(new_database, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", new_database())
    retrieved_responses._last_s.clear()
    try:
        with pytest.raises(SetupError, match="token-tracker migrate"):
            remove_retrieved()
    finally:
        current_reader.close()
