"""Shared by the tests of imports: calls to import, and what is stored or rejected."""

from __future__ import annotations

from support import rows

COUNTS = "input_tokens, output_tokens, cache_read_input_tokens, cache_write_input_tokens, reasoning_output_tokens"
LITELLM = {
    "request_id": "chatcmpl-1",
    "call_type": "acompletion",
    "spend": 0.00123,
    "total_tokens": 150,
    "prompt_tokens": 120,
    "completion_tokens": 30,
    "startTime": "2026-09-01T10:00:00.000Z",
    "endTime": "2026-09-01T10:00:01.250Z",
    "model": "claude-sonnet-4-5",
    "custom_llm_provider": "anthropic",
    "user": "key-owner",
    "end_user": "u_42",
    "session_id": "s_1",
    "status": "success",
    "cache_hit": "False",
    "team_id": "team",
    "metadata": {
        "additional_usage_values": {"cache_read_input_tokens": 80, "cache_creation_input_tokens": 10},
        "usage_object": {"completion_tokens_details": {"reasoning_tokens": 7}},
    },
}


def stored(url: str, columns: str = COUNTS) -> list[tuple]:
    return rows(url, f"SELECT {columns} FROM token_usage ORDER BY created_at, id")
