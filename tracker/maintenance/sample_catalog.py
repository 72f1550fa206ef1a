"""The models, operations, sources and error messages of the sample calls."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Model:
    """A model: its share of the calls, which changes over `cycle_days`, its prices in USD, and its speed.

    `usd_per_million` is for input, cached input and output tokens; None: the model has no price.
    """

    provider: str
    name: str
    weight: float
    cycle_days: int
    usd_per_million: tuple[Decimal, Decimal, Decimal] | None
    first_token_ms: int
    ms_per_token: float
    reasoning_share: float
    errors: tuple[str, ...]


def _usd(*amounts: str) -> tuple[Decimal, Decimal, Decimal]:
    first, cached, last = map(Decimal, amounts)
    return first, cached, last


# `{n}` is a number that differs for each error.
_GOOGLE_ERRORS = (
    "ResourceExhausted: 429 RESOURCE_EXHAUSTED. Quota exceeded for requests per minute, limit {n}",
    "Unavailable: 503 UNAVAILABLE. The model is overloaded. Please try again later.",
    "DeadlineExceeded: 504 Deadline exceeded after {n} ms",
)
_OPENAI_ERRORS = (
    "RateLimitError: Error code: 429 - Rate limit reached on tokens per min (TPM): Limit 200000, Used {n}",
    "APITimeoutError: Request timed out.",
    "BadRequestError: Error code: 400 - maximum context length is 128000 tokens, requested {n} tokens",
)
_ANTHROPIC_ERRORS = (
    "OverloadedError: Error code: 529 - {{'type': 'overloaded_error', 'message': 'Overloaded'}}",
    "APIConnectionError: Connection error.",
    "BadRequestError: Error code: 400 - prompt is too long: {n} tokens > 200000 maximum",
)
_OWN_ERRORS = ("ConnectError: connection refused after {n} ms", "OutOfMemoryError: CUDA out of memory")

MODELS = (
    Model("google", "gemini-2.5-flash", 12, 41, _usd("0.30", "0.075", "2.50"), 380, 4, 0.0, _GOOGLE_ERRORS),
    Model("google", "gemini-2.5-pro", 4, 53, _usd("1.25", "0.31", "10.00"), 900, 9, 0.4, _GOOGLE_ERRORS),
    Model("openai", "gpt-4.1-mini", 5, 67, _usd("0.40", "0.10", "1.60"), 450, 6, 0.0, _OPENAI_ERRORS),
    Model("anthropic", "claude-sonnet-4-5", 3, 37, _usd("3.00", "0.30", "15.00"), 700, 11, 0.0, _ANTHROPIC_ERRORS),
    Model("own", "my-finetune", 1, 59, None, 150, 5, 0.0, _OWN_ERRORS),
)


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation with its usual token counts. A `streamed` one has a time to the first token and sessions."""

    name: str
    weight: int
    input_tokens: int
    output_tokens: int
    streamed: bool = False


CHAT = Operation("chat", 3, 1500, 420, streamed=True)
_SUMMARY = Operation("summary_generation", 4, 2400, 350)
_TAGS = Operation("tag_generation", 4, 900, 40)

TEAMS = {
    "chat": ("growth", ("onboarding", "search", "support")),
    "summary_generation": ("content", ("digest", "search")),
    "tag_generation": ("data", ("catalog", "import")),
}
"""The team of most calls of an operation, and its features."""
TAGS = {"experiment": 0.3, "beta": 0.15, "batch": 0.1}
"""The tags with the share of calls that have them; a call can have several."""


@dataclass(frozen=True, slots=True)
class Source:
    """A part of the app that records: its runtime, its usual calls per hour, and how many processes it has.

    A deployment is in use for `deployment_hours`.
    """

    environment: str
    platform: str
    region: str | None
    delivery: str
    calls_per_hour: float
    instances: int
    users: int
    deployment_hours: int
    operations: tuple[Operation, ...]


SOURCES = (
    Source("production", "vercel", "icn1", "direct", 7.5, 3, 60, 78, (CHAT, _SUMMARY)),
    Source("production", "server", None, "background", 2.5, 1, 60, 78, (_TAGS,)),
    Source("preview", "vercel", "icn1", "direct", 1.5, 1, 5, 31, (CHAT, _SUMMARY, _TAGS)),
)
