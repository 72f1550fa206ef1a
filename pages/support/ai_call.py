"""The AI call behind a test recording: a real one to Gemini where its key is set, else made up and labelled so."""

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


def call(kind: str) -> Callable[[tracker.Tracker], tracker.Outcome]:
    """Make one call of a kind of `KINDS` now, and return what records it, marked as a test.

    An AI that refuses or can't be reached is recorded as a failed call.
    """
    if not is_real():
        return lambda recorder: recorder.record(synthetic(kind))
    asked = KINDS[kind]
    began = time.perf_counter()
    answer = _ask_gemini(asked.prompt)
    took_ms = round((time.perf_counter() - began) * 1000)
    return lambda recorder: recorder.record_response(
        answer,
        model=MODEL,
        provider="google",
        operation=asked.operation,
        user_id="dashboard",
        processing_time=took_ms,
        is_test=True,
        metadata={"note": REAL},
    )


def synthetic(kind: str, id: UUID | None = None, **metadata: Any) -> tracker.TokenUsage:  # noqa: A002 - its name
    """A call that nobody made."""
    made_up = KINDS[kind]
    usage = tracker.TokenUsage(
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
    return replace(usage, id=id) if id else usage


def _ask_gemini(prompt: str) -> object:
    """The library's answer, or whatever it raised."""
    from google import genai

    try:
        options = genai.types.HttpOptions(timeout=_TIMEOUT_MS)
        with closing(genai.Client(api_key=os.environ[KEY].strip(), http_options=options)) as client:
            return client.models.generate_content(model=MODEL, contents=prompt)
    except Exception as error:  # noqa: BLE001 - the attempt is recorded, whatever became of it
        return error
