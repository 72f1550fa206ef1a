"""Secrets in foreign texts are redacted, also if no variable contains them; other words remain."""

from __future__ import annotations

import pytest
from support import rows

from tracker import Tracker
from tracker.providers.to_usage import failure_text
from tracker.redaction import redact

HEX = "0123456789abcdef0123456789abcdef"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
SECRETS = (
    "sk-proj-Ab3_dE-9fGh1JkLmN0pQrStUv",
    "sk-abcdefghijklmnopqrstuvwx",
    "sk-ant-api03-Zz9yXw8vUt7sRq6pOn5m",
    "sk-or-v1-" + HEX,
    "sk-1234abcd",
    "AIzaSyA-1234567890abcdefghijklmnopqrstu",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "ghp_" + HEX + "abcd",
    "gho_" + HEX + "abcd",
    "github_pat_11ABCDEFG0abcdefghij_" + HEX,
    "glpat-abcdefghij0123456789",
    "xai-" + HEX,
    "gsk_" + HEX,
    "hf_abcdefghijklmnopqrstuvwxyz",
    "r8_" + HEX,
    "pplx-" + HEX,
    "nvapi-abcdefghijklmnop-1234",
    "csk-" + HEX,
    "tgp_v1_" + HEX,
    "xoxb-123456789012-abcdefghijkl",
    "ABSK" + "QmVkcm9ja0FQSUtleS1" * 3,
    "ya29.a0AfH6SMBabcdefghijklmnop",
    JWT,
    JWT.rpartition(".")[0] + ".",
)
FRAMES = (
    "{}",
    "Incorrect API key provided: {}. You can find your API key at https://example.com.",
    "401 {{'error': {{'message': 'invalid x-api-key', 'key': '{}'}}}}",
    "https://example.com/v1?key={}&alt=sse failed",
)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("frame", FRAMES)
def test_a_key_with_a_known_prefix_is_redacted(secret: str, frame: str) -> None:
    masked = redact(frame.format(secret), {})
    assert secret not in masked
    assert secret[-6:] not in masked
    assert "***" in masked


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("POST https://h.test/v1:generate?key=Qwerty12&alt=sse", "Qwerty12"),
        ("https://h.test/?alt=sse&api_key=abcdefgh", "abcdefgh"),
        ("https://h.test/?api-key=abcdefgh", "abcdefgh"),
        ("https://h.test/?subscription-key=abcdefgh", "abcdefgh"),
        ("https://h.test/?access_token=abcdefgh", "abcdefgh"),
        ("https://h.test/?sv=1&sig=abc%2Bdef%3D", "abc%2Bdef%3D"),
        ("connect(api_key='abcdefgh')", "abcdefgh"),
        ("Authorization: Bearer abcd1234", "abcd1234"),
        ("authorization: bearer abcdefghijklmnopqrst", "abcdefghijklmnopqrst"),
        ("Authorization: Basic dXNlcjpodW50ZXIy", "dXNlcjpodW50ZXIy"),
        ("x-api-key: " + HEX, HEX),
        ('{"api_key": "' + HEX + '"}', HEX),
        ("Incorrect API key provided: " + HEX, HEX),
        ('{"password": "hunter22"}', "hunter22"),
        ("postgresql://u:hunter2@h/db", "hunter2"),
    ],
)
def test_a_secret_with_a_label_is_redacted(text: str, secret: str) -> None:
    assert secret not in redact(text, {})
    assert "***" in redact(text, {})


@pytest.mark.parametrize(
    "text",
    [
        "Bearer authentication is required.",
        "risk-management of a task-force; sk-learn is a library",
        "Unexpected token: identifier in JSON at position 12",
        "max_tokens: 100000 exceeds 8192",
        "API key: missing",
        "KeyError: 'choices'; key=value",
        "model gpt-4.1-mini-2025-04-14, request req_0123456789abcdef0123456789abcdef",
        "call 01890000-0000-7000-8000-000000000001 failed at https://h.test/v1/chat?alt=sse",
        "prompt_cache_key is not supported",
    ],
)
def test_words_of_no_secret_stay(text: str) -> None:
    assert redact(text, {}) == text


@pytest.mark.parametrize("secret", SECRETS)
def test_a_failed_call_is_stored_without_its_key(secret: str) -> None:
    assert secret[-6:] not in failure_text(ValueError(f"Incorrect API key provided: {secret}"))
    # The limit of the length must not leave the beginning of a key.
    assert secret[:20] not in failure_text(ValueError("x" * 480 + " " + secret))


def test_a_key_of_a_providers_error_is_not_in_the_row(database_url: str) -> None:
    with Tracker(database_url=database_url, mode="direct") as tracker:
        tracker.record_response(ValueError("Incorrect API key provided: " + SECRETS[0]), model="gpt-4.1")
    ((message,),) = rows(database_url, "SELECT error_message FROM token_usage")
    assert message == "ValueError: Incorrect API key provided: ***"
