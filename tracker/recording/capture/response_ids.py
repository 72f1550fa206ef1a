"""The provider's own id of a response, where LangChain or LiteLLM put another one in its place."""

from __future__ import annotations

import base64
import binascii

from tracker.providers.responses import ParsedResponse, follow

_LITELLM = b"litellm:custom_llm_provider:"
_RESPONSE_ID = b";response_id:"
_LANGCHAIN_RUNS = ("lc_run", "run-")


def is_provider_id(response_id: str | None) -> bool:
    """Whether a provider may have made this id; LangChain numbers its own runs."""
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


def with_provider_id(answer: ParsedResponse, response: object) -> ParsedResponse:
    """The answer with the provider's own id where the response states it; None instead of a run's number."""
    if answer.response_id is None:
        return answer
    if not is_provider_id(answer.response_id):
        stated = follow(response, ("response_metadata", "id"))
        return answer._replace(response_id=stated if isinstance(stated, str) else None)
    plain = plain_response_id(answer.response_id)
    return answer if plain == answer.response_id else answer._replace(response_id=plain)
