"""An answer and what its caller says of it → the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields as fields_of
from typing import Any

from tracker.providers.responses import ParsedResponse
from tracker.providers.schemas.schema_table import hosted_by, model_from_resource
from tracker.redaction import redact
from tracker.usage import TokenUsage

# What a caller may say of a call; its counts are the answer's.
CALL_FIELDS = frozenset(field.name for field in fields_of(TokenUsage) if not field.name.endswith("_tokens"))
BROKEN_OFF = "The stream was broken off; the tokens are those known until then."
_LONGEST_FAILURE = 300


def to_token_usage(
    answer: ParsedResponse, fields: Mapping[str, Any], *, failure: str | None = None, broken_off: bool = False
) -> TokenUsage:
    """The record of a call: the answer's figures, the caller's words.

    The model is the one that answered; `metadata.request_model` is the one that was asked for, if it differs.
    `metadata.usage` is what only prices need.
    """
    error_message = failure or answer.failure or (BROKEN_OFF if broken_off else None)
    requested = fields.get("model")
    model = _model(answer.model, requested)
    metadata: dict[str, Any] = {}
    if answer.response_id is not None:
        metadata["response_id"] = answer.response_id
    if requested is not None and answer.model and requested != model:
        metadata["request_model"] = requested
    if answer.details:
        metadata["usage"] = dict(answer.details)
    if broken_off:
        metadata["stream"] = "broken_off"
    if answer.problem is not None:
        metadata |= _problem_metadata(answer)
    if answer.note is not None:
        metadata["usage_note"] = answer.note
    if answer.calls > 1:
        metadata["calls"] = answer.calls
    values: dict[str, Any] = {**answer.counts, "provider": answer.provider or hosted_by(requested), "cost": answer.cost}
    if error_message is not None:
        values |= {"success": False, "error_message": error_message}
    values |= fields
    values["model"] = model or "unknown"
    values["metadata"] = metadata | fields["metadata"] if "metadata" in fields else metadata
    return TokenUsage(**values)


def _problem_metadata(answer: ParsedResponse) -> dict[str, Any]:
    stated = {
        "usage_problem": answer.problem,
        "usage_raw": dict(answer.raw) if answer.raw else None,
        "usage_source": answer.usage_source,
    }
    return {name: value for name, value in stated.items() if value is not None}


def _model(answered: str | None, requested: object) -> str | None:
    """The model that answered; an id of Bedrock that was asked for names the same model and also its price region."""
    asked = model_from_resource(requested) if isinstance(requested, str) else None
    if answered is None or asked is None:
        return answered or asked
    return asked if hosted_by(asked) and answered in asked else answered


def failure_text(error: BaseException) -> str:
    """The error's type and the first line of what it says, without secrets."""
    try:
        text = next(iter(str(error).strip().splitlines()), "")
    except Exception:  # noqa: BLE001  somebody else's __str__
        text = ""
    name = type(error).__name__
    return redact(f"{name}: {text}" if text else name)[:_LONGEST_FAILURE]
