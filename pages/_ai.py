"""The AI call behind a test recording: a real one to Gemini where its key is set, else made up and labelled so."""

from __future__ import annotations

import importlib.util
import os
import time
from dataclasses import dataclass
from typing import Any

import tracker

KEY = "GEMINI_API_KEY"
MODEL = "gemini-2.5-flash"
SYNTHETIC = "synthetic, no AI was called"
REAL = "a real call to Gemini"
_TIMEOUT_MS = 30_000

_TEXT = (
    "Connection pools keep a few open connections for many short requests. On serverless platforms every instance has"
    " a pool of its own, so that a hundred instances with five connections each want five hundred of the server."
)


@dataclass(frozen=True, slots=True)
class _Kind:
    operation: str
    prompt: str
    input_tokens: int
    output_tokens: int
    processing_time: int


KINDS = {
    "summary": _Kind("summary_generation", f"Summarize in one sentence: {_TEXT}", 812, 164, 1240),
    "tag": _Kind("tag_generation", f"Give three tags, separated by commas, for: {_TEXT}", 356, 24, 410),
}


def is_real() -> bool:
    """Whether a test recording calls Gemini: its key is set and its library installed."""
    return bool(os.environ.get(KEY, "").strip()) and _installed()


def library_missing() -> bool:
    """Whether the key is set and only google-genai isn't there."""
    return bool(os.environ.get(KEY, "").strip()) and not _installed()


def _installed() -> bool:
    try:
        return importlib.util.find_spec("google.genai") is not None
    except ModuleNotFoundError:
        return False


def call(kind: str) -> tracker.TokenUsage:
    """One call of a kind of `KINDS`, marked as a test; one that fails is a usage too, with its error."""
    return _gemini(KINDS[kind]) if is_real() else synthetic(kind)


def synthetic(kind: str, **metadata: Any) -> tracker.TokenUsage:
    """A call that nobody made."""
    made_up = KINDS[kind]
    return tracker.TokenUsage(
        model=MODEL,
        provider="google",
        operation=made_up.operation,
        user_id="dashboard",
        input_tokens=made_up.input_tokens,
        output_tokens=made_up.output_tokens,
        processing_time=made_up.processing_time,
        is_test=True,
        metadata={"note": SYNTHETIC, **metadata},
    )


def _gemini(kind: _Kind) -> tracker.TokenUsage:
    from google import genai

    shared: dict[str, Any] = {
        "model": MODEL,
        "provider": "google",
        "operation": kind.operation,
        "user_id": "dashboard",
        "is_test": True,
        "metadata": {"note": REAL},
    }
    began = time.perf_counter()
    try:
        options = genai.types.HttpOptions(timeout=_TIMEOUT_MS)
        client = genai.Client(api_key=os.environ[KEY].strip(), http_options=options)
        used: Any = client.models.generate_content(model=MODEL, contents=kind.prompt).usage_metadata
    except Exception as error:  # noqa: BLE001 - whatever the library raises, the attempt is recorded
        text = f"{type(error).__name__} {getattr(error, 'code', '') or ''}".strip()
        return tracker.TokenUsage(
            **shared, input_tokens=0, output_tokens=0, processing_time=_ms(began), success=False, error_message=text
        )
    thoughts = used.thoughts_token_count or 0
    return tracker.TokenUsage(
        **shared,
        input_tokens=used.prompt_token_count or 0,
        output_tokens=(used.candidates_token_count or 0) + thoughts,
        reasoning_output_tokens=thoughts,
        cache_read_input_tokens=used.cached_content_token_count or 0,
        processing_time=_ms(began),
    )


def _ms(began: float) -> int:
    return round((time.perf_counter() - began) * 1000)
