"""The table of usage shapes: where each provider states its counts, and what its counts include.

A rule is text: terms joined by ` + ` are added, paths joined by `|` are alternatives of which the first that is
present and not 0 wins, dots go down, and into lists of counts by their label (Gemini's modality, Bedrock's time to
live). Names are snake_case; an answer's camelCase is found too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from tracker.sources.model_names import hosted_by, model_from_resource, provider_named, provider_of
from tracker.sources.node_access import Path

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

Rule = tuple[tuple[Path, ...], ...]

COUNTS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "reasoning_output_tokens",
)


@dataclass(frozen=True, slots=True)
class Shape:
    """One provider's usage object: where it is, how it is recognised, and a rule for each count.

    `marks` are alternatives in the usage node, any of which identifies this shape; `absent` ones exclude it.
    `details` are numbers and `texts` words that only prices need, by genai-prices' names where it has one.
    `counting` says which formula the sender's total follows (`totals.py`):
    `inclusive`: input + output; `exclusive`: input + cached + output; `gemini`: all counts; `none`: it states no total.
    `writes_5m` are the cache writes for five minutes; with those for an hour they are the writes, where these are less.
    """

    name: str
    provider: str | None
    usage: str
    marks: str
    counts: Mapping[str, str]
    details: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    writes_5m: str = ""
    extra: str = ""
    absent: str = ""
    counting: str = "inclusive"


@cache
def rule(text: str) -> Rule:
    """A rule's terms, each a choice of paths."""
    return tuple(
        tuple(tuple(path.strip().split(".")) for path in term.split("|")) for term in text.split("+") if term.strip()
    )


# Gemini: the prompt includes cached content; results of the provider's own tools and thoughts are counted apart.
# totalTokenCount = prompt + tool use + candidates + thoughts.
# Source: ai.google.dev/api/generate-content#UsageMetadata; Live API: ai.google.dev/api/live#UsageMetadata.
GEMINI = Shape(
    name="gemini",
    provider="google",
    usage="usage_metadata",
    marks="total_token_count|prompt_token_count|candidates_token_count|response_token_count",
    counting="gemini",
    counts={
        "input_tokens": "prompt_token_count + tool_use_prompt_token_count",
        "output_tokens": "candidates_token_count|response_token_count + thoughts_token_count",
        "total_tokens": "total_token_count",
        "cache_read_input_tokens": "cached_content_token_count",
        "reasoning_output_tokens": "thoughts_token_count",
    },
    details={
        "input_audio_tokens": "prompt_tokens_details.AUDIO + tool_use_prompt_tokens_details.AUDIO",
        "input_image_tokens": "prompt_tokens_details.IMAGE + tool_use_prompt_tokens_details.IMAGE",
        "input_video_tokens": "prompt_tokens_details.VIDEO + tool_use_prompt_tokens_details.VIDEO",
        "cache_audio_read_tokens": "cache_tokens_details.AUDIO",
        "cache_image_read_tokens": "cache_tokens_details.IMAGE",
        "cache_video_read_tokens": "cache_tokens_details.VIDEO",
        "output_audio_tokens": "candidates_tokens_details.AUDIO|response_tokens_details.AUDIO",
        "output_image_tokens": "candidates_tokens_details.IMAGE|response_tokens_details.IMAGE",
        "output_video_tokens": "candidates_tokens_details.VIDEO|response_tokens_details.VIDEO",
    },
    texts={"service_tier": "service_tier|traffic_type"},
)

# google-genai's interactions: thoughts and tool use are counted apart, as in Gemini's usageMetadata.
# Source: google-genai, _gaos/types/interactions/usage.py.
INTERACTIONS = Shape(
    name="interactions",
    provider="google",
    usage="usage",
    marks="total_input_tokens|total_output_tokens|total_thought_tokens",
    counting="gemini",
    counts={
        "input_tokens": "total_input_tokens + total_tool_use_tokens",
        "output_tokens": "total_output_tokens + total_thought_tokens",
        "total_tokens": "total_tokens",
        "cache_read_input_tokens": "total_cached_tokens",
        "reasoning_output_tokens": "total_thought_tokens",
    },
    details={
        "input_audio_tokens": "input_tokens_by_modality.AUDIO + tool_use_tokens_by_modality.AUDIO",
        "input_image_tokens": "input_tokens_by_modality.IMAGE + tool_use_tokens_by_modality.IMAGE",
        "input_video_tokens": "input_tokens_by_modality.VIDEO + tool_use_tokens_by_modality.VIDEO",
        "cache_audio_read_tokens": "cached_tokens_by_modality.AUDIO",
        "cache_image_read_tokens": "cached_tokens_by_modality.IMAGE",
        "cache_video_read_tokens": "cached_tokens_by_modality.VIDEO",
        "output_audio_tokens": "output_tokens_by_modality.AUDIO",
        "output_image_tokens": "output_tokens_by_modality.IMAGE",
        "output_video_tokens": "output_tokens_by_modality.VIDEO",
    },
)

