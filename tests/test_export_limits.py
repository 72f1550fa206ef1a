"""No export can exhaust the memory or the time of the process, even if it is small on arrival."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zlib
from contextlib import contextmanager

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support import ROOT, child_environment
from traces_support import post

from tracker.errors import TransientError
from tracker.otlp.http.http_error import RefusalError
from tracker.otlp.http.request_body import (
    MAX_OBJECTS,
    MAX_SPANS,
    MAX_UNPACKED_BYTES,
    check_json,
    check_protobuf,
    decompressed,
)
from tracker.settings import load
from tracker.traces import TracesApp

PROTOBUF = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}
JSON = {"content-type": "application/json", "content-encoding": "gzip"}
# Measured: 371 MB for a JSON body of 20 MiB in which each value takes two bytes, 125 MB for protobuf.
MAX_RSS_MB = 450


@pytest.fixture
def app():
    """The app without a database: what is refused never gets there, and what is accepted ends in a 503."""

    @contextmanager
    def borrow():
        raise TransientError("refused", "There is no database.", "")
        yield

    return TracesApp(borrow, lambda: load({}))


def field(number, content):
    """A length-delimited field of protobuf."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value):
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def request(spans):
    return field(1, field(2, spans))


def span_with(number, content):
    return request(field(2, content))


MANY = 3_000_000
PROTOBUF_BOMBS = {
    "spans": lambda: request(b"\x12\x00" * MANY),
    "resources": lambda: b"\x0a\x00" * MANY,
    "scopes": lambda: field(1, b"\x12\x00" * MANY),
    "attributes": lambda: span_with(9, b"\x4a\x00" * MANY),
    "events": lambda: span_with(11, b"\x5a\x00" * MANY),
    "links": lambda: span_with(13, b"\x6a\x00" * MANY),
    "values": lambda: span_with(9, field(9, field(2, field(5, b"\x0a\x00" * MANY)))),
    "pairs": lambda: span_with(9, field(9, field(2, field(6, b"\x0a\x00" * MANY)))),
    "attributes of the resource": lambda: field(1, field(1, b"\x0a\x00" * MANY)),
    "attributes of an event": lambda: span_with(11, field(11, b"\x1a\x00" * MANY)),
    "attributes of the scope": lambda: field(1, field(2, field(1, b"\x1a\x00" * MANY))),
    "entities": lambda: field(1, field(1, b"\x1a\x00" * MANY)),
}
JSON_BOMBS = {
    "spans": lambda: b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b",".join([b"{}"] * 1_500_000) + b"]}]}]}",
    "lists": lambda: b'{"x":[' + b",".join([b"[]"] * 1_500_000) + b"]}",
    "numbers": lambda: b'{"x":[' + b",".join([b"1.5"] * 5_000_000) + b"]}",
    "nested": lambda: b"[" * 2_000_000,
}


@pytest.mark.parametrize("name", PROTOBUF_BOMBS)
def test_a_protobuf_bomb_is_refused_before_it_is_parsed(app, name):
    status, _, answer = post(app, gzip.compress(PROTOBUF_BOMBS[name](), 1), PROTOBUF)
    assert (status, b"Send smaller batches." in answer) == (413, True)


@pytest.mark.parametrize("name", JSON_BOMBS)
def test_a_json_bomb_is_refused_before_it_is_parsed(app, name):
    status, _, answer = post(app, gzip.compress(JSON_BOMBS[name](), 1), JSON)
    assert (status, "Send smaller batches." in json.loads(answer)["message"]) == (413, True)


