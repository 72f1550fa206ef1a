"""Keeps secrets out of what is logged."""

from __future__ import annotations

import logging
import os
import re
import traceback
from collections.abc import Mapping

_URL_PASSWORD = re.compile(r"(\w[\w+.-]*://[^\s:/@]*):[^\s/]*@")
_SECRET_NAME = re.compile(r"URL|DSN|KEY|SECRET|TOKEN|PASSWORD|PASSWD", re.IGNORECASE)
# Keys of AI providers and clouds, which their error messages quote: OpenAI, Anthropic, Langfuse, Google, Groq,
# Hugging Face, xAI, Perplexity, Replicate, AWS; and any bearer token.
_API_KEY = re.compile(
    r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{12,}|\bAIza[A-Za-z0-9_-]{30,}|\b(?:gsk|hf|r8)_[A-Za-z0-9]{16,}"
    r"|\b(?:xai|pplx|nvapi)-[A-Za-z0-9_-]{16,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|(?<=Bearer )[A-Za-z0-9._~+/=-]{16,}"
)
_SHORTEST = 6
"""A shorter value would mask ordinary words."""


def mask(text: str, env: Mapping[str, str] = os.environ) -> str:
    """The text without passwords of URLs, API keys, and the values of variables whose name says secret."""
    secrets = [value for name, value in env.items() if _SECRET_NAME.search(name) and len(value) >= _SHORTEST]
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return _API_KEY.sub("***", _URL_PASSWORD.sub(r"\1:***@", text))


class MaskSecrets(logging.Filter):
    """Masks a record's message and traceback before any handler sees them."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = mask(record.getMessage()), ()
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = mask("".join(traceback.format_exception(record.exc_info[1])))
            record.exc_info = None
        return True
