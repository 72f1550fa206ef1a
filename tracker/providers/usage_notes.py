"""The codes of `metadata.usage_note`: how a count was derived, or which counts its sender is known to omit."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

USAGE_NOTES: Mapping[str, str] = MappingProxyType(
    {
        "reasoning_from_total": "The reasoning tokens are stated only in the total; they are the difference.",
        "audio_from_total": "The audio tokens are stated only in the total; they are the difference.",
        "cache_not_stated": "The sender states no cached tokens, and its input does not include them. If the call used"
        " prompt caching, the input tokens and the cost are too low.",
        "cached_part_not_stated": "The sender does not state how many input tokens were cached; the input is complete."
        " If the call used prompt caching, the cost is not exact.",
        "reasoning_not_stated": "The sender does not state how many output tokens were reasoning; the output is"
        " complete.",
        "parts_not_stated": "The sender states neither cached nor reasoning tokens; input and output are complete. If"
        " the call used prompt caching, the cost is not exact.",
        "cache_counting_unknown": "The sender does not state its version, which determines whether its input includes"
        " cached tokens; they may be counted twice.",
        "output_may_include_stream_start": "For streams, the sender adds the output tokens that were stated at the"
        " start to the final count; the output may be a few tokens too high.",
        "response_differs": "The response in the span states another usage than the span's attributes; the attributes"
        " were used.",
    }
)
"""The meaning of each code, as one or two sentences."""

UNCERTAIN_NOTES = frozenset(USAGE_NOTES) - {"reasoning_from_total", "audio_from_total"}
"""The codes of counts that may be incomplete or too high."""


def note_text(code: str) -> str:
    """The sentence for a code of `USAGE_NOTES`; any other text unchanged."""
    return USAGE_NOTES.get(code, code)
