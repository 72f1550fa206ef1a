"""The table of usage shapes, and where a response has its usage."""

from __future__ import annotations

from tracker.providers.model_names import hosted_by, model_from_resource, provider_named, provider_of
from tracker.providers.node_access import Path
from tracker.providers.schemas.other_schemas import (
    AI_SDK,
    COHERE,
    CONVERSE,
    EMBEDDING_OBJECT,
    EMBEDDING_TOTAL,
    INVOKE,
    INVOKE_HEADERS,
    LANGCHAIN,
    OCR,
    OLLAMA,
    PYDANTIC_AI,
    TITAN,
    VERTEX_EMBEDDINGS,
)
from tracker.providers.schemas.provider_schemas import (
    CHAT,
    DURATION,
    GEMINI,
    INTERACTIONS,
    MESSAGES,
    MESSAGES_TOTAL,
    RESPONSES,
)
from tracker.providers.schemas.usage_schema import COUNTS, Rule, Shape, rule

__all__ = [
    "COUNTS",
    "SHAPES",
    "Path",
    "Rule",
    "Shape",
    "hosted_by",
    "model_from_resource",
    "provider_named",
    "provider_of",
    "rule",
]

SHAPES: tuple[Shape, ...] = (
    GEMINI,
    LANGCHAIN,
    CHAT,
    INTERACTIONS,
    COHERE,
    PYDANTIC_AI,
    AI_SDK,
    CONVERSE,
    MESSAGES_TOTAL,
    EMBEDDING_TOTAL,
    RESPONSES,
    DURATION,
    MESSAGES,
    OLLAMA,
    TITAN,
    INVOKE,
    INVOKE_HEADERS,
    OCR,
    EMBEDDING_OBJECT,
    VERTEX_EMBEDDINGS,
)


Places = tuple[tuple[Path, tuple[Shape, ...]], ...]


def _places(*shapes: Shape) -> Places:
    places = dict.fromkeys(place for shape in shapes for place in (rule(shape.usage) or (((),),))[0])
    return tuple((place, tuple(s for s in shapes if place in (rule(s.usage) or (((),),))[0])) for place in places)


# Where usage is in a response, and which shapes it may have there. Most responses have one of the first.
_RARE = (OLLAMA, TITAN, INVOKE, INVOKE_HEADERS, OCR, EMBEDDING_OBJECT)
PLACES = _places(*(shape for shape in SHAPES if shape not in (*_RARE, VERTEX_EMBEDDINGS)))
RARE_PLACES = _places(*_RARE)
# A response has one of these fields if its usage is in one of RARE_PLACES or RARE_CONTAINERS, or if it may end a turn.
RARE_FIELDS = frozenset(
    {
        "prompt_eval_count",
        "eval_count",
        "inputTextTokenCount",
        "generation_token_count",
        "amazon-bedrock-invocationMetrics",
        "ResponseMetadata",
        "usage_info",
        "total_tokens",
        "embeddings",
        "predictions",
        "delta",
        "metadata",
        "model_usage",
        "modelUsage",
        "server_content",
        "serverContent",
    }
)

# Where a response may be in what is handed over: itself, or inside an event or a line of a batch.
# Sources: the streaming and batch pages of the providers.
CONTAINERS: tuple[Path, ...] = (
    (),
    ("response",),
    ("message",),
    ("response", "body"),
    ("result", "message"),
    ("result",),
    ("interaction",),
)
# Cohere's last event, Bedrock's last event.
RARE_CONTAINERS: tuple[Path, ...] = (("delta",), ("metadata",))
# Lines of a batch's output, which costs less.
BATCHED: tuple[Path, ...] = (("response", "body"), ("result", "message"))