_EPHEMERAL = "cache_creation_token_details", "cache_creation"
_CHAT_1H = "|".join(
    f"{prefix}{node}.ephemeral_1h_input_tokens" for prefix in ("prompt_tokens_details.", "") for node in _EPHEMERAL
)
# Where a provider states what it charges. Sources: openrouter.ai/docs (cost in USD, cost_details, is_byok);
# docs.perplexity.ai (cost.total_cost); docs.x.ai/developers/cost-tracking (10^10 ticks are 1 USD);
# deepinfra.com/docs (estimated_cost).
_COST = (
    "cost|cost_in_usd_ticks|estimated_cost|is_byok|cost.total_cost|cost.currency|cost_details.upstream_inference_cost"
)
# What xAI's servers ran on behalf of the model. Source: docs.x.ai, tools usage details.
_XAI_TOOLS = {
    "web_searches": "server_side_tool_usage_details.web_search_calls",
    "social_searches": "server_side_tool_usage_details.x_search_calls",
    "code_executions": "server_side_tool_usage_details.code_interpreter_calls",
    "storage_searches": "server_side_tool_usage_details.file_search_calls",
    "sources_used": "num_sources_used",
}

# OpenAI's Chat Completions and all who use its format; embeddings too. Cached and reasoning tokens are included.
# Sources: developers.openai.com/api/reference (CompletionUsage); api-docs.deepseek.com (prompt_cache_hit_tokens);
# platform.moonshot.ai (cached_tokens); docs.perplexity.ai (citation_tokens); docs.mistral.ai (prompt_audio_seconds);
# docs.litellm.ai and docs.databricks.com (cache_read_input_tokens, cache_creation_token_details).
CHAT = Shape(
    name="chat",
    provider=None,
    usage="usage|x_groq.usage|token_usage",
    marks="prompt_tokens|completion_tokens",
    counts={
        "input_tokens": "prompt_tokens",
        "output_tokens": "completion_tokens",
        "total_tokens": "total_tokens",
        "cache_read_input_tokens": "prompt_tokens_details.cached_tokens|prompt_cache_hit_tokens|cached_tokens"
        "|cached_prompt_text_tokens|num_cached_tokens|cache_read_input_tokens",
        "cache_write_input_tokens": "prompt_tokens_details.cache_write_tokens"
        "|prompt_tokens_details.cache_creation_tokens|prompt_tokens_details.cache_creation_input_tokens"
        "|cache_creation_input_tokens|cache_write_input_tokens",
        "reasoning_output_tokens": "completion_tokens_details.reasoning_tokens|reasoning_tokens",
    },
    details={
        "cache_write_1h_tokens": _CHAT_1H,
        "cache_write_12h_tokens": "prompt_tokens_details.cache_write_tokens_details.ttl_12h_tokens",
        "input_audio_tokens": "prompt_tokens_details.audio_tokens",
        "input_image_tokens": "prompt_tokens_details.image_tokens",
        "cache_audio_read_tokens": "prompt_tokens_details.cached_tokens_details.audio_tokens",
        "output_audio_tokens": "completion_tokens_details.audio_tokens",
        "output_image_tokens": "completion_tokens_details.image_tokens",
        "output_citation_tokens": "citation_tokens",
        **_XAI_TOOLS,
        "web_searches": "num_search_queries|server_tool_use.web_search_requests"
        "|server_side_tool_usage_details.web_search_calls",
        "audio_seconds": "prompt_audio_seconds",
    },
    writes_5m=_CHAT_1H.replace("_1h_", "_5m_"),
    texts={
        "service_tier": "service_tier",
        "speed": "speed",
        "inference_geo": "inference_geo",
        "search_context_size": "search_context_size",
    },
    extra=_COST,
)

