"""POST /v1/traces: each AI call becomes one row, and any other request gets a response with a reason."""

from __future__ import annotations

import gzip
import json
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import pytest
from google.rpc.status_pb2 import Status
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from support import connect, locked, rows, run, value
from traces_support import END_NS, GENAI, TRACE, export, post, span

from tracker.auth.attempt_limiter import MAX_REFUSALS
from tracker.settings import load
from tracker.traces import MAX_BODY_BYTES, TracesApp

COLUMNS = "model, provider, operation, input_tokens, output_tokens"


@pytest.fixture
def make_app(database_url):
    """Makes the app on the test's database, in an environment."""

    def make(url=database_url, **env):
        @contextmanager
        def borrow():
            with closing(connect(url)) as connection:
                yield connection, None

        return TracesApp(borrow, lambda: load(env))

    return make


@pytest.fixture
def app(make_app):
    return make_app()


def stored(url, columns=COLUMNS):
    return rows(url, f"SELECT {columns} FROM token_usage ORDER BY id")


# --- a span becomes a row -----------------------------------------------------------------------------------------


def test_a_genai_span_is_a_row(app, database_url):
    attributes = {
        **GENAI,
        "gen_ai.response.id": "resp_1",
        "gen_ai.conversation.id": "conv_1",
        "user.id": "u_42",
        "gen_ai.usage.cache_read.input_tokens": 30,
        "gen_ai.usage.cache_write.input_tokens": 10,
        "gen_ai.usage.reasoning.output_tokens": 5,
    }
    body = export(span(1, attributes), service_name="shop", deployment_environment_name="production")
    status, headers, answer = post(app, body)
    assert (status, json.loads(answer), headers["content-type"]) == (200, {}, "application/json")
    columns = (
        "model, operation, user_id, session_id, total_tokens, cache_read_input_tokens, cache_write_input_tokens,"
        " reasoning_output_tokens, processing_time, created_at, environment, delivery, instance_id, success"
    )
    assert stored(database_url, columns) == [
        (
            "gpt-4.1-2025-04-14", "chat", "u_42", "conv_1", 120, 30, 10, 5, 1500,
            datetime.fromtimestamp(END_NS / 1e9, UTC), "production", None, None, True,
        )
    ]  # fmt: skip
    assert value(database_url, "SELECT metadata FROM token_usage") == {
        "source": "otlp",
        "service": "shop",
        "trace_id": TRACE,
        "span_id": f"{1:016x}",
        "response_id": "resp_1",
        "request_model": "gpt-4.1",
    }


def test_deprecated_names_are_read(app, database_url):
    post(
        app,
        export(
            span(
                1,
                {
                    "gen_ai.system": "vertex_ai",
                    "gen_ai.request.model": "gemini-2.5-pro",
                    "gen_ai.usage.prompt_tokens": 7,
                    "gen_ai.usage.completion_tokens": 3,
                    "gen_ai.usage.cache_creation.input_tokens": 2,
                },
            )
        ),
    )
    assert stored(database_url, COLUMNS + ", cache_write_input_tokens") == [
        ("gemini-2.5-pro", "google", "chat", 7, 3, 2)
    ]


CLAUDE = {"gen_ai.provider.name": "anthropic", "gen_ai.response.model": "claude-sonnet-4-5"}
CODE = "metadata ->> 'usage_problem'"


def test_an_unknown_sender_of_a_provider_that_excludes_cached_tokens_is_read_so_if_they_exceed_the_input(
    app, database_url
):
    post(app, export(span(1, {**GENAI, **CLAUDE, "gen_ai.usage.cache_read.input_tokens": 900})))
    assert stored(database_url, f"input_tokens, cache_read_input_tokens, {CODE}") == [(1000, 900, None)]


def test_parts_above_their_count_are_marked_where_the_provider_includes_them(app, database_url):
    post(app, export(span(1, {**GENAI, "gen_ai.usage.cache_read.input_tokens": 900})))
    columns = f"input_tokens, cache_read_input_tokens, {CODE}, metadata ->> 'usage_source'"
    assert stored(database_url, columns) == [(100, 0, "parts_exceed_input", "otlp:t/openai")]


def test_an_error_is_kept_by_its_type(app, database_url):
    failed = span(1, {**GENAI, "error.type": "RateLimitError"}, status={"code": 2, "message": "429"})
    post(app, export(failed))
    assert stored(database_url, "success, error_message") == [(False, "RateLimitError: 429")]


def test_spans_without_usage_are_accepted_and_let_go(app, database_url):
    assert post(app, export(span(1, {"http.request.method": "GET"}), span(2, {})))[0] == 200
    assert stored(database_url) == []


def test_an_export_sent_again_doubles_nothing(app, database_url):
    for _ in range(3):
        assert post(app, export(span(1, GENAI), span(2, GENAI)))[0] == 200
    assert len(stored(database_url)) == 2


