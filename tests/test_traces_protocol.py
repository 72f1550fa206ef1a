"""POST /v1/traces: JSON, protobuf and gzip are read, and a request that fails gets a status and a reason."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from support import locked, run
from traces_support import END_NS, GENAI, PROTOBUF, TRACE, app_on, export, post, protobuf, span, stored

from tracker.traces import MAX_BODY_BYTES


@pytest.fixture
def make_app(database_url):
    """Makes the app on the test's database, in an environment."""
    return lambda url=database_url, **env: app_on(url, **env)


@pytest.fixture
def app(database_url):
    return app_on(database_url)


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


def test_a_locked_table_does_not_block_other_requests(app, database_url):
    with locked(database_url, "SHARE"):
        assert post(app, export(span(1, {})))[0] == 200
