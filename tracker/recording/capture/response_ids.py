"""Restores the provider's id of a response if LangChain or LiteLLM replaced it by another one."""

from __future__ import annotations

import base64
import binascii

from tracker.providers.responses import ParsedResponse, follow

_LITELLM = b"litellm:custom_llm_provider:"
_RESPONSE_ID = b";response_id:"
_LANGCHAIN_RUNS = ("lc_run", "run-")


def is_provider_id(response_id: str | None) -> bool:
    """Whether this may be a provider's id, not the number of a LangChain run."""
    return response_id is not None and not response_id.startswith(_LANGCHAIN_RUNS)


def plain_response_id(response_id: str) -> str:
    """The id without LiteLLM's encoding: resp_ and base64 of its provider, model, and the provider's id."""
    if not response_id.startswith("resp_") or len(response_id) < len(_LITELLM):
        return response_id
    try:
        decoded = base64.b64decode(response_id[5:] + "=" * (-len(response_id[5:]) % 4))
    except (binascii.Error, ValueError):
        return response_id
    if not decoded.startswith(_LITELLM) or _RESPONSE_ID not in decoded:
        return response_id
    return decoded.rpartition(_RESPONSE_ID)[2].decode("utf-8", "replace")


def with_provider_id(parsed: ParsedResponse, response: object) -> ParsedResponse:
    """The parsed response with the provider's id if the response contains it; None instead of a run's number."""
    if parsed.response_id is None:
        return parsed
    if not is_provider_id(parsed.response_id):
        provider_id = follow(response, ("response_metadata", "id"))
        return parsed._replace(response_id=provider_id if isinstance(provider_id, str) else None)
    plain = plain_response_id(parsed.response_id)
    return parsed if plain == parsed.response_id else parsed._replace(response_id=plain)
