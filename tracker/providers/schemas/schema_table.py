"""The table of usage schemas, and the paths of usage objects in a response."""

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
from tracker.providers.schemas.usage_schema import COUNTS, CountRule, UsageSchema, parse_rule

__all__ = [
    "COUNTS",
    "SCHEMAS",
    "CountRule",
    "Path",
    "UsageSchema",
    "hosted_by",
    "model_from_resource",
    "parse_rule",
    "provider_named",
    "provider_of",
]

SCHEMAS: tuple[UsageSchema, ...] = (
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


UsagePaths = tuple[tuple[Path, tuple[UsageSchema, ...]], ...]
"""Paths of usage objects, each with the schemas that an object there can have."""


def _schemas_by_path(*schemas: UsageSchema) -> UsagePaths:
    paths_of = {schema.name: (parse_rule(schema.usage) or (((),),))[0] for schema in schemas}
    paths = dict.fromkeys(path for schema in schemas for path in paths_of[schema.name])
    return tuple((path, tuple(schema for schema in schemas if path in paths_of[schema.name])) for path in paths)


# Most responses have their usage at one of USAGE_PATHS.
_RARE = (OLLAMA, TITAN, INVOKE, INVOKE_HEADERS, OCR, EMBEDDING_OBJECT)
USAGE_PATHS = _schemas_by_path(*(schema for schema in SCHEMAS if schema not in (*_RARE, VERTEX_EMBEDDINGS)))
RARE_USAGE_PATHS = _schemas_by_path(*_RARE)
# A response with usage at RARE_USAGE_PATHS or in RARE_CONTAINERS, or that may end a turn, has one of these fields.
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

# The paths of a response in the object to read: the object itself, or inside an event or a line of a batch.
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