@pytest.mark.parametrize(
    ("make", "limit"),
    [
        (f"request(b'\\x12\\x00' * {MAX_SPANS})", "application/x-protobuf"),
        (f"span_with(9, b'\\x4a\\x00' * {MAX_OBJECTS - 10})", "application/x-protobuf"),
        ("b'{\"x\":[' + b','.join([b'\"ab\"'] * 3_900_000) + b']}'", "application/json"),
        ("JSON_BOMBS['spans']()", "application/json"),
        ("request(b'\\x12\\x00' * 10_000_000)", "application/x-protobuf"),
    ],
)
def test_the_memory_of_the_process_is_bounded(make, limit):
    """What is just below the limits is parsed, in a process of its own."""
    script = f"""
import gzip, sys
sys.path[:0] = ["tests"]
from test_export_limits import *
from tracker.otlp import app
body = gzip.compress({make}, 1)
try:
    app._read(app._decoded(app.decompressed(body, "gzip"), {limit!r}))
except RefusalError as refused:
    assert refused.status == 413
# Not ru_maxrss, which begins with what the parent process had.
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=child_environment(), capture_output=True, text=True, check=True
    )
    assert int(done.stdout.split()[-1]) < MAX_RSS_MB


def test_as_many_spans_as_allowed_are_accepted(app):
    spans = MAX_SPANS
    assert post(app, gzip.compress(request(b"\x12\x00" * spans)), PROTOBUF)[0] == 200
    body = b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b",".join([b"{}"] * spans) + b"]}]}]}"
    assert post(app, gzip.compress(body), JSON)[0] == 200
    assert post(app, gzip.compress(request(b"\x12\x00" * (spans + 1))), PROTOBUF)[0] == 413
    assert post(app, gzip.compress(body.replace(b"[{}", b"[{},{}", 1)), JSON)[0] == 413


def test_a_full_batch_of_an_exporter_is_far_below_the_limits():
    """20 MiB of spans as instrumentations write them, with prompts full of braces and commas."""
    export = ExportTraceServiceRequest()
    spans = export.resource_spans.add().scope_spans.add().spans
    while len(spans) < 4_000:
        made = spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="chat")
        for number in range(30):
            pair = made.attributes.add(key=f"gen_ai.prompt.{number}.content")
            pair.value.string_value = '{"role": "user", "parts": [{"type": "text", "content": "Hi, there, you"}]}'
    body = export.SerializeToString()
    assert 10 * 2**20 < len(body) < MAX_UNPACKED_BYTES
    check_protobuf(body)
    check_json(json.dumps({"text": '{"role": "user", "parts": [{"type": "text"}]},' * 300_000}).encode())


@pytest.mark.parametrize("body", [b"\xff" * 30, b"\x0a", b"\x0a\xff\xff\xff\xff\xff\xff", b"\x0b\x0c", b"\x0a\x05\x12"])
def test_the_walk_ends_on_malformed_bodies(body):
    check_protobuf(body)


def test_deep_nesting_is_refused():
    value = b""
    for _ in range(5_000):
        value = field(5, field(1, value))
    for body in (span_with(9, field(9, field(2, value))), b"\x0a" * 1000):
        try:
            check_protobuf(body)
        except RefusalError as refused:
            assert refused.status == 413


# --- compression --------------------------------------------------------------------------------------------------


def test_all_members_of_a_gzip_body_are_read():
    members = [gzip.compress(part) for part in (b"one", b"", b"two" * 50_000, b"three")]
    assert decompressed(b"".join(members), "gzip") == b"one" + b"two" * 50_000 + b"three"


@pytest.mark.parametrize("trailing", [b"x", b"\0", b"\0" * 100, b"\x1f\x8b", b"\x1f\x8b" + b"x" * 20])
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_trailing_bytes_are_refused(trailing, encoding):
    body = gzip.compress(b"{}") if encoding == "gzip" else zlib.compress(b"{}")
    with pytest.raises(RefusalError) as raised:
        decompressed(body + trailing, encoding)
    assert raised.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(b"\0" * (MAX_UNPACKED_BYTES + 1), 1),
        gzip.compress(b"\0" * (MAX_UNPACKED_BYTES // 2 + 1), 1) * 2,
        gzip.compress(b"") * 100_000,
    ],
)
def test_a_body_that_decompresses_above_the_limit_is_refused(body):
    with pytest.raises(RefusalError) as raised:
        decompressed(body, "gzip")
    assert raised.value.status == 413


def test_a_body_of_exactly_the_limit_is_unpacked():
    half = gzip.compress(b" " * (MAX_UNPACKED_BYTES // 2), 1)
    assert len(decompressed(half * 2, "gzip")) == MAX_UNPACKED_BYTES


def test_of_large_exports_one_is_read_at_a_time(app):
    app._has_large = True
    large = b'{"text": "' + b"x" * (3 * 2**20) + b'"}'
    assert post(app, large)[0] == 429
    assert post(app, b"{}")[0] == 200
    app._has_large = False
    assert post(app, large)[0] == 200


# --- metrics and logs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signal", ["metrics", "logs"])
@pytest.mark.parametrize(("kind", "answer"), [("application/json", b"{}"), ("application/x-protobuf", b"")])
def test_metrics_and_logs_are_answered_like_an_empty_export(app, signal, kind, answer):
    status, headers, body = post(app, b"anything", {"content-type": kind}, path=f"/v1/{signal}")
    assert (status, headers["content-type"], body) == (200, kind, answer)
    assert post(app, b"x" * (20 * 2**20 + 1), {"content-type": kind}, path=f"/v1/{signal}")[0] == 413
    assert post(app, b"", path=f"/v1/{signal}", method="GET")[0] == 405
    assert post(app, b"", path=f"/v1/{signal}", client=("192.0.2.7", 5))[0] == 401
