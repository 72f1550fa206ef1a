"""Reads one span: the token usage of an AI call, a failed call, or neither.

Attributes by OpenTelemetry's GenAI conventions, current and deprecated, and by the Vercel AI SDK's own `ai.*`.
Sources: opentelemetry.io/docs/specs/semconv/gen-ai; ai-sdk.dev/docs/ai-sdk-core/telemetry.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

from tracker.errors import UsageError
from tracker.masking import mask
from tracker.otlp.decode import Attributes, Span
from tracker.sources.shapes import provider_named, provider_of
from tracker.usage import TokenUsage

_MAX = 2**31 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_IDS = re.compile(r"(?!0+/)[0-9a-f]{32}/(?!0+\Z)[0-9a-f]{16}\Z")
_NAMES: dict[str, tuple[str, ...]] = {
    "input_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
        "ai.usage.tokens",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
    ),
    "cache_read_input_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached",
        "ai.usage.inputTokenDetails.cacheReadTokens",
        "ai.usage.cachedInputTokens",
    ),
    "cache_write_input_tokens": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.input_tokens.cache_write",
        "ai.usage.inputTokenDetails.cacheWriteTokens",
    ),
    "reasoning_output_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.output_tokens.reasoning",
        "gen_ai.usage.reasoning_tokens",
        "ai.usage.outputTokenDetails.reasoningTokens",
        "ai.usage.reasoningTokens",
    ),
}
_MODEL = ("gen_ai.response.model", "ai.response.model", "gen_ai.request.model", "ai.model.id")
_REQUEST_MODEL = ("gen_ai.request.model", "ai.model.id")
_PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "ai.model.provider")
_RESPONSE_ID = ("gen_ai.response.id", "ai.response.id")
_USER = ("user.id", "enduser.id", "ai.telemetry.metadata.userId", "ai.telemetry.metadata.user_id")
_SESSION = (
    "gen_ai.conversation.id",
    "session.id",
    "ai.telemetry.metadata.sessionId",
    "ai.telemetry.metadata.session_id",
)
# These sum up what their children used, or run no model.
_PARENTS = frozenset({"invoke_agent", "execute_tool", "create_agent", "invoke_workflow"})
_PLATFORMS = {
    "aws_lambda": "aws_lambda",
    "gcp_cloud_run": "cloud_run",
    "gcp.cloud_run": "cloud_run",
    "azure_functions": "azure_functions",
    "azure.functions": "azure_functions",
}


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """The usage of one AI call, where it ran (by the resource), and the instrumentation that wrote the span."""

    usage: TokenUsage
    place: dict[str, str | None]
    scope: str
    scope_version: str

    def as_row(self) -> dict[str, Any]:
        return self.usage.as_row() | self.place


Kind = Literal["usage", "failure", "unread", "other"]


class SpanReading(NamedTuple):
    """What a span is.

    `usage`: one AI call with its tokens. `failure`: one failed AI call without tokens. `unread`: a GenAI span whose
    usage was not understood. `other`: anything else. Only `usage` and `failure` have a record.
    """

    kind: Kind
    record: SpanRecord | None = None


def read_span(span: Span) -> SpanReading:
    """Read one span. Raises `UsageError` with a sentence for a span that cannot be stored."""
    if not _has_usage(span):
        return SpanReading("other")
    return SpanReading("usage", record_of(span))


def _has_usage(span: Span) -> bool:
    if not (_says(span, "input_tokens") or _says(span, "output_tokens")):
        return False
    name = str(span.attributes.get("ai.operationId") or span.name)
    if name.startswith("ai.") and "gen_ai.operation.name" not in span.attributes:
        return ".do" in name
    return span.attributes.get("gen_ai.operation.name") not in _PARENTS


def _says(span: Span, count: str) -> bool:
    return any(_whole(span.attributes.get(name)) is not None for name in _NAMES[count])


def record_of(span: Span) -> SpanRecord:
    """The span's record. Raises `UsageError` with a sentence for one that can't be right."""
    attributes = span.attributes
    tokens: dict[str, Any] = {name: _number(attributes, names) or 0 for name, names in _NAMES.items()}
    _include_parts(tokens)
    model = _text(attributes, _MODEL) or "unknown"
    requested = _text(attributes, _REQUEST_MODEL)
    metadata = {
        "source": "otlp",
        "service": _text(span.resource, ("service.name",)),
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "response_id": _text(attributes, _RESPONSE_ID),
        "request_model": requested if requested != model else None,
        "usage_problem": None if _says(span, "input_tokens") else "The span doesn't say its input tokens.",
    }
    moment = _moment(span.end_ns)
    usage = TokenUsage(
        **tokens,
        id=_record_id(span, moment),
        model=model,
        provider=_provider(attributes, model),
        operation=_operation(span),
        user_id=_text(attributes, _USER) or "anonymous",
        session_id=_text(attributes, _SESSION),
        processing_time=_duration_ms(span),
        created_at=moment,
        success=not span.failed,
        error_message=_failure(span) if span.failed else None,
        metadata={name: value for name, value in metadata.items() if value},
    )
    return SpanRecord(usage, _place(span.resource), span.scope_name, span.scope_version)


def _number(attributes: Attributes, names: Sequence[str]) -> int | None:
    for name in names:
        if (value := _whole(attributes.get(name))) is not None:
            if not 0 <= value <= _MAX:
                raise UsageError(f"{name} is outside 0 to {_MAX}.")
            return value
    return None


def _whole(value: object) -> int | None:
    """A count as senders write it: a whole number, also as a double or as text; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.removeprefix("-").isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _include_parts(tokens: dict[str, Any]) -> None:
    """By convention input includes cached tokens; where a part is above it, the sender has left it out."""
    cached = tokens["cache_read_input_tokens"] + tokens["cache_write_input_tokens"]
    if cached > tokens["input_tokens"]:
        tokens["input_tokens"] += cached
    if tokens["reasoning_output_tokens"] > tokens["output_tokens"]:
        tokens["output_tokens"] += tokens["reasoning_output_tokens"]


