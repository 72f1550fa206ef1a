"""Of a trace only the leaves with usage count, in whatever order, exports and processes its spans come."""

from __future__ import annotations

import json
import threading
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import connect, rows, run, value, with_role
from traces_support import END_NS, GENAI, app_on, export, post, span

from tracker.database.schema import read_table
from tracker.otlp.storing.span_store import ExpiredSpanCleanup
from tracker.otlp.storing.span_tree import Node, by_key, calls_below
from tracker.rollups.refresh import catch_up
from tracker.rollups.verify import verify


def counted(url):
    """The numbers of the spans that have a row."""
    return {int(number, 16) for (number,) in rows(url, "SELECT metadata ->> 'span_id' FROM token_usage")}


def send(app, *spans):
    status, _, answer = post(app, export(*spans))
    assert status == 200, answer
    return json.loads(answer)


# --- whatever the order -------------------------------------------------------------------------------------------


@st.composite
def traces(draw):
    """A tree of spans, some with usage, in exports of some order, some of them sent again, each to one of two apps."""
    size = draw(st.integers(1, 9))
    parents = {number: draw(st.integers(0, number - 1)) or None for number in range(1, size + 1)}
    usage = draw(st.sets(st.integers(1, size)))
    order = draw(st.permutations(range(1, size + 1)))
    cuts = sorted(draw(st.sets(st.integers(1, size), max_size=4)) | {size})
    exports = [order[start:end] for start, end in zip([0, *cuts], cuts, strict=False)]
    again = draw(st.lists(st.sampled_from(exports), max_size=3))
    sent = draw(st.permutations([*exports, *again]))
    return parents, usage, [(part, draw(st.booleans())) for part in sent]


def leaves(parents, usage):
    above_usage = set()
    for number in usage:
        while number := parents[number]:
            above_usage.add(number)
    return usage - above_usage


@settings(max_examples=80)
@given(traces())
def test_any_order_and_any_split_ends_in_the_leaves(database_url, trace):
    parents, usage, exports = trace
    run(database_url, "TRUNCATE token_usage, token_tracker_spans, token_tracker_span_calls")
    apps = [app_on(database_url), app_on(database_url)]
    for numbers, other in exports:
        spans = [span(number, GENAI if number in usage else {}, parent=parents[number]) for number in numbers]
        send(apps[other], *spans)
    assert counted(database_url) == leaves(parents, usage)


