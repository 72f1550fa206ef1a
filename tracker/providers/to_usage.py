"""Builds the record of a call from the parsed response and the caller's fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields as fields_of
from types import MappingProxyType
from typing import Any

from tracker.providers.given_fields import with_names_given
from tracker.providers.responses import ParsedResponse
from tracker.providers.schemas.schema_table import hosted_by, model_from_resource
from tracker.redaction import redact
from tracker.usage import TokenUsage

# The fields that a caller may set; the counts come from the response.
CALL_FIELDS = frozenset(field.name for field in fields_of(TokenUsage) if not field.name.endswith("_tokens"))
BROKEN_OFF = "The stream was broken off; the tokens are those known until then."
_MAX_FAILURE_CHARS = 300


def to_token_usage(
    parsed: ParsedResponse,
    fields: Mapping[str, Any],
    detected: Mapping[str, Any] = MappingProxyType({}),
    *,
    failure: str | None = None,
    broken_off: bool = False,
) -> TokenUsage:
    """Build the record of a call: the counts of the response and the fields of the caller.

    `detected` are values that follow from the request, for columns that the caller and its context leave open. The
    model is the one that responded; `metadata.request_model` is the requested one, if it differs.
    `metadata.usage` contains the details for the price.
    """
    error_message = failure or parsed.failure or (BROKEN_OFF if broken_off else None)
    requested = fields.get("model")
    model = _model(parsed.model, requested)
    metadata: dict[str, Any] = {}
    if parsed.response_id is not None:
        metadata["response_id"] = parsed.response_id
    if requested is not None and parsed.model and requested != model:
        metadata["request_model"] = requested
    if parsed.details:
        metadata["usage"] = dict(parsed.details)
    if broken_off:
        metadata["stream"] = "broken_off"
    if parsed.problem is not None:
        metadata |= _problem_metadata(parsed)
    if parsed.note is not None:
        metadata["usage_note"] = parsed.note
    if parsed.calls > 1:
        metadata["calls"] = parsed.calls
    values: dict[str, Any] = {**parsed.counts, "provider": parsed.provider or hosted_by(requested), "cost": parsed.cost}
    if error_message is not None:
        values |= {"success": False, "error_message": error_message}
    values |= detected
    values |= fields
    values["model"] = model or "unknown"
    values["metadata"] = metadata | fields["metadata"] if "metadata" in fields else metadata
    return with_names_given(TokenUsage(**values), fields)


def _problem_metadata(parsed: ParsedResponse) -> dict[str, Any]:
    stated = {
        "usage_problem": parsed.problem,
        "usage_raw": dict(parsed.raw) if parsed.raw else None,
        "usage_source": parsed.usage_source,
    }
    return {name: value for name, value in stated.items() if value is not None}


def _model(response_model: str | None, requested: object) -> str | None:
    """The model that responded, or a requested Bedrock id of the same model, which also names the price region."""
    request_model = model_from_resource(requested) if isinstance(requested, str) else None
    if response_model is None or request_model is None:
        return response_model or request_model
    return request_model if hosted_by(request_model) and response_model in request_model else response_model


def failure_text(error: BaseException) -> str:
    """The error's type and the first line of its message, without secrets."""
    try:
        text = next(iter(str(error).strip().splitlines()), "")
    except Exception:  # noqa: BLE001  __str__ of any class may raise any error
        text = ""
    name = type(error).__name__
    return redact(f"{name}: {text}" if text else name)[:_MAX_FAILURE_CHARS]
