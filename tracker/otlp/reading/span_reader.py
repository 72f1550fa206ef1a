"""Reads one span: the token usage of an AI call, a failed call, or neither."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

from tracker.errors import UsageError
from tracker.otlp.decode import Attributes, Span
from tracker.otlp.reading.call_attributes import (
    first_text,
    plain_model,
    read_models,
    read_provider,
    read_session,
    read_user,
)
from tracker.otlp.reading.first_token import time_to_first_token_ms
from tracker.otlp.reading.genai_attributes import (
    ERROR_MESSAGE,
    ERROR_TYPE,
    FINISH_REASON,
    INTERRUPTED_REASONS,
    RESPONSE_ID,
)
from tracker.otlp.reading.span_properties import read_properties
from tracker.otlp.reading.span_role import Role, is_like_a_call, operation_of, role_of
from tracker.otlp.reading.span_usage import read_usage, reread_attributes
from tracker.providers.responses import ParsedResponse
from tracker.redaction import redact
from tracker.usage import TokenUsage

__all__ = ["SpanReading", "SpanRecord", "read_span", "reread_attributes"]

_MAX_DURATION_MS = 2**31 - 1
_MAX_ERROR_CHARS = 300
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_IDS = re.compile(r"(?!0+/)[0-9a-f]{32}/(?!0+\Z)[0-9a-f]{16}\Z")
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
    deployment: dict[str, str | None]
    scope: str
    scope_version: str

    def as_row(self) -> dict[str, Any]:
        return self.usage.as_row() | self.deployment


ReadingKind = Literal["usage", "failure", "unread", "other"]


class SpanReading(NamedTuple):
    """The kind of a span, and its record.

    `usage`: one AI call with its tokens. `failure`: one failed AI call without tokens. `unread`: a GenAI span whose
    usage was not understood. `other`: anything else. Only `usage` and `failure` have a record.
    """

    kind: ReadingKind
    record: SpanRecord | None = None


def read_span(span: Span, property_names: Sequence[str] = ()) -> SpanReading:
    """Read one span; `property_names` are further attributes to store in `metadata`.

    Raises `UsageError` for a span that cannot be stored.
    """
    role = role_of(span)
    if role == "other" or (role == "unknown" and not _mentions_usage(span)):
        return SpanReading("other")
    model, _ = read_models(span.attributes, None)
    provider = read_provider(span.attributes, model)
    usage = read_usage(span, role, provider=provider, model=model)
    failed = _is_failed(span, has_usage=usage is not None and any(usage.counts.values()))
    if usage is not None and (any(usage.counts.values()) or not failed):
        return SpanReading("usage", _record(span, role, usage, provider, property_names, failed=failed))
    if role == "unknown":
        return SpanReading("unread" if is_like_a_call(span) and not failed else "other")
    if failed:
        return SpanReading("failure", _record(span, role, ParsedResponse(), provider, property_names, failed=True))
    return SpanReading("unread")


def _mentions_usage(span: Span) -> bool:
    """Whether a span of unknown kind may be an AI call. Most spans are not, and are not read further."""
    return is_like_a_call(span) or any("token" in name.lower() or "usage" in name for name in span.attributes)


def _record(
    span: Span, role: Role, usage: ParsedResponse, provider: str | None, property_names: Sequence[str], *, failed: bool
) -> SpanRecord:
    attributes = span.attributes
    model, requested = read_models(attributes, usage.model)
    provider = provider or read_provider(attributes, model) or usage.provider
    model = plain_model(model, provider) if model else "unknown"
    requested = plain_model(requested, provider) if requested else None
    metadata = {
        "source": "otlp",
        "service": first_text(span.resource, ("service.name",)),
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "response_id": first_text(attributes, RESPONSE_ID) or usage.response_id,
        "request_model": requested if requested != model else None,
        "usage": dict(usage.details) or None,
        "usage_note": usage.note,
        "usage_problem": usage.problem,
        "usage_raw": dict(usage.raw) if usage.raw else None,
        "usage_source": usage.usage_source,
    }
    created_at = _created_at(span.end_ns)
    counts: dict[str, Any] = dict(usage.counts)
    call = TokenUsage(
        **counts,
        id=_record_id(span, created_at),
        model=model,
        provider=provider,
        cost=None if usage.problem else usage.cost,
        operation=operation_of(span, role),
        user_id=read_user(attributes) or "anonymous",
        session_id=read_session(attributes),
        processing_time=_duration_ms(span),
        time_to_first_token_ms=time_to_first_token_ms(span),
        created_at=created_at,
        success=not failed,
        error_message=_error_message(span, usage) if failed else None,
        metadata=read_properties(span, property_names) | {name: value for name, value in metadata.items() if value},
    )
    return SpanRecord(call, _deployment(span.resource), span.scope_name, span.scope_version)


def _is_failed(span: Span, *, has_usage: bool) -> bool:
    """Whether the call failed: by its status, its error type or Langfuse's level.

    Without usage, an exception, an HTTP error or an interrupted stream is a failure too; with usage, the call
    was retried.
    """
    attributes = span.attributes
    level = attributes.get("langfuse.observation.level")
    if span.failed or first_text(attributes, ("error.type",)) or (isinstance(level, str) and level.upper() == "ERROR"):
        return True
    if has_usage:
        return False
    return bool(span.exception_type or span.exception_message or _http_error(attributes) or _interruption(attributes))


def _http_error(attributes: Attributes) -> str | None:
    status = attributes.get("http.response.status_code")
    return f"HTTP {status}" if isinstance(status, int) and status >= 400 else None


def _interruption(attributes: Attributes) -> str | None:
    reason = (first_text(attributes, FINISH_REASON) or "").strip('[]"').lower()
    return f"The response was interrupted (finish reason: {reason})." if reason in INTERRUPTED_REASONS else None


def _error_message(span: Span, usage: ParsedResponse) -> str:
    """The error's type and message on one line, without secrets."""
    attributes = span.attributes
    kind = first_text(attributes, ERROR_TYPE) or span.exception_type or usage.failure or _http_error(attributes) or ""
    text = span.message.strip() or span.exception_message.strip() or first_text(attributes, ERROR_MESSAGE) or ""
    line = next(iter(text.partition("Traceback (most recent call last)")[0].splitlines()), "").strip()
    if not kind and not line:
        line = _interruption(attributes) or "error"
    words = [word for word in (kind, line) if word]
    # Many messages already begin with the type, with or without its module.
    if len(words) == 2 and line.startswith((kind, kind.rpartition(".")[2])):
        words = [line]
    return redact(": ".join(words))[:_MAX_ERROR_CHARS]