# --- leaves alone -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["invoke_agent", "execute_tool", "create_agent", "invoke_workflow"])
def test_a_span_that_sums_its_children_never_counts(app, database_url, operation):
    post(app, export(span(1, {**GENAI, "gen_ai.operation.name": operation})))
    assert stored(database_url) == []


def test_an_unknown_operation_counts(app, database_url):
    post(app, export(span(1, {**GENAI, "gen_ai.operation.name": "summarize_pdf"})))
    assert stored(database_url, "operation") == [("summarize_pdf",)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_only_the_leaf_of_a_chain_counts(app, database_url, order):
    chain = [span(1, GENAI), span(2, {}, parent=1), span(3, GENAI, parent=2)]
    post(app, export(*(chain[place] for place in order)))
    assert stored(database_url, "metadata ->> 'span_id'") == [(f"{3:016x}",)]


def test_a_parent_in_a_later_export_does_not_count(app, database_url):
    post(app, export(span(3, GENAI, parent=2)))
    post(app, export(span(2, {}, parent=1)))
    post(app, export(span(1, GENAI)))
    assert len(stored(database_url)) == 1


def test_siblings_all_count(app, database_url):
    post(app, export(span(1, GENAI), *(span(number, GENAI, parent=1) for number in range(2, 6))))
    assert len(stored(database_url)) == 4


def test_spans_that_go_round_in_circles_do_no_harm(app, database_url):
    assert post(app, export(span(1, GENAI, parent=2), span(2, GENAI, parent=1), span(3, GENAI, parent=3)))[0] == 200


def test_only_the_do_spans_of_the_ai_sdk_count(app, database_url):
    usage = {"ai.usage.inputTokens": 9, "ai.usage.outputTokens": 2, "ai.model.id": "gemini-2.5-flash"}
    outer = {**usage, "ai.operationId": "ai.generateText"}
    inner = {**usage, "ai.operationId": "ai.generateText.doGenerate", "ai.telemetry.functionId": "summary"}
    # The outer one alone: an app may filter, and its numbers may be the sum of several steps.
    post(app, export(span(1, outer, name="ai.generateText")))
    assert stored(database_url) == []
    post(app, export(span(2, {**inner, "ai.model.provider": "google.generative-ai"}, parent=1)))
    assert stored(database_url) == [("gemini-2.5-flash", "google", "summary", 9, 2)]


# --- odd values ---------------------------------------------------------------------------------------------------


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


def test_a_huge_batch_is_stored_whole(app, database_url):
    spans = [span(number, GENAI, parent=number // 3 or None) for number in range(1, 5001)]
    assert post(app, export(*spans))[0] == 200
    assert len(stored(database_url)) == 5000 - 5000 // 3


# --- the protocol -------------------------------------------------------------------------------------------------

PROTOBUF = {"content-type": "application/x-protobuf"}


def protobuf(*attributes, spans=1):
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(1, spans + 1):
        made = scope.spans.add()
        made.trace_id, made.span_id = bytes.fromhex(TRACE), number.to_bytes(8)
        made.name, made.end_time_unix_nano = "chat", END_NS
        for key, content in GENAI.items():
            pair = made.attributes.add()
            pair.key = key
            if isinstance(content, int):
                pair.value.int_value = content
            else:
                pair.value.string_value = content
    return request.SerializeToString()


def test_protobuf_is_answered_in_protobuf(app, database_url):
    status, headers, answer = post(app, protobuf(), PROTOBUF)
    assert (status, headers["content-type"]) == (200, "application/x-protobuf")
    assert not ExportTraceServiceResponse.FromString(answer).HasField("partial_success")
    assert len(stored(database_url)) == 1


def test_json_and_protobuf_of_one_span_are_one_row(app, database_url):
    post(app, protobuf(), PROTOBUF)
    post(app, export(span(1, GENAI)))
    assert len(stored(database_url)) == 1


def test_gzip_is_unpacked(app, database_url):
    post(app, gzip.compress(protobuf()), {**PROTOBUF, "content-encoding": "gzip"})
    assert len(stored(database_url)) == 1


def test_spans_that_cannot_be_stored_are_rejected_and_the_rest_is_stored(app, database_url):
    bad = [
        {**span(2, GENAI), "traceId": "xyz"},
        {**span(5, GENAI), "endTimeUnixNano": "0"},
    ]
    status, _, answer = post(app, export(span(1, GENAI), *bad))
    partial = json.loads(answer)["partialSuccess"]
    assert (status, partial["rejectedSpans"]) == (200, "2")
    assert partial["errorMessage"]
    assert len(stored(database_url)) == 1


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b'{"resourceSpans": 3}', {}, 400),
        (b"\xff\xff\xff", PROTOBUF, 400),
        (b"no gzip", {"content-encoding": "gzip"}, 400),
        (gzip.compress(b"{}", mtime=0)[:-4], {"content-encoding": "gzip"}, 400),
        (b"{}", {"content-encoding": "br"}, 415),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"x" * (MAX_BODY_BYTES + 1), {}, 413),
        (b"{}", {"content-length": "9" * 30}, 413),
        (gzip.compress(b" " * (MAX_BODY_BYTES + 1)), {"content-encoding": "gzip"}, 413),
    ],
)
def test_an_invalid_export_gets_a_response_with_the_reason(app, database_url, body, headers, status):
    actual, _, answer = post(app, body, headers)
    assert actual == status
    assert b"Traceback" not in answer
    if headers.get("content-type") != "application/x-protobuf":
        assert json.loads(answer)["message"]


