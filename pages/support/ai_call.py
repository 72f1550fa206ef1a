"""The AI call of a test recording: a real Gemini call if GEMINI_API_KEY is set, else a synthetic call."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import tracker

API_KEY_VARIABLE = "GEMINI_API_KEY"
MODEL = "gemini-2.5-flash"
SYNTHETIC_NOTE = "synthetic, no AI was called"
GEMINI_NOTE = "a real call to Gemini"
_TIMEOUT_MS = 30_000

_TEXT = (
    "Connection pools keep a few open connections for many short requests. On serverless platforms every instance has"
    " a pool of its own, so that a hundred instances with five connections each want five hundred of the server."
)


@dataclass(frozen=True, slots=True)
class _CallKind:
    operation: str
    prompt: str
    input_tokens: int
    output_tokens: int
    processing_time: int


KINDS = {
    "summary": _CallKind("summary_generation", f"Summarize in one sentence: {_TEXT}", 812, 164, 1240),
    "tag": _CallKind("tag_generation", f"Give three tags, separated by commas, for: {_TEXT}", 356, 24, 410),
}


def calls_gemini() -> bool:
    """Whether a test recording calls Gemini: the API key is set and google-genai is installed."""
    return bool(os.environ.get(API_KEY_VARIABLE, "").strip()) and _is_library_installed()


def is_library_missing() -> bool:
    """Whether the API key is set, but google-genai isn't installed."""
    return bool(os.environ.get(API_KEY_VARIABLE, "").strip()) and not _is_library_installed()


def _is_library_installed() -> bool:
    try:
        return importlib.util.find_spec("google.genai") is not None
    except ModuleNotFoundError:
        return False


def make_call(kind: str) -> Callable[[tracker.Tracker], tracker.Outcome]:
    """Make one call of a kind of `KINDS`, and return a function that records it as a test call.

    An error of the AI is recorded as a failed call.
    """
    if not calls_gemini():
        return lambda recorder: recorder.record(synthetic_usage(kind))
    call_kind = KINDS[kind]
    started_at = time.perf_counter()
    response = _call_gemini(call_kind.prompt)
    duration_ms = round((time.perf_counter() - started_at) * 1000)
    return lambda recorder: recorder.record_response(
        response,
        model=MODEL,
        provider="google",
        operation=call_kind.operation,
        user_id="dashboard",
        processing_time=duration_ms,
        is_test=True,
        metadata={"note": GEMINI_NOTE},
    )


def synthetic_usage(kind: str, id: UUID | None = None, **metadata: Any) -> tracker.TokenUsage:  # noqa: A002 - the field's name
    """The usage of a synthetic call, marked as a test call."""
    call_kind = KINDS[kind]
    usage = tracker.TokenUsage(
        model=MODEL,
        provider="google",
        operation=call_kind.operation,
        user_id="dashboard",
        input_tokens=call_kind.input_tokens,
        output_tokens=call_kind.output_tokens,
        processing_time=call_kind.processing_time,
        is_test=True,
        metadata={"note": SYNTHETIC_NOTE, **metadata},
    )
    return replace(usage, id=id) if id else usage


def _call_gemini(prompt: str) -> object:
    """The response of google-genai, or the exception that it raised."""
    from google import genai

    try:
        options = genai.types.HttpOptions(timeout=_TIMEOUT_MS)
        with closing(genai.Client(api_key=os.environ[API_KEY_VARIABLE].strip(), http_options=options)) as client:
            return client.models.generate_content(model=MODEL, contents=prompt)
    except Exception as error:  # noqa: BLE001 - every error is recorded as a failed call
        return error