# OpenAI's Responses, images, transcriptions and Realtime: both sides inclusive, always with a total.
# Sources: developers.openai.com/api/reference (ResponseUsage, ImagesResponse, Transcription, RealtimeResponseUsage);
# docs.perplexity.ai (Agent API).
RESPONSES = Shape(
    name="responses",
    provider=None,
    usage="usage",
    marks="total_tokens|input_tokens_details|input_token_details",
    counts={
        "input_tokens": "input_tokens",
        "output_tokens": "output_tokens",
        "total_tokens": "total_tokens",
        "cache_read_input_tokens": "input_tokens_details.cached_tokens|input_token_details.cached_tokens"
        "|input_tokens_details.cache_read_input_tokens|prompt_tokens_details.cached_tokens|cached_input_tokens",
        "cache_write_input_tokens": "input_tokens_details.cache_write_tokens"
        "|input_tokens_details.cache_creation_input_tokens",
        "reasoning_output_tokens": "output_tokens_details.reasoning_tokens|output_token_details.reasoning_tokens"
        "|reasoning_output_tokens",
    },
    details={
        "cache_write_12h_tokens": "input_tokens_details.cache_write_tokens_details.ttl_12h_tokens",
        "input_audio_tokens": "input_token_details.audio_tokens|input_tokens_details.audio_tokens",
        "output_audio_tokens": "output_token_details.audio_tokens|output_tokens_details.audio_tokens",
        "input_image_tokens": "input_tokens_details.image_tokens|input_token_details.image_tokens",
        "output_image_tokens": "output_tokens_details.image_tokens|output_token_details.image_tokens",
        "cache_audio_read_tokens": "input_token_details.cached_tokens_details.audio_tokens"
        "|input_tokens_details.cached_tokens_details.audio_tokens",
        "cache_image_read_tokens": "input_token_details.cached_tokens_details.image_tokens"
        "|input_tokens_details.cached_tokens_details.image_tokens",
        **_XAI_TOOLS,
        "web_searches": "server_side_tool_usage_details.web_search_calls|tool_calls_details.search_web.invocation",
        "audio_seconds": "billable_audio_seconds",
    },
    texts={"service_tier": "service_tier"},
    extra=_COST,
)

# Audio transcribed by whisper is counted in seconds, not in tokens.
DURATION = Shape(
    name="duration",
    provider=None,
    usage="usage",
    marks="seconds",
    counts={},
    details={"audio_seconds": "seconds"},
    counting="none",
)

# Anthropic's Messages: input excludes what was read from or written to the cache; thinking is in the output; no total.
# Source: platform.claude.com/docs (prompt caching, usage, service tiers, fast mode, data residency).
MESSAGES = Shape(
    name="messages",
    provider="anthropic",
    usage="usage",
    marks="input_tokens|output_tokens",
    absent="total_tokens|prompt_tokens|input_tokens_details|input_token_details",
    counting="exclusive",
    counts={
        "input_tokens": "input_tokens + cache_read_input_tokens",  # plus the cache writes, see totals.py
        "output_tokens": "output_tokens",
        "cache_read_input_tokens": "cache_read_input_tokens",
        "cache_write_input_tokens": "cache_creation_input_tokens",
        "reasoning_output_tokens": "output_tokens_details.thinking_tokens",
    },
    details={
        "cache_write_1h_tokens": "cache_creation.ephemeral_1h_input_tokens",
        "web_searches": "server_tool_use.web_search_requests",
        "code_executions": "server_tool_use.code_execution_requests",
    },
    writes_5m="cache_creation.ephemeral_5m_input_tokens",
    texts={"service_tier": "service_tier", "speed": "speed", "inference_geo": "inference_geo"},
    extra="iterations|cost|is_byok|cost_details.upstream_inference_cost",
)
# The same names with a total that something between Anthropic and the app added.
MESSAGES_TOTAL = replace(
    MESSAGES,
    name="messages_total",
    provider=None,
    marks="cache_creation_input_tokens|cache_read_input_tokens",
    absent="prompt_tokens|input_tokens_details|input_token_details",
    counts={**MESSAGES.counts, "total_tokens": "total_tokens"},
)

