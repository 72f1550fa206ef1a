"""Generates sample calls. The rows of an hour are always the same, so that loading them again adds nothing.

Every sixth day, the database has an outage: the records of that time arrive late. Every ninth day, a provider has an
incident: many of its calls fail.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from tracker.database.sample_ids import sample_id
from tracker.maintenance.sample_catalog import MODELS, SOURCES, TAGS, TEAMS, Model, Operation, Source
from tracker.messages import Message
from tracker.recording.insert import Row
from tracker.usage import TokenUsage

VERSION = 2
"""The version of the sample set. A load replaces the rows of other versions: increase it when the rows change."""
_SEED = 1
FIRST_KIND = VERSION * 8
_CALL, _INSTANCE, _ALERT = FIRST_KIND, FIRST_KIND + 1, FIRST_KIND + 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_H = 24
# The outage begins at 05:10 UTC, in a busy hour of the sample users in Seoul.
_OUTAGE_EVERY_DAYS, _OUTAGE_START, _OUTAGE_LENGTH = 6, timedelta(hours=5, minutes=10), timedelta(minutes=38)
_INCIDENT_EVERY_DAYS, _INCIDENT_HOURS = 9, (2, 3, 4)
_UNPRICED = "unpriced model_unknown"


@dataclass(frozen=True, slots=True)
class _Request:
    """A call that is not generated yet: when it ends, and the session that it continues as call number `turn`."""

    ended_at: datetime
    operation: Operation
    user: str
    session: str | None = None
    turn: int = 0


def hour_of(time: datetime) -> int:
    """The hour that contains `time`, counted from the epoch."""
    return (time - _EPOCH) // timedelta(hours=1)


def calls_of_hour(hour: int) -> Iterator[Row]:
    """The sample rows of an hour, with `recorded_at` and the columns that a recorder adds."""
    number = 0
    for source_number, source in enumerate(SOURCES):
        draw = Random(f"{_SEED} {source_number} {hour}")  # noqa: S311  no secret, and repeatable
        sequences = [0] * source.instances
        for request in sorted(_requests(source, hour, draw), key=lambda request: request.ended_at):
            usage = _usage(request, hour, number, draw)
            instance = draw.randrange(source.instances)
            sequences[instance] += 1
            runtime = {
                "environment": source.environment,
                "platform": source.platform,
                "region": source.region,
                "deployment": deployment_of(source, hour),
                "instance_id": sample_id(_INSTANCE, hour, source_number * 8 + instance),
                "sequence": sequences[instance],
            }
            yield usage.as_row() | runtime | _delivery(usage.created_at, source, sequences[instance], draw)
            number += 1


def deployment_of(source: Source, hour: int) -> str:
    """The commit that the source runs in an hour."""
    text = f"{source.environment} {hour // source.deployment_hours}"
    return hashlib.sha256(text.encode()).hexdigest()[:7]


def outages(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The outages of the database that end within the range."""
    for day in range(hour_of(start) // _DAY_H - 1, hour_of(end) // _DAY_H + 1):
        outage = _outage_of_day(day)
        if outage and start <= outage[1] <= end:
            yield outage


def outage_alert(outage: tuple[datetime, datetime]) -> dict[str, Any]:
    """The alert that the recorder raised in an outage, as a row of the table of alerts."""
    source, hour = SOURCES[0], hour_of(outage[0])
    return {
        "id": str(sample_id(_ALERT, hour, 0)),
        "raised_at": (outage[0] + timedelta(seconds=21)).isoformat(),
        "reason": "connection_refused",
        "error": str(Message("recording.sample_outage")),
        "attempts": 6,
        "elapsed_ms": 5000.0,
        "outbox_depth": 3,
        "held_back": 0,
        "environment": source.environment,
        "platform": source.platform,
        "region": source.region,
        "deployment": deployment_of(source, hour),
    }


def _outage_of_day(day: int) -> tuple[datetime, datetime] | None:
    if day % _OUTAGE_EVERY_DAYS:
        return None
    start = _EPOCH + timedelta(days=day) + _OUTAGE_START
    return start, start + _OUTAGE_LENGTH


def _requests(source: Source, hour: int, draw: Random) -> Iterator[_Request]:
    start = _EPOCH + timedelta(hours=hour)
    for number in range(_poisson(source.calls_per_hour * _activity(hour) / 1.4, draw)):
        operation = draw.choices(source.operations, [operation.weight for operation in source.operations])[0]
        user = _user(source, draw)
        ended_at = start + timedelta(seconds=draw.uniform(0, 2700))
        if not operation.streamed:
            yield _Request(ended_at, operation, user)
            continue
        session = hashlib.sha256(f"{source.environment} {hour} {number}".encode()).hexdigest()[:12]
        for turn in range(draw.choices((1, 2, 3, 4, 5), (8, 4, 3, 2, 1))[0]):
            yield _Request(ended_at, operation, user, f"s_{session}", turn)
            ended_at += timedelta(seconds=draw.uniform(15, 150))


def _activity(hour: int) -> float:
    """The relative number of calls in Seoul: high in afternoons, low at night and on weekends; it varies over weeks."""
    day, local = divmod(hour + 9, _DAY_H)
    daily = 1 + 0.85 * math.sin((local - 8) / _DAY_H * 2 * math.pi)
    is_weekend = (day + 3) % 7 >= 5  # the epoch began on a Thursday
    return daily * (0.45 if is_weekend else 1.2) * (1 + 0.25 * math.sin(day / 47 * 2 * math.pi))


def _poisson(mean: float, draw: Random) -> int:
    limit, product, count = math.exp(-mean), draw.random(), 0
    while product > limit:
        product *= draw.random()
        count += 1
    return count


def _user(source: Source, draw: Random) -> str:
    if draw.random() < 0.04:
        return "anonymous"
    return f"user_{int(source.users * draw.random() ** 2.2) + 1:02}"


def _model(hour: int, draw: Random) -> Model:
    day = hour / _DAY_H
    weights = [model.weight * (1 + 0.5 * math.sin(day / model.cycle_days * 2 * math.pi)) for model in MODELS]
    return draw.choices(MODELS, weights)[0]


def _usage(request: _Request, hour: int, number: int, draw: Random) -> TokenUsage:
    model, operation = _model(hour, draw), request.operation
    fails = draw.random() < _failure_rate(model, hour)
    input_tokens = int(draw.lognormvariate(math.log(operation.input_tokens), 0.5)) + request.turn * 600
    output_tokens = 0 if fails else int(draw.lognormvariate(math.log(operation.output_tokens), 0.5))
    cached = int(input_tokens * draw.uniform(0.4, 0.8)) if request.turn or draw.random() < 0.2 else 0
    written = input_tokens // 3 if model.provider == "anthropic" and not cached else 0
    first_token_ms = max(40, int(draw.lognormvariate(math.log(model.first_token_ms), 0.35)))
    duration_ms = first_token_ms + int(output_tokens * model.ms_per_token * draw.uniform(0.7, 1.5))
    if fails:
        duration_ms = int(draw.choice((180, 240, 900, 30_000)) * draw.uniform(0.9, 1.1))
    return TokenUsage(
        id=sample_id(_CALL, hour, number),
        model=model.name,
        provider=model.provider,
        operation=operation.name,
        user_id=request.user,
        session_id=request.session,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_input_tokens=cached,
        cache_write_input_tokens=written,
        reasoning_output_tokens=int(output_tokens * model.reasoning_share),
        cost=_cost(model, input_tokens, cached, output_tokens),
        cost_source=None if model.usd_per_million else _UNPRICED,
        processing_time=duration_ms,
        time_to_first_token_ms=first_token_ms if operation.streamed and not fails else None,
        success=not fails,
        error_message=draw.choice(model.errors).format(n=draw.randrange(2000, 190_000)) if fails else None,
        created_at=request.ended_at,
        metadata=_metadata(request, hour, number),
    )


def _metadata(request: _Request, hour: int, number: int) -> dict[str, Any]:
    """The properties: team, feature, tags, and the id of a request, which is different for each call."""
    team, features = TEAMS[request.operation.name]
    draw = Random(f"{_SEED} metadata {hour} {number}")  # noqa: S311  no secret, and repeatable
    metadata: dict[str, Any] = {
        "sample": True,
        "plan": "pro" if request.user < "user_2" and request.user != "anonymous" else "free",
        "feature": draw.choice(features),
        "request_id": f"req_{hour:x}_{number:x}",
    }
    if draw.random() < 0.95:  # some calls are of no team
        metadata["team"] = draw.choices((team, "platform"), (9, 1))[0]
    if tags := [tag for tag, share in TAGS.items() if draw.random() < share]:
        metadata["tags"] = tags
    return metadata


def _failure_rate(model: Model, hour: int) -> float:
    day, hour_of_day = divmod(hour, _DAY_H)
    has_incident = day % _INCIDENT_EVERY_DAYS == 0 and hour_of_day in _INCIDENT_HOURS
    return 0.4 if has_incident and model.provider == "google" else 0.012


def _cost(model: Model, input_tokens: int, cached_tokens: int, output_tokens: int) -> Decimal | None:
    if model.usd_per_million is None:
        return None
    input_usd, cached_usd, output_usd = model.usd_per_million
    total = input_usd * (input_tokens - cached_tokens) + cached_usd * cached_tokens + output_usd * output_tokens
    return total / 1_000_000


def _delivery(created_at: datetime, source: Source, sequence: int, draw: Random) -> dict[str, Any]:
    """The delivery columns: on time, after retries, or from the outbox after an outage."""
    is_cold = sequence == 1
    connection_ms = draw.lognormvariate(math.log(140 if is_cold else 4), 0.4 if is_cold else 0.8)
    if source.platform == "server":
        connection_ms /= 4
    retries = draw.choices((0, 1, 2), (97, 2, 1))[0]
    lag_s = connection_ms / 1000 + draw.uniform(0.004, 0.03) + retries * draw.uniform(0.2, 1.2)
    if source.delivery == "background":
        lag_s += draw.uniform(0.05, 1.5)
    delivery, recorded_at = source.delivery, created_at + timedelta(seconds=lag_s)
    outage = _outage_of_day(hour_of(created_at) // _DAY_H)
    if outage and outage[0] <= created_at < outage[1]:
        delivery, retries = "outbox", 5
        recorded_at = outage[1] + timedelta(seconds=draw.uniform(2, 45))
    return {
        "connection_ms": round(connection_ms, 2),
        "retry_count": retries,
        "delivery": delivery,
        "recorded_at": recorded_at,
    }
