"""POST /v1/traces: a span with an odd count, time or text is stored with a mark, or rejected alone with a reason."""

from __future__ import annotations

import json

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support import rows, run
from traces_support import CODE, END_NS, GENAI, PROTOBUF, app_on, export, post, protobuf, span, stored


@pytest.fixture
def app(database_url):
    return app_on(database_url)


@pytest.mark.parametrize("count", ["120", 120, 120.0])
def test_a_count_may_be_text_or_a_double(app, database_url, count):
    post(app, export(span(1, {**GENAI, "gen_ai.usage.input_tokens": count})))
    assert stored(database_url, "input_tokens") == [(120,)]


@pytest.mark.parametrize("count", [-1, "-1", 2**31, 2**63 - 1, -(2**63), "9223372036854775808", 1e300, -1e300])
def test_a_count_that_no_call_can_have_is_stored_with_a_mark(app, database_url, count):
    assert json.loads(post(app, export(span(1, {**GENAI, "gen_ai.usage.input_tokens": count})))[2]) == {}
    (row,) = stored(database_url, f"input_tokens, output_tokens, cost, {CODE}")
    assert row[:3] == (0, 20, None)
    assert row[3] in {"count_invalid", "count_too_large"}


@pytest.mark.parametrize("count", ["many", "", "1e3", "0x10", "12 ", True, 0.5, float("nan"), float("inf")])
def test_an_invalid_count_counts_as_not_stated(app, database_url, count):
    post(app, export(span(1, {**GENAI, "gen_ai.usage.input_tokens": count})))
    (row,) = stored(database_url, f"input_tokens, output_tokens, {CODE}")
    assert row == (0, 20, "input_missing")


def test_characters_that_postgres_cannot_store_are_replaced(app, database_url):
    texts = dict.fromkeys(["gen_ai.response.model", "gen_ai.operation.name", "user.id", "session.id"], "a\0b")
    status = {"code": 2, "message": "no\0"}
    post(app, export(span(1, {**GENAI, **texts}, status=status), service_name="s\0", env="e\0"))
    columns = "model, operation, user_id, session_id, error_message, environment, metadata ->> 'service'"
    assert stored(database_url, columns) == [(*["a\ufffdb"] * 4, "no\ufffd", "e\ufffd", "s\ufffd")]


@pytest.mark.parametrize("bad", ["a\0b", "a\ud800b", "\udfff"])
def test_a_scope_that_postgres_cannot_hold_is_replaced(app, database_url, bad):
    body = export(span(1, {**GENAI, bad: bad, "gen_ai.response.id": bad}, name=bad), service_name=bad)
    body["resourceSpans"][0]["scopeSpans"][0]["scope"] = {"name": bad, "version": bad}
    body["resourceSpans"][0]["scopeSpans"].append(
        {
            "scope": {"name": "t"},
            "spans": [span(2, {**GENAI, "gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 9})],
        }
    )
    status, _, answer = post(app, body)
    assert (status, json.loads(answer)) == (200, {})
    assert len(stored(database_url)) == 2
    assert "\ufffd" in rows(database_url, "SELECT scope FROM token_tracker_span_calls ORDER BY span_id")[0][0]


def test_a_protobuf_scope_with_nul_is_replaced(app, database_url):
    request = ExportTraceServiceRequest()
    request.ParseFromString(protobuf(("gen_ai.operation.name", "chat"), ("gen_ai.usage.input_tokens", 1)))
    request.resource_spans[0].scope_spans[0].scope.name = "a\0b"
    assert post(app, request.SerializeToString(), PROTOBUF)[0] == 200
    assert rows(database_url, "SELECT scope FROM token_tracker_span_calls") == [("a\ufffdb",)]


def test_a_value_that_the_database_never_accepts_rejects_its_span_alone(app, database_url):
    run(
        database_url,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.model = 'bad' THEN"
        " RAISE EXCEPTION 'bad' USING ERRCODE = '22021'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER refuse BEFORE INSERT ON token_tracker_span_calls FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    bad = {**GENAI, "gen_ai.response.model": "bad", "gen_ai.request.model": "bad"}
    status, _, answer = post(app, export(*(span(n, bad if n in {3, 7} else GENAI) for n in range(1, 10))))
    assert status == 200
    assert json.loads(answer)["partialSuccess"]["rejectedSpans"] == "2"
    assert len(stored(database_url)) == 7


@pytest.mark.parametrize("start", [END_NS + 1, 0, 2**64 - 1, -5])
def test_a_duration_that_no_call_can_have_is_unknown(app, database_url, start):
    post(app, export(span(1, GENAI, startTimeUnixNano=str(start))))
    assert stored(database_url, "processing_time") == [(None,)]


@pytest.mark.parametrize("end", ["0", "-1", "x", None, str(2**64 - 1)])
def test_an_end_that_is_none_is_rejected(app, database_url, end):
    _, _, answer = post(app, export(span(1, GENAI, endTimeUnixNano=end)))
    latest = end == str(2**64 - 1)  # the year 2554: a clock that is wrong, and counted like any other
    assert json.loads(answer) == {} if latest else "no end time" in json.loads(answer)["partialSuccess"]["errorMessage"]
    assert len(stored(database_url)) == latest
