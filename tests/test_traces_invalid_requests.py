"""POST /v1/traces: any JSON and any bytes get a response, and nothing impossible is stored."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import value
from traces_support import GENAI, PROTOBUF, TRACE, app_on, export, post, protobuf

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


@pytest.fixture
def app(database_url):
    return app_on(database_url)


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