# Bedrock's Converse: input excludes what was read from or written to the cache, the total includes it. Nova's own
# format names the cache's counts ...TokenCount. Sources: docs.aws.amazon.com/bedrock, API_runtime_TokenUsage and
# prompt caching; Claude's Agent SDK (modelUsage) uses the same names.
CONVERSE = Shape(
    name="converse",
    provider=None,
    usage="usage",
    marks="inputTokens|cache_write_input_tokens|cache_details",
    absent="prompt_tokens|cached_input_tokens|input_token_details|input_tokens_details|reasoning_tokens",
    counting="exclusive",
    counts={
        "input_tokens": "input_tokens + cache_read_input_tokens|cacheReadInputTokenCount",
        "output_tokens": "output_tokens",
        "total_tokens": "total_tokens",
        "cache_read_input_tokens": "cache_read_input_tokens|cacheReadInputTokenCount",
        "cache_write_input_tokens": "cache_write_input_tokens|cacheWriteInputTokenCount|cache_creation_input_tokens",
        "reasoning_output_tokens": "output_tokens_details.reasoning_tokens",
    },
    details={
        "cache_write_1h_tokens": "cache_details.1H",
        "web_searches": "web_search_requests",
    },
    writes_5m="cache_details.5M",
)

# Bedrock's InvokeModel, in the last chunk of a stream. Source: docs.aws.amazon.com/bedrock, InvokeModel with streams.
INVOKE = Shape(
    name="invoke",
    provider="aws",
    usage="amazon-bedrock-invocationMetrics",
    marks="input_token_count|output_token_count",
    counting="exclusive",
    counts={
        "input_tokens": "input_token_count + cache_read_input_token_count",
        "output_tokens": "output_token_count",
        "cache_read_input_tokens": "cache_read_input_token_count",
        "cache_write_input_tokens": "cache_write_input_token_count",
    },
)
_HEADER = "x-amzn-bedrock-"
INVOKE_HEADERS = Shape(
    name="invoke_headers",
    provider="aws",
    usage="ResponseMetadata.HTTPHeaders",
    marks=f"{_HEADER}input-token-count",
    counting="exclusive",
    counts={
        "input_tokens": f"{_HEADER}input-token-count + {_HEADER}cache-read-input-token-count",
        "output_tokens": f"{_HEADER}output-token-count",
        "cache_read_input_tokens": f"{_HEADER}cache-read-input-token-count",
        "cache_write_input_tokens": f"{_HEADER}cache-write-input-token-count",
    },
)
# The bodies of Bedrock's own models. Source: docs.aws.amazon.com/bedrock, inference parameters of Titan and Llama.
TITAN = Shape(
    name="titan",
    provider="aws",
    usage="",
    marks="inputTextTokenCount|generation_token_count",
    counting="none",
    counts={
        "input_tokens": "inputTextTokenCount|prompt_token_count",
        "output_tokens": "totalOutputTextTokenCount|generation_token_count|results.0.tokenCount",
    },
)

# LangChain's messages, whatever provider is behind them: both sides inclusive. langchain-openai puts the service tier
# before the names of parts; langchain-anthropic and -aws state cache_creation 0 beside the parts by time to live.
# Source: langchain-core messages/ai.py; langchain-openai _create_usage_metadata; langchain-aws bedrock_converse.py.
LANGCHAIN = Shape(
    name="langchain",
    provider=None,
    usage="usage_metadata",
    marks="input_tokens|output_tokens",
    counts={
        "input_tokens": "input_tokens",
        "output_tokens": "output_tokens",
        "total_tokens": "total_tokens",
        "cache_read_input_tokens": "input_token_details.cache_read|input_token_details.flex_cache_read"
        "|input_token_details.priority_cache_read",
        "cache_write_input_tokens": "input_token_details.cache_creation|input_token_details.flex_cache_creation"
        "|input_token_details.priority_cache_creation",
        "reasoning_output_tokens": "output_token_details.reasoning|output_token_details.flex_reasoning"
        "|output_token_details.priority_reasoning",
    },
    details={
        "cache_write_1h_tokens": "input_token_details.ephemeral_1h_input_tokens",
        "input_audio_tokens": "input_token_details.audio",
        "input_image_tokens": "input_token_details.image",
        "input_video_tokens": "input_token_details.video",
        "output_audio_tokens": "output_token_details.audio",
        "output_image_tokens": "output_token_details.image",
    },
    writes_5m="input_token_details.ephemeral_5m_input_tokens",
    extra="input_token_details.flex|input_token_details.priority|output_token_details.flex"
    "|output_token_details.priority",
)