@pytest.mark.parametrize("kind", ["application/json", "application/x-protobuf"])
@pytest.mark.parametrize("given", ["{}", "{}; charset=utf-8", "{} ;charset=UTF-8"])
def test_an_empty_request_succeeds_in_its_content_type(app, kind, given):
    status, headers, _ = post(app, b"", {"content-type": given.format(kind)})
    assert (status, headers["content-type"]) == (200, kind)


def test_unknown_fields_are_ignored_and_ids_are_hex_of_either_case(app, database_url):
    post(app, export(span(1, GENAI)))
    known = {**span(1, GENAI), "traceId": TRACE.upper(), "flags": 257, "entityRefs": [{"x": 1}], "events": 3}
    body = {**export(known), "newInVersion9": {"deep": [1]}}
    assert post(app, body) == (200, {"content-type": "application/json", **_sized(b"{}")}, b"{}")
    assert len(stored(database_url)) == 1


def _sized(body):
    return {"content-length": str(len(body)), "cache-control": "no-store"}


@pytest.mark.parametrize("end_time", [str(END_NS), END_NS, float(END_NS)])
def test_64_bit_numbers_are_text_or_numbers(app, database_url, end_time):
    post(app, export(span(1, GENAI, endTimeUnixNano=end_time)))
    assert stored(database_url, "created_at") == [(datetime.fromtimestamp(END_NS / 1e9, UTC),)]


@pytest.mark.parametrize(
    ("body", "env", "status"),
    [
        (b"\xff\xff", {}, 400),
        (b"x" * (MAX_BODY_BYTES + 1), {}, 413),
        (b"", {"TRACKER_DEBUG_TOKEN": "t"}, 401),
        (protobuf(), {"url": "postgresql://u@127.0.0.1:1/db"}, 503),
    ],
)
def test_a_failure_of_a_protobuf_request_is_a_status_message(make_app, body, env, status):
    actual, headers, answer = post(make_app(**env), body, PROTOBUF)
    assert (actual, headers["content-type"]) == (status, "application/x-protobuf")
    assert Status.FromString(answer).message.endswith(".")


def test_a_mistake_of_ours_is_a_500_with_a_sentence(app, monkeypatch, caplog):
    monkeypatch.setattr("tracker.otlp.decode.from_json", lambda *_: [None])
    status, _, answer = post(app, export(span(1, GENAI)))
    assert (status, json.loads(answer)["message"]) == (
        500,
        "Internal error. The log of the dashboard contains the traceback.",
    )
    assert "AttributeError" in caplog.text


def test_other_methods_are_405(app):
    status, headers, _ = post(app, b"", method="GET")
    assert (status, headers["allow"]) == (405, "POST")


def test_a_database_that_is_gone_is_503_with_a_time_to_come_back(make_app):
    status, headers, answer = post(make_app("postgresql://u:hunter2@127.0.0.1:1/db"), export(span(1, GENAI)))
    assert (status, headers["retry-after"]) == (503, "5")
    assert b"hunter2" not in answer


def test_a_missing_table_is_503_and_a_repeated_export_is_stored(app, database_url):
    run(database_url, "ALTER TABLE token_usage RENAME TO hidden")
    assert post(app, export(span(1, GENAI)))[0] == 503
    run(database_url, "ALTER TABLE hidden RENAME TO token_usage")
    assert post(app, export(span(1, GENAI)))[0] == 200
    assert len(stored(database_url)) == 1


def test_too_many_at_once_are_429(app):
    app._active = 4
    status, headers, _ = post(app, export())
    assert (status, headers["retry-after"]) == (429, "1")


# --- who may send -------------------------------------------------------------------------------------------------

LOOPBACK, OTHER = ("127.0.0.1", 5000), ("192.0.2.7", 5000)
TOKEN = {"TRACKER_DEBUG_TOKEN": "s3cret-tök"}


