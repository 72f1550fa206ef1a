"""Adds and removes sample calls, which have the mark `metadata.sample`.

An app may use the same mark; but a recorded call has an instance and a delivery, and a sample call has neither.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tracker.database.connect import Connection, execute
from tracker.recording.bulk_insert import BatchWriter
from tracker.recording.insert import Target
from tracker.rollups.invalidation import execute_and_invalidate
from tracker.usage import TokenUsage

_IS_SAMPLE = "metadata ->> 'sample' = 'true' AND instance_id IS NULL AND delivery IS NULL"
_CALLS_A_DAY = 240
_USERS = 60
_OPERATIONS = (("summary_generation", 5, 2400, 350), ("tag_generation", 4, 900, 40), ("chat", 3, 1500, 420))
_ERRORS = (
    "ResourceExhausted: quota exceeded",
    "DeadlineExceeded: no answer in 60 s",
    "Unavailable: overloaded",
)


@dataclass(frozen=True, slots=True)
class _Model:
    provider: str
    name: str
    weight: int
    usd_per_million: tuple[str, str] | None  # input and output; fictional
    ms_per_token: float


_MODELS = (
    _Model("google", "gemini-2.5-flash", 12, ("0.30", "2.50"), 4),
    _Model("google", "gemini-2.5-pro", 4, ("1.25", "10.00"), 9),
    _Model("openai", "gpt-4.1-mini", 5, ("0.40", "1.60"), 6),
    _Model("anthropic", "claude-sonnet-4-5", 3, ("3.00", "15.00"), 11),
    _Model("own", "my-finetune", 1, None, 5),
)


def add(connection: Connection, schema: str | None = None, *, days: int = 30) -> int:
    """Replace all sample calls with new ones for the last `days`; returns their number.

    Raises `DatabaseError`.
    """
    remove(connection, schema)
    writer = BatchWriter(connection, schema)
    for usage in _calls(days, datetime.now(UTC), random.Random(20_260_101)):  # noqa: S311  no secret, and repeatable
        runtime = {"environment": "production", "platform": "vercel", "region": "icn1", "deployment": "sample"}
        writer.add(usage.as_row() | runtime, None)
    writer.flush()
    return writer.new


def remove(connection: Connection, schema: str | None = None) -> int:
    """Remove all sample calls; returns their number. Raises `DatabaseError`."""
    return execute_and_invalidate(connection, schema, f"DELETE FROM {{table}} AS calls WHERE {_IS_SAMPLE}")  # noqa: S608


def has_real_calls(connection: Connection, schema: str | None = None) -> bool:
    """Whether a call is stored that is neither a sample nor a test. Raises `DatabaseError`."""
    table = Target.read(connection, schema).name
    _, rows = execute(
        connection,
        f"SELECT EXISTS (SELECT 1 FROM {table} WHERE ({_IS_SAMPLE}) IS NOT TRUE AND is_test IS NOT TRUE)",  # noqa: S608
    )
    return bool(rows[0][0])


def _calls(days: int, now: datetime, draw: random.Random) -> Iterator[TokenUsage]:
    start = now - timedelta(days=days)
    for number in range(days * 24):
        hour = start + timedelta(hours=number)
        for _ in range(_poisson(_activity(hour) * _CALLS_A_DAY / 24, draw)):
            ended_at = hour + timedelta(seconds=draw.uniform(0, 3600))
            if ended_at < now:
                yield _call(ended_at, draw)


def _activity(hour: datetime) -> float:
    """The relative number of calls in Seoul: high in afternoons, low at night and on weekends; about 1 on average."""
    local = hour + timedelta(hours=9)
    daily = 1 + 0.85 * math.sin((local.hour - 8) / 24 * 2 * math.pi)
    return daily * (0.45 if local.weekday() >= 5 else 1.2)


def _poisson(mean: float, draw: random.Random) -> int:
    limit, product, count = math.exp(-mean), draw.random(), 0
    while product > limit:
        product *= draw.random()
        count += 1
    return count


def _call(ended_at: datetime, draw: random.Random) -> TokenUsage:
    model = draw.choices(_MODELS, [model.weight for model in _MODELS])[0]
    name, _, typical_input, typical_output = draw.choices(_OPERATIONS, [weight for _, weight, *_ in _OPERATIONS])[0]
    fails = draw.random() < 0.008
    input_tokens = int(draw.lognormvariate(math.log(typical_input), 0.6))
    output_tokens = 0 if fails else int(draw.lognormvariate(math.log(typical_output), 0.5))
    cached = input_tokens // 2 if draw.random() < 0.35 else 0
    thinking = output_tokens // 3 if model.name.endswith("pro") else 0
    return TokenUsage(
        model=model.name,
        provider=model.provider,
        operation=name,
        user_id=f"user_{int(_USERS * draw.random() ** 2.2) + 1:02}",
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_input_tokens=cached,
        reasoning_output_tokens=thinking,
        cost=_cost(model, input_tokens, output_tokens),
        processing_time=int(300 + output_tokens * model.ms_per_token * draw.uniform(0.7, 1.6)),
        success=not fails,
        error_message=draw.choice(_ERRORS) if fails else None,
        created_at=ended_at,
        metadata=_MARK,
    )


def _cost(model: _Model, input_tokens: int, output_tokens: int) -> Decimal | None:
    if model.usd_per_million is None:
        return None
    input_usd, output_usd = map(Decimal, model.usd_per_million)
    return (input_usd * input_tokens + output_usd * output_tokens) / 1_000_000


_MARK: dict[str, Any] = {"sample": True}