# The AI SDK's own usage, version 6: both sides inclusive. Source: ai-sdk.dev, LanguageModelUsage.
AI_SDK = Shape(
    name="ai_sdk",
    provider=None,
    usage="usage",
    marks="cached_input_tokens|input_token_details.cache_read_tokens|input_token_details.no_cache_tokens"
    "|reasoning_tokens",
    absent="prompt_tokens|completion_tokens|input_token_details.cached_tokens|input_token_details.audio_tokens",
    counts={
        "input_tokens": "input_tokens",
        "output_tokens": "output_tokens",
        "total_tokens": "total_tokens",
        "cache_read_input_tokens": "input_token_details.cache_read_tokens|cached_input_tokens",
        "cache_write_input_tokens": "input_token_details.cache_write_tokens",
        "reasoning_output_tokens": "output_token_details.reasoning_tokens|reasoning_tokens|reasoning_output_tokens",
    },
)

# Cohere bills `billed_units`; `tokens` also counts what its own prompt template adds. Cached tokens are a part of
# `tokens`, so with them `tokens` are the counts. Sources: docs.cohere.com, chat and embed responses; genai-prices.
COHERE = Shape(
    name="cohere",
    provider="cohere",
    usage="usage|meta",
    marks="billed_units|tokens",
    counting="cohere",
    counts={
        "input_tokens": "billed_units.input_tokens|tokens.input_tokens",
        "output_tokens": "billed_units.output_tokens|tokens.output_tokens",
    },
    details={"rerank_searches": "billed_units.search_units", "input_images": "billed_units.images"},
    extra="tokens.input_tokens|tokens.output_tokens|cached_tokens",
)

# Ollama's own API. Source: github.com/ollama/ollama, docs/api.md.
OLLAMA = Shape(
    name="ollama",
    provider="ollama",
    usage="",
    marks="prompt_eval_count|eval_count",
    counting="none",
    counts={"input_tokens": "prompt_eval_count", "output_tokens": "eval_count"},
)

# Embeddings and rerankings that state one total, all of it input. Sources: docs.voyageai.com, api.jina.ai.
EMBEDDING_TOTAL = Shape(
    name="embedding_total",
    provider=None,
    usage="usage",
    marks="total_tokens",
    absent="input_tokens|output_tokens|prompt_tokens|completion_tokens|input_tokens_details|input_token_details"
    "|cache_read_input_tokens|cache_creation_input_tokens",
    counts={"input_tokens": "total_tokens", "total_tokens": "total_tokens"},
    details={"input_pixels": "image_pixels", "input_video_pixels": "video_pixels"},
    extra=_COST,
)
EMBEDDING_OBJECT = replace(EMBEDDING_TOTAL, name="embedding_object", usage="", extra="")

# A page reader counts pages. Source: docs.mistral.ai, OCR.
OCR = Shape(
    name="ocr",
    provider="mistral",
    usage="usage_info",
    marks="pages_processed",
    counting="none",
    counts={},
    details={"input_document_pages": "pages_processed"},
)

# Vertex AI's embeddings: the sum of all `statistics.token_count`. Source: cloud.google.com/vertex-ai, text embeddings.
VERTEX_EMBEDDINGS = Shape(
    name="vertex_embeddings",
    provider="google",
    usage="vertex_embeddings",
    marks="token_count",
    counting="none",
    counts={"input_tokens": "token_count"},
)

SHAPES: tuple[Shape, ...] = (
    GEMINI,
    LANGCHAIN,
    CHAT,
    INTERACTIONS,
    COHERE,
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


def _places(*shapes: Shape) -> tuple[tuple[Path, tuple[Shape, ...]], ...]:
    places = dict.fromkeys(place for shape in shapes for place in (rule(shape.usage) or (((),),))[0])
    return tuple((place, tuple(s for s in shapes if place in (rule(s.usage) or (((),),))[0])) for place in places)


# Where usage is in a response, and which shapes it may have there. Most responses have one of the first.
_RARE = (OLLAMA, TITAN, INVOKE, INVOKE_HEADERS, OCR, EMBEDDING_OBJECT)
PLACES = _places(*(shape for shape in SHAPES if shape not in (*_RARE, VERTEX_EMBEDDINGS)))
RARE_PLACES = _places(*_RARE)
# A response has one of these fields if its usage is in one of RARE_PLACES or RARE_CONTAINERS.
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
