"""The codes of `metadata.usage_note`: how a count was derived, or which counts its sender is known to omit."""

from __future__ import annotations

from tracker.messages import Message

USAGE_NOTES = frozenset(
    {
        "reasoning_from_total",
        "audio_from_total",
        "cache_not_stated",
        "cached_part_not_stated",
        "reasoning_not_stated",
        "parts_not_stated",
        "cache_counting_unknown",
        "output_may_include_stream_start",
        "response_differs",
    }
)
"""All codes; their sentences are in `tracker/messages/prices_texts.py`."""

UNCERTAIN_NOTES = USAGE_NOTES - {"reasoning_from_total", "audio_from_total"}
"""The codes of counts that may be incomplete or too high."""


def note_text(code: str) -> str:
    """The sentence for a code of `USAGE_NOTES`; any other text unchanged."""
    return Message(f"prices.note.{code}") if code in USAGE_NOTES else code
