"""Redacts secrets in texts and log records."""

from __future__ import annotations

import logging
import os
import re
import traceback
from collections.abc import Mapping

_URL_PASSWORD = re.compile(r"(\w[\w+.-]*://[^\s:/@]*):[^\s/]*@")
_SECRET_NAME = re.compile(r"URL|DSN|KEY|SECRET|TOKEN|PASSWORD|PASSWD", re.IGNORECASE)
# Prefixes of keys of AI providers, clouds and code hosts; providers quote keys in error messages. Long keys are always
# redacted, short ones only if they contain a digit, since `sk-` may also start a word.
_PREFIXED_KEY = re.compile(
    r"\b(?:(?:sk|pk|rk|csk|lsv2|xai|pplx|nvapi|tvly|glpat|xox[a-z]|GOCSPX)-|(?:sk|pk|gsk|hf|r8|fw|tgp|jina|pcsk|lsv2)_"
    r"|gh[opsur]_|github_pat_)(?:(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{8,}|[A-Za-z0-9_-]{16,})"
    r"|\bAIza[A-Za-z0-9_-]{16,}|\bya29\.[A-Za-z0-9._-]{16,}|\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"
    r"|\b(?:ABSK|bedrock-api-key-)[A-Za-z0-9+/=]{16,}"
)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?")
_AUTHORIZATION = re.compile(
    r"\b((?:bearer|basic|token)\s+)(?:(?=[A-Za-z._~+/=-]*\d)[A-Za-z0-9._~+/=-]{8,}|[A-Za-z0-9._~+/=-]{16,})",
    re.IGNORECASE,
)
# Query parameters, form fields and settings: `key=`, `api_key=`, `access_token=`.
_PARAMETER = re.compile(
    r"(?<![A-Za-z0-9])((?:[a-z]+[-_])*(?:api[-_]?key|apikey|key|token|secret|password|passwd|signature|sig)"
    r"[\"']?=[\"']?)[^\s&\"'<>,;]{6,}",
    re.IGNORECASE,
)
# Headers, JSON and sentences: `x-api-key: …`, `"api_key": "…"`, `Incorrect API key provided: …`.
_NAMED_KEY = re.compile(
    r"(api[-_ ]?key(?: provided)?[\"']?\s*:\s*[\"']?|(?:secret|password|passwd)[\"']?\s*:\s*[\"'])"
    r"(?=[^\s\"']*\d)[^\s\"'<>,;]{8,}",
    re.IGNORECASE,
)
_MIN_SECRET_CHARS = 6
"""A shorter value may be an ordinary word."""


def redact(text: str, env: Mapping[str, str] = os.environ) -> str:
    """The text without passwords of URLs, API keys, tokens, and values of variables with a secret's name."""
    secrets = [value for name, value in env.items() if _SECRET_NAME.search(name) and len(value) >= _MIN_SECRET_CHARS]
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    text = redact_prefixed_keys(text)
    for pattern in (_AUTHORIZATION, _PARAMETER, _NAMED_KEY):
        text = pattern.sub(r"\1***", text)
    return _URL_PASSWORD.sub(r"\1:***@", text)


def redact_prefixed_keys(text: str) -> str:
    """The text without JWTs and keys that have the prefix of a provider."""
    for pattern in (_PREFIXED_KEY, _JWT):
        text = pattern.sub("***", text)
    return text


class RedactSecrets(logging.Filter):
    """Redacts a log record's message and traceback before the handlers process it."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), ()
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = redact("".join(traceback.format_exception(record.exc_info[1])))
            record.exc_info = None
        return True