@pytest.mark.parametrize(
    ("env", "client", "headers", "status"),
    [
        ({}, LOOPBACK, {}, 200),
        ({}, ("::1", 1), {"host": "[::1]:8501"}, 200),
        ({}, ("::ffff:127.0.0.1", 1), {"host": "localhost"}, 200),
        ({}, OTHER, {}, 401),
        ({}, None, {}, 401),
        ({}, ("testclient", 1), {}, 401),
        ({}, LOOPBACK, {"x-forwarded-for": "127.0.0.1"}, 401),
        ({}, LOOPBACK, {"forwarded": "for=127.0.0.1"}, 401),
        ({}, LOOPBACK, {"host": "evil.example"}, 401),
        ({"TRACKER_PLATFORM": "server"}, LOOPBACK, {}, 401),
        ({"TRACKER_PLATFORM": "vercel"}, LOOPBACK, {}, 401),
        (TOKEN, LOOPBACK, {}, 401),
        (TOKEN, LOOPBACK, {"authorization": "Bearer wrong"}, 401),
        (TOKEN, LOOPBACK, {"authorization": "s3cret-tök"}, 401),
        (TOKEN, LOOPBACK, {"authorization": "Bearer "}, 401),
        (TOKEN, OTHER, {"authorization": "Bearer s3cret-tök"}, 200),
        ({**TOKEN, "TRACKER_PLATFORM": "vercel"}, OTHER, {"authorization": "bearer s3cret-tök"}, 200),
    ],
)
def test_the_token_rule(make_app, env, client, headers, status):
    actual, answer_headers, answer = post(make_app(**env), export(), headers, client=client)
    assert actual == status
    assert b"s3cret" not in answer
    if status == 401:
        assert answer_headers["www-authenticate"] == "Bearer"


def test_tokens_cannot_be_tried_fast_and_an_app_with_the_right_one_loses_nothing(make_app):
    app = make_app(**TOKEN)
    wrong = [post(app, export(), {"authorization": f"Bearer {number}"})[0] for number in range(MAX_REFUSALS + 3)]
    assert wrong == [401] * MAX_REFUSALS + [429] * 3
    assert post(app, export(), {"authorization": "Bearer s3cret-tök"})[0] == 200


# --- invalid requests ---------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
ATTRIBUTE = st.fixed_dictionaries(
    {
        "key": st.sampled_from([*GENAI, "gen_ai.usage.cache_read.input_tokens", "ai.usage.tokens", "user.id"]) | VALUES,
        "value": st.dictionaries(
            st.sampled_from(["stringValue", "intValue", "doubleValue", "boolValue", "arrayValue"]), VALUES, max_size=2
        )
        | VALUES,
    }
)
SPAN = st.fixed_dictionaries(
    {
        "traceId": st.just(TRACE) | VALUES,
        "spanId": st.integers(1, 5).map(lambda number: f"{number:016x}") | VALUES,
        "endTimeUnixNano": st.integers(0, 2**64).map(str) | VALUES,
        "attributes": st.lists(ATTRIBUTE, max_size=6) | VALUES,
    },
    optional={
        "parentSpanId": st.integers(1, 5).map(lambda number: f"{number:016x}") | VALUES,
        "startTimeUnixNano": VALUES,
        "name": VALUES,
        "status": VALUES | st.dictionaries(st.sampled_from(["code", "message"]), VALUES),
    },
)
EXPORT = st.lists(SPAN, max_size=4).map(lambda spans: export(*spans)) | VALUES


@settings(max_examples=150)
@given(EXPORT)
def test_any_json_is_answered_and_nothing_impossible_is_stored(app, database_url, body):
    status, _, answer = post(app, json.dumps(body).encode("utf-8", "surrogatepass"))
    assert status in {200, 400}
    assert isinstance(json.loads(answer), dict)
    wrong = "input_tokens < 0 OR total_tokens < input_tokens + output_tokens OR model = ''"
    assert value(database_url, f"SELECT count(*) FROM token_usage WHERE {wrong}") == 0


@settings(max_examples=150)
@given(st.binary(max_size=200) | st.just(protobuf(spans=2)).flatmap(lambda body: _mutated(body)))
def test_any_bytes_are_answered(app, body):
    status, headers, _ = post(app, body, PROTOBUF)
    assert status in {200, 400}
    assert headers["content-type"] == "application/x-protobuf"


def _mutated(body):
    place = st.integers(0, len(body) - 1)
    return st.lists(st.tuples(place, st.integers(0, 255)), min_size=1, max_size=5).map(
        lambda changes: _changed(body, changes)
    )


def _changed(body, changes):
    changed = bytearray(body)
    for place, byte in changes:
        changed[place] = byte
    return bytes(changed)


def test_a_locked_table_does_not_block_other_requests(app, database_url):
    with locked(database_url, "SHARE"):
        assert post(app, export(span(1, {})))[0] == 200