def _duration_ms(span: Span) -> int | None:
    milliseconds = (span.end_ns - span.start_ns) // 1_000_000
    return milliseconds if span.start_ns > 0 and 0 <= milliseconds <= _MAX_DURATION_MS else None


def _created_at(nanoseconds: int) -> datetime:
    if nanoseconds <= 0:
        raise UsageError("The span has no end time.")
    try:
        return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        raise UsageError("The span's end is not in the years 1 to 9999.") from None


def _record_id(span: Span, created_at: datetime) -> UUID:
    """A UUIDv8 (RFC 9562, 5.8) of the end's milliseconds and the span's ids: a span sent again has the same id."""
    ids = f"{span.trace_id}/{span.span_id}"
    if not _IDS.match(ids):
        raise UsageError("The trace id or the span id is invalid.")
    digest = int.from_bytes(hashlib.sha256(ids.encode()).digest()[:10])
    milliseconds = int(created_at.timestamp() * 1000) & (2**48 - 1)
    return UUID(int=milliseconds << 80 | 0x8 << 76 | (digest >> 68) << 64 | 0b10 << 62 | digest & (2**62 - 1))


def _deployment(resource: Attributes) -> dict[str, str | None]:
    vercel = any(name.startswith("vercel.") for name in resource)
    platform = _PLATFORMS.get(first_text(resource, ("cloud.platform",)) or "")
    sha = first_text(resource, ("vercel.sha",))
    values = {
        "environment": first_text(resource, ("deployment.environment.name", "deployment.environment", "env")),
        "platform": "vercel" if vercel else platform,
        "region": first_text(resource, ("cloud.region", "vercel.region")),
        "deployment": sha[:7] if sha else first_text(resource, ("vercel.deployment_id", "service.version")),
    }
    return {
        name: value and value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
        for name, value in values.items()
    }