def test_two_processes_at_once_count_a_parent_and_its_child_once(database_url):
    apps = [app_on(database_url), app_on(database_url)]
    for number in range(1, 16):
        ids = {"traceId": f"{number:032x}"}
        spans = [{**span(1, GENAI), **ids}, {**span(2, GENAI, parent=1), **ids}]
        threads = [threading.Thread(target=send, args=pair) for pair in zip(apps, spans, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counted(database_url) == {2}
    assert value(database_url, "SELECT count(*) FROM token_usage") == 15


@pytest.mark.pooler
def test_it_holds_behind_a_transaction_pooler(database_url, pooler):
    apps = [app_on(pooler(database_url)), app_on(pooler(database_url))]
    for number in range(1, 9):
        ids = {"traceId": f"{number:032x}"}
        spans = [{**span(1, GENAI), **ids}, {**span(2, {}, parent=1), **ids}, {**span(3, GENAI, parent=2), **ids}]
        threads = [threading.Thread(target=send, args=(apps[n % 2], one)) for n, one in enumerate(spans)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counted(database_url) == {3}
    assert value(database_url, "SELECT count(*) FROM token_usage") == 8


def test_spans_of_other_traces_have_nothing_to_do_with_it(database_url):
    app = app_on(database_url)
    send(app, span(1, GENAI), {**span(2, GENAI, parent=1), "traceId": "f" * 32})
    assert counted(database_url) == {1, 2}


def test_a_child_that_cannot_be_stored_leaves_its_parents_usage_standing(database_url):
    app = app_on(database_url)
    answer = send(app, span(1, GENAI), {**span(2, GENAI, parent=1), "endTimeUnixNano": "0"})
    assert answer["partialSuccess"]["rejectedSpans"] == "1"
    assert counted(database_url) == {1}


def test_circles_end():
    nodes = [Node("t", "a", "b", "1"), Node("t", "b", "a", None), Node("t", "c", "c", "2"), Node("t", "d", "", "3")]
    below = calls_below(by_key(nodes), {node.key: node.record_id for node in nodes if node.record_id})
    assert {key for key, calls in below.items() if calls} == {("t", "a"), ("t", "b")}


# --- what is taken back -------------------------------------------------------------------------------------------


def test_the_rollups_follow_a_row_that_is_removed(database_url):
    app = app_on(database_url)
    with closing(connect(database_url)) as connection:
        table = read_table(connection)
        send(app, span(1, GENAI))
        catch_up(connection, table)
        send(app, span(2, {**GENAI, "gen_ai.usage.input_tokens": 60}, parent=1))
        catch_up(connection, table)
        assert list(verify(connection, table)) == []
    assert value(
        database_url,
        "SELECT sum(input_tokens)::int FROM token_tracker_usage_rollup WHERE minutes = 15 AND generation = 0",
    ) == 60  # fmt: skip


def test_nothing_of_an_export_stays_when_its_end_fails(database_url):
    app = app_on(database_url)
    send(app, span(1, GENAI))
    run(database_url, "ALTER TABLE token_tracker_rollup_touched ADD CONSTRAINT none CHECK (false)")
    assert post(app, export(span(2, GENAI, parent=1)))[0] == 503
    assert counted(database_url) == {1}
    run(database_url, "ALTER TABLE token_tracker_rollup_touched DROP CONSTRAINT none")
    send(app, span(2, GENAI, parent=1))
    assert counted(database_url) == {2}


def test_a_row_the_table_refuses_is_rejected_alone(database_url):
    run(database_url, "ALTER TABLE token_usage ADD CHECK (model <> 'forbidden')")
    forbidden = span(1, {**GENAI, "gen_ai.response.model": "forbidden"})
    answer = send(app_on(database_url), forbidden, *(span(number, GENAI) for number in (2, 3)))
    assert answer["partialSuccess"]["rejectedSpans"] == "1"
    assert counted(database_url) == {2, 3}


def test_spans_are_forgotten_after_a_day(database_url):
    send(app_on(database_url), span(1, GENAI), span(2, {}, parent=1), span(3, {}))
    run(database_url, "UPDATE token_tracker_spans SET seen_at = now() - interval '25 hours' WHERE record_id IS NULL")
    with closing(connect(database_url)) as connection:
        ExpiredSpanCleanup().run(connection, None)
    assert rows(database_url, "SELECT span_id FROM token_tracker_spans") == [(f"{1:016x}",)]


# --- with fewer rights --------------------------------------------------------------------------------------------


@pytest.fixture
def role(database_url, new_role):
    """Makes the database's URL for a role that may do this."""

    def make(*grants):
        name = new_role()
        run(database_url, *(f"GRANT {grant} TO {name}" for grant in grants))
        return with_role(database_url, name)

    return make


INSERTS = (
    "SELECT, INSERT ON token_usage, token_tracker_spans",
    "SELECT, INSERT, UPDATE ON token_tracker_span_calls",
)


def test_a_role_that_only_inserts_knows_parents_that_come_later(database_url, role):
    url = role(*INSERTS)
    send(app_on(url), span(3, GENAI, parent=2))
    send(app_on(url), span(2, {}, parent=1))
    assert send(app_on(url), span(1, GENAI)) == {}
    assert counted(database_url) == {3}


def test_a_role_without_delete_gets_a_warning_with_the_grant(database_url, role):
    url = role(*INSERTS)
    send(app_on(url), span(1, GENAI))
    answer = send(app_on(url), span(2, GENAI, parent=1))["partialSuccess"]
    assert answer["rejectedSpans"] == "0"
    assert "counted twice" in answer["errorMessage"]
    assert "DELETE ON token_usage" in answer["errorMessage"]
    assert counted(database_url) == {1, 2}


def test_the_rights_that_the_papers_name_are_enough(database_url, role):
    url = role(
        "SELECT, INSERT, DELETE ON token_usage, token_tracker_spans",
        "SELECT, INSERT, UPDATE, DELETE ON token_tracker_span_calls",
        "SELECT, INSERT ON token_tracker_rollup_touched",
    )
    send(app_on(url), span(1, GENAI))
    assert send(app_on(url), span(2, GENAI, parent=1)) == {}
    assert counted(database_url) == {2}


def test_row_level_security_that_hides_a_deletion_is_reported(database_url, role):
    url = role("SELECT, INSERT, DELETE ON token_usage, token_tracker_spans", "ALL ON token_tracker_rollup_touched")
    run(
        database_url,
        "ALTER TABLE token_usage ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY reads ON token_usage FOR SELECT USING (true)",
        "CREATE POLICY inserts ON token_usage FOR INSERT WITH CHECK (true)",
    )
    send(app_on(url), span(1, GENAI))
    answer = send(app_on(url), span(2, GENAI, parent=1))["partialSuccess"]
    assert "CREATE POLICY" in answer["errorMessage"]


@pytest.mark.parametrize("missing", ["the table", "the right"])
def test_without_the_table_of_spans_a_process_uses_the_spans_in_memory(database_url, limited_url, missing, caplog):
    if missing == "the table":
        run(database_url, "DROP TABLE token_tracker_spans")
    app = app_on(limited_url if missing == "the right" else database_url)
    send(app, span(3, GENAI, parent=2))
    send(app, span(2, {}, parent=1))
    answer = send(app, span(1, GENAI))
    assert counted(database_url) == {3}
    remedy = "token-tracker migrate" if missing == "the table" else "GRANT SELECT, INSERT ON token_tracker_spans"
    assert remedy in answer["partialSuccess"]["errorMessage"]
    assert caplog.text.count("may both be counted") == 1


def test_a_span_from_long_ago_is_a_row_of_its_day(database_url):
    send(app_on(database_url), span(1, GENAI, endTimeUnixNano=str(END_NS - 400 * 86_400 * 10**9)))
    assert value(database_url, "SELECT extract(year FROM created_at)::int FROM token_usage") == 2024


# --- model calls below a model call -------------------------------------------------------------------------------

MINI = {**GENAI, "gen_ai.request.model": "gpt-4o-mini", "gen_ai.response.model": "gpt-4o-mini"}
EMBEDDING = {
    "gen_ai.operation.name": "embeddings",
    "gen_ai.request.model": "text-embedding-3-small",
    "gen_ai.usage.input_tokens": 8,
}
TOOL = {"gen_ai.operation.name": "execute_tool"}
ADK = {"gen_ai.request.model": "gemini-2.5-flash", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20}
MEMBERS = {
    "an embedding": [(1, GENAI, None), (2, EMBEDDING, 1)],
    "an embedding far below": [(1, GENAI, None), (9, {}, 1), (2, EMBEDDING, 9)],
    "a call of a tool": [(1, GENAI, None), (9, TOOL, 1), (2, GENAI, 9)],
    "a tool of another convention": [(1, GENAI, None), (9, {"openinference.span.kind": "TOOL"}, 1), (2, GENAI, 9)],
    "an agent": [(1, GENAI, None), (9, {"gen_ai.operation.name": "invoke_agent"}, 1), (2, GENAI, 9)],
    "a call of a service": [(1, GENAI, None), (9, TOOL, 1), (8, {}, 9), (2, MINI, 8)],
    "another model": [(1, GENAI, None), (2, MINI, 1)],
}


@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS.keys())
@pytest.mark.parametrize("split", [False, True], ids=["one export", "in parts"])
@pytest.mark.parametrize("backwards", [False, True], ids=["parent first", "child first"])
def test_a_model_call_is_repeated_only_by_the_same_call(database_url, members, split, backwards):
    spans = [span(number, attributes, parent=parent) for number, attributes, parent in members]
    spans = spans[::-1] if backwards else spans
    apps = [app_on(database_url), app_on(database_url)]
    for index, part in enumerate([[one] for one in spans] if split else [spans]):
        send(apps[index % 2], *part)
    assert counted(database_url) == {1, 2}


def test_a_google_adk_call_by_a_tool_is_another_call(database_url):
    body = export(span(1, ADK, name="call_llm"), span(2, TOOL, 1), span(3, ADK, 2, name="call_llm"))
    body["resourceSpans"][0]["scopeSpans"][0]["scope"]["name"] = "gcp.vertex.agent"
    assert post(app_on(database_url), body)[0] == 200
    assert counted(database_url) == {1, 3}


def test_a_failed_call_of_a_tool_is_a_separate_failure(database_url):
    failed = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "error.type": "timeout"}
    send(app_on(database_url), span(1, GENAI), span(2, TOOL, 1), span(3, failed, 2), span(4, failed, 1))
    assert counted(database_url) == {1, 3}


def test_a_model_call_that_is_the_sum_of_calls_below_it_repeats_them(database_url):
    parts = [{**GENAI, "gen_ai.usage.input_tokens": n, "gen_ai.usage.output_tokens": n // 10} for n in (40, 60, 100)]
    app = app_on(database_url)
    send(app, span(2, parts[0], 1), span(3, parts[1], 1), span(1, parts[2]))
    assert counted(database_url) == {2, 3}


def test_an_agents_usage_is_never_a_separate_call(database_url):
    agent = {**GENAI, "gen_ai.operation.name": "summarize"}
    send(app_on(database_url), span(1, agent), span(2, TOOL, 1), span(3, MINI, 2))
    assert counted(database_url) == {3}