def _text(attributes: Attributes, names: Sequence[str]) -> str | None:
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()[:400]
    return None


def _provider(attributes: Attributes, model: str) -> str | None:
    name = _text(attributes, _PROVIDER)
    return provider_of(model) if name is None else provider_named(name)


def _operation(span: Span) -> str:
    """What the span calls it; of the AI SDK's own spans the function's id, else what kind of call it was."""
    if named := _text(span.attributes, ("gen_ai.operation.name", "ai.telemetry.functionId")):
        return named
    return "embeddings" if "embed" in span.name.lower() else "chat"


def _duration_ms(span: Span) -> int | None:
    milliseconds = (span.end_ns - span.start_ns) // 1_000_000
    return milliseconds if span.start_ns > 0 and 0 <= milliseconds <= _MAX else None


def _failure(span: Span) -> str:
    words = (_text(span.attributes, ("error.type",)), span.message.strip())
    return mask(": ".join(word for word in words if word) or "error")[:300]


def _moment(nanoseconds: int) -> datetime:
    if nanoseconds <= 0:
        raise UsageError("The span has no end.")
    try:
        return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        raise UsageError("The span's end lies outside the years 1 to 9999.") from None


def _record_id(span: Span, moment: datetime) -> UUID:
    """A UUIDv8 (RFC 9562, 5.8) of the end's milliseconds and the span's own id: sent again, it is the same record."""
    ids = f"{span.trace_id}/{span.span_id}"
    if not _IDS.match(ids):
        raise UsageError("The span's ids are not those of a span.")
    digest = int.from_bytes(hashlib.sha256(ids.encode()).digest()[:10])
    milliseconds = int(moment.timestamp() * 1000) & (2**48 - 1)
    return UUID(int=milliseconds << 80 | 0x8 << 76 | (digest >> 68) << 64 | 0b10 << 62 | digest & (2**62 - 1))


def _place(resource: Attributes) -> dict[str, str | None]:
    vercel = any(name.startswith("vercel.") for name in resource)
    platform = _PLATFORMS.get(_text(resource, ("cloud.platform",)) or "")
    sha = _text(resource, ("vercel.sha",))
    place = {
        "environment": _text(resource, ("deployment.environment.name", "deployment.environment", "env")),
        "platform": "vercel" if vercel else platform,
        "region": _text(resource, ("cloud.region", "vercel.region")),
        "deployment": sha[:7] if sha else _text(resource, ("vercel.deployment_id", "service.version")),
    }
    return {
        name: value and value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
        for name, value in place.items()
    }
