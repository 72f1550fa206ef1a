"""Counts that some senders are known to omit from their spans; their rows are marked with a note.

Most entries were captured from the library (tests/cases/instrumentations); others name their source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from tracker.otlp.decode import Span
from tracker.otlp.reading.senders import Counting, Parts, Sender

_READ = "cache_read_input_tokens"
_WRITE = "cache_write_input_tokens"
_REASONING = "reasoning_output_tokens"


def _always(_: Span) -> bool:
    return True


class Omission(NamedTuple):
    """Parts that a sender does not state in some of its spans.

    With `zero_is_unknown`, a stated 0 counts as not stated. `families` limits the entry to provider families.
    """

    parts: tuple[str, ...]
    applies: Callable[[Span], bool] = _always
    families: frozenset[str] | None = None
    zero_is_unknown: bool = False


def _has_scope(*names: str) -> Callable[[Span], bool]:
    return lambda span: span.scope_name.startswith(names)


def _has_operation(*words: str) -> Callable[[Span], bool]:
    return lambda span: any(word in str(span.attributes.get("ai.operationId", "")) for word in words)


def _has_cacheable_model(span: Span) -> bool:
    """Whether the model supports prompt caching on Amazon Bedrock: Claude and Nova."""
    names = (span.attributes.get("gen_ai.response.model"), span.attributes.get("gen_ai.request.model"))
    return any(word in str(name) for name in names for word in ("claude", "nova"))


def _is_litellm(span: Span) -> bool:
    return span.name.startswith("litellm")


def _is_streamed(span: Span) -> bool:
    return any(span.attributes.get(name) is True for name in ("gen_ai.is_streaming", "llm.is_streaming"))


_ANTHROPIC = frozenset({"anthropic", "aws"})
OMISSIONS: Mapping[str, tuple[Omission, ...]] = {
    # doGenerate spans state promptTokens and completionTokens only (ai 5.0.277, dist/index.mjs).
    "ai-sdk-5": (Omission((_READ, _REASONING), _has_operation(".doGenerate")),),
    "ai-sdk-6": (Omission((_READ, _WRITE, _REASONING), _has_operation("generateObject.doGenerate")),),
    "openllmetry-bedrock": (Omission((_READ, _WRITE), _has_cacheable_model),),
    "otel-bedrock": (Omission((_READ, _WRITE), _has_cacheable_model),),
    "openllmetry": (
        Omission((_READ, _REASONING), _has_scope("opentelemetry.instrumentation.openai_v2")),
        Omission((_REASONING,), _is_streamed, frozenset({"openai"})),
        Omission((_REASONING,), _has_scope("opentelemetry.instrumentation.langchain")),
        # langchain-anthropic states 0 cache writes when it states them by time to live.
        Omission((_WRITE,), _has_scope("opentelemetry.instrumentation.langchain"), _ANTHROPIC, zero_is_unknown=True),
    ),
    "openinference": (
        Omission(
            (_READ, _REASONING),
            _has_scope("openinference.instrumentation.openai_agents", "openinference.instrumentation.smolagents"),
        ),
    ),
    "openlit": (Omission((_REASONING,)),),
    "strands": (Omission((_REASONING,)),),
    "microsoft": (Omission((_READ, _REASONING), _has_scope("semantic_kernel", "Microsoft.SemanticKernel")),),
    "mlflow": (
        Omission((_REASONING,)),
        Omission((_READ, _WRITE), _is_litellm),
        Omission((_WRITE,), families=_ANTHROPIC, zero_is_unknown=True),
    ),
}


def note_of(sender: Sender, span: Span, family: str, stated: Mapping[str, int], counting: Counting) -> str | None:
    """The code of `USAGE_NOTES` for a call whose span omits parts; None if it states all parts."""
    missing = set(_missing(sender, span, family, stated))
    cached, reasoning = bool(missing & {_READ, _WRITE}), _REASONING in missing
    if cached and counting.cached is Parts.EXCLUDED:
        return "cache_not_stated"
    if cached or reasoning:
        return "parts_not_stated" if cached and reasoning else _NOTES[cached]
    if _has_unknown_counting(sender, span, stated, counting):
        return "cache_counting_unknown"
    return "output_may_include_stream_start" if _may_include_stream_start(span) else None


_NOTES = {True: "cached_part_not_stated", False: "reasoning_not_stated"}


def _missing(sender: Sender, span: Span, family: str, stated: Mapping[str, int]) -> Iterator[str]:
    for omission in OMISSIONS.get(sender.name, ()):
        if (omission.families is None or family in omission.families) and omission.applies(span):
            for part in omission.parts:
                if part not in stated or (omission.zero_is_unknown and not stated[part]):
                    yield part


def _has_unknown_counting(sender: Sender, span: Span, stated: Mapping[str, int], counting: Counting) -> bool:
    """Whether a streamObject span can be of AI SDK 5 or 6, which count cached tokens differently.

    Version 6 states no token details in these spans, and streams do not state the version.
    """
    if sender.name != "ai-sdk-5" or counting.cached is not Parts.EXCLUDED:
        return False
    if "streamObject" not in str(span.attributes.get("ai.operationId")):
        return False
    cached = stated.get(_READ, 0) + stated.get(_WRITE, 0)
    return 0 < cached <= stated.get("input_tokens", 0)


def _may_include_stream_start(span: Span) -> bool:
    """Whether OpenLLMetry's Anthropic span can be a stream: those of `messages.stream()` do not say so.

    Source: opentelemetry-instrumentation-anthropic 0.62.4, streaming.py.
    """
    return span.scope_name == "opentelemetry.instrumentation.anthropic" and not any(
        span.attributes.get(name) is False for name in ("gen_ai.is_streaming", "llm.is_streaming")
    )
