"""Shared by the tests of imports: calls to import, and what is stored or rejected."""

from __future__ import annotations

import csv
from pathlib import Path

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
# The options that map the columns of an Azure LLM trace.
AZURE = (
    "--map=created_at=TIMESTAMP",
    "--map=input_tokens=ContextTokens",
    "--map=output_tokens=GeneratedTokens",
    "--set=model=gpt-4",
)
HEADER = "created_at,model,input_tokens,output_tokens\n"
GOOD = "2026-03-01T10:00:00Z,gpt,10,5\n"


def stored(url: str, columns: str = COUNTS) -> list[tuple]:
    return rows(url, f"SELECT {columns} FROM token_usage ORDER BY created_at, id")


def azure(lines: int = 20) -> str:
    body = "".join(f"2023-11-16 18:17:{n % 60:02}.9799600,{4808 + n},{10 + n}\n" for n in range(lines))
    return "TIMESTAMP,ContextTokens,GeneratedTokens\n" + body


def sums(url: str) -> tuple:
    return rows(url, "SELECT count(*), sum(input_tokens), sum(output_tokens), sum(total_tokens) FROM token_usage")[0]


def rejects(path: str = "calls.rejects.csv") -> list[list[str]]:
    with Path(path).open(newline="") as file:
        return list(csv.reader(file))
