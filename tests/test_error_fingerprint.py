"""The fingerprint of an error: equal for occurrences that differ in values, different for different errors."""

from __future__ import annotations

import pytest

from tracker.reports.ai_calls.call_errors import fingerprint

SAME = {
    "numbers": [
        "maximum context length is 8192 tokens, 9001 given",
        "maximum context length is 128000 tokens, 7 given",
    ],
    "decimals and units": ["Retry in 12.5s or 20ms", "Retry in 3s or 1,250ms"],
    "negative numbers": ["value -1 is too small", "value -20 is too small"],
    "uuids": ["no job 3f2504e0-4f89-11d3-9a0c-0305e82c3301", "no job 0190a8c2-7b1e-7cc3-8000-5f2b9c1d8e7a"],
    "hex": ["at 0xdeadbeef in 5f2b9c1d8e7a6b54", "at 0x7F in 00ffab1234567890"],
    "request ids": ["failed (request req_011CTabcDEF)", "failed (request req_99ZZqwerTY)"],
    "keys": ["Incorrect API key provided: sk-proj-abC***XyZ9.", "Incorrect API key provided: sk-live-Q1w***88."],
    "random ids": ["lost a1b2c3d4e5f6g7h8", "lost z9y8x7w6v5u4t3s2"],
    "single quotes": ["no model 'gpt-4o' here", "no model 'it's mine' here"],
    "double quotes and backquotes": ['unknown field "a" in `b`', 'unknown field "x y" in `z`'],
    "typographic quotes": ["no “one” here", "no “two” here"],
    "times": ["down since 2026-11-27T01:02:03Z", "down since 2025-01-02 03:04:05.678+09:00"],
    "addresses": ["refused by 10.0.0.1:5432", "refused by 192.168.1.20:80"],
    "urls": ["GET https://a.example/v1/x?id=1 failed", "GET https://b.example/v2/y failed"],
    "emails": ["no access for a.b@example.com", "no access for c+d@mail.example.org"],
    "lists": ["wrong ids: 1, 2, 3", "wrong ids: 4, 5"],
    "white space": ["one\n  two", "one two"],
    "values of an error body": [
        "Error code: 400 - {'error': {'message': 'Too long: 9 tokens', 'request': 'abc'}}",
        "Error code: 400 - {'error': {'message': 'Too long: 77 tokens', 'request': 'def'}}",
    ],
}
DIFFERENT = {
    "HTTP status": ["Error code: 429 - busy", "Error code: 503 - busy"],
    "status first": ["429 RESOURCE_EXHAUSTED", "503 UNAVAILABLE"],
    "HTTP": ["HTTP 500", "HTTP 502"],
    "type of the exception": ["TimeoutError: late", "RateLimitError: late"],
    "message of an error body": [
        "Error code: 400 - {'error': {'message': 'Too long', 'type': 'invalid_request_error'}}",
        "Error code: 400 - {'error': {'message': 'No such model', 'type': 'invalid_request_error'}}",
    ],
    "code of an error body": ['{"error": {"code": 429}}', '{"error": {"code": 401}}'],
    "words": ["user_message_missing", "key_invalid"],
}


@pytest.mark.parametrize("name", SAME)
def test_occurrences_of_one_error_have_one_fingerprint(name: str) -> None:
    assert len({fingerprint(message) for message in SAME[name]}) == 1


@pytest.mark.parametrize("name", DIFFERENT)
def test_different_errors_have_different_fingerprints(name: str) -> None:
    assert len({fingerprint(message) for message in DIFFERENT[name]}) == 2


def test_no_message_has_an_empty_fingerprint() -> None:
    assert fingerprint(None) == fingerprint(" ") == ""


def test_a_fingerprint_contains_no_secret_and_no_value() -> None:
    text = fingerprint("401: key 'sk-abcdefghijklmnop123' of user 12345, id 7f3a9b2c1d")
    assert "sk-" not in text
    assert "12345" not in text
    assert "7f3a" not in text
