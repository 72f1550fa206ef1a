"""The table of answer shapes: where each provider keeps what, and what its counts include.

A rule is text: terms joined by ` + ` are added, paths joined by `|` are alternatives of which the first present wins,
dots go down, and into Gemini's lists by modality. Names are snake_case; an answer's camelCase is found too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache

Path = tuple[str, ...]
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
    """One provider's habit: the node that holds usage, the marks it is known by, and a rule for each count.

    `marks` are alternatives in the usage node, any of which says that it is this shape; `absent` ones say that it
    isn't. `details` are counts that only prices need, by genai-prices' names.
    """

    name: str
    provider: str | None
    usage: str
    marks: str
    counts: Mapping[str, str]
    details: Mapping[str, str] = field(default_factory=dict)
    absent: str = ""


@cache
def rule(text: str) -> Rule:
    """A rule's terms, each a choice of paths."""
    return tuple(
        tuple(tuple(path.strip().split(".")) for path in term.split("|")) for term in text.split("+") if term.strip()
    )


# Gemini: the prompt holds cached content; results of the provider's own tools and thoughts are counted apart.
# Source: ai.google.dev/api/generate-content#UsageMetadata; Live API: ai.google.dev/api/live#UsageMetadata.
GEMINI = Shape(
    name="gemini",
    provider="google",
    usage="usage_metadata",
    marks="total_token_count|prompt_token_count|candidates_token_count|response_token_count",
    counts={
        "input_tokens": "prompt_token_count + tool_use_prompt_token_count",
        "output_tokens": "candidates_token_count|response_token_count + thoughts_token_count",
        "total_tokens": "total_token_count",
        "cache_read_input_tokens": "cached_content_token_count",
        "reasoning_output_tokens": "thoughts_token_count",
    },
    details={
        "input_audio_tokens": "prompt_tokens_details.AUDIO",
        "input_image_tokens": "prompt_tokens_details.IMAGE",
        "input_video_tokens": "prompt_tokens_details.VIDEO",
        "cache_audio_read_tokens": "cache_tokens_details.AUDIO",
        "output_audio_tokens": "candidates_tokens_details.AUDIO|response_tokens_details.AUDIO",
        "output_image_tokens": "candidates_tokens_details.IMAGE",
    },
)

# OpenAI's Chat Completions and all who speak it; embeddings too. Cached and reasoning tokens are included.
# Sources: developers.openai.com/api/reference (CompletionUsage); api-docs.deepseek.com (prompt_cache_hit_tokens);
# platform.moonshot.ai (usage.cached_tokens); docs.perplexity.ai (citation_tokens); openrouter.ai/docs (usage.cost).
CHAT = Shape(
    name="chat",
    provider=None,
    usage="usage|x_groq.usage",
    marks="prompt_tokens|completion_tokens",
    counts={
        "input_tokens": "prompt_tokens",
        "output_tokens": "completion_tokens",
        "total_tokens": "total_tokens",
        "cache_read_input_tokens": "prompt_tokens_details.cached_tokens|prompt_cache_hit_tokens"
        "|cached_tokens|cached_prompt_text_tokens",
        "cache_write_input_tokens": "prompt_tokens_details.cache_write_tokens"
        "|prompt_tokens_details.cache_creation_tokens",
        "reasoning_output_tokens": "completion_tokens_details.reasoning_tokens|reasoning_tokens",
    },
    details={
        "input_audio_tokens": "prompt_tokens_details.audio_tokens",
        "output_audio_tokens": "completion_tokens_details.audio_tokens",
        "output_citation_tokens": "citation_tokens",
        "web_searches": "num_search_queries",
    },
)

# OpenAI's Responses, images, transcriptions and Realtime: both sides inclusive, always with a total.
# Source: developers.openai.com/api/reference (ResponseUsage, ImagesResponse, Transcription, RealtimeResponseUsage).
RESPONSES = Shape(
    name="responses",
    provider=None,
    usage="usage",
    marks="total_tokens|input_tokens_details|input_token_details",
    counts={
        "input_tokens": "input_tokens",
        "output_tokens": "output_tokens",
        "total_tokens": "total_tokens",
        "cache_read_input_tokens": "input_tokens_details.cached_tokens|input_token_details.cached_tokens",
        "cache_write_input_tokens": "input_tokens_details.cache_write_tokens",
        "reasoning_output_tokens": "output_tokens_details.reasoning_tokens",
    },
    details={
        "input_audio_tokens": "input_token_details.audio_tokens",
        "output_audio_tokens": "output_token_details.audio_tokens",
        "input_image_tokens": "input_tokens_details.image_tokens|input_token_details.image_tokens",
        "output_image_tokens": "output_tokens_details.image_tokens",
    },
)

# Audio transcribed by whisper is counted in seconds, not in tokens.
DURATION = Shape(
    name="duration",
    provider=None,
    usage="usage",
    marks="seconds",
    counts={},
    details={"audio_seconds": "seconds"},
)

# Anthropic's Messages: input leaves out what was read from or written to the cache; thinking is in the output.
# What a compaction used stands in usage.iterations alone. Source: platform.claude.com/docs (prompt caching, usage).
MESSAGES = Shape(
    name="messages",
    provider="anthropic",
    usage="usage",
    marks="input_tokens|output_tokens",
    absent="total_tokens|prompt_tokens|input_tokens_details",
    counts={
        "input_tokens": "input_tokens + cache_read_input_tokens + cache_creation_input_tokens",
        "output_tokens": "output_tokens",
        "cache_read_input_tokens": "cache_read_input_tokens",
        "cache_write_input_tokens": "cache_creation_input_tokens",
        "reasoning_output_tokens": "output_tokens_details.thinking_tokens",
    },
    details={
        "cache_write_1h_tokens": "cache_creation.ephemeral_1h_input_tokens",
        "web_searches": "server_tool_use.web_search_requests",
    },
)

# LangChain's messages, whatever provider is behind them: both sides inclusive.
# Source: langchain-core messages/ai.py, UsageMetadata.
LANGCHAIN = Shape(
    name="langchain",
    provider=None,
    usage="usage_metadata",
    marks="input_tokens",
    counts={
        "input_tokens": "input_tokens",
        "output_tokens": "output_tokens",
        "total_tokens": "total_tokens",
        "cache_read_input_tokens": "input_token_details.cache_read",
        "cache_write_input_tokens": "input_token_details.cache_creation",
        "reasoning_output_tokens": "output_token_details.reasoning",
    },
    details={
        "input_audio_tokens": "input_token_details.audio",
        "output_audio_tokens": "output_token_details.audio",
    },
)

SHAPES: tuple[Shape, ...] = (GEMINI, LANGCHAIN, CHAT, RESPONSES, DURATION, MESSAGES)

# Where usage lies in an answer, and whose habit that may be.
PLACES: tuple[tuple[Path, tuple[Shape, ...]], ...] = tuple(
    (place, tuple(shape for shape in SHAPES if place in rule(shape.usage)[0]))
    for place in dict.fromkeys(place for shape in SHAPES for place in rule(shape.usage)[0])
)

# Where an answer may lie in what is handed over: itself, an event's or a batch line's inner answer.
# Sources: the streaming and batch pages of the three providers.
CONTAINERS: tuple[Path, ...] = (
    (),
    ("response",),
    ("message",),
    ("response", "body"),
    ("result", "message"),
    ("result",),
)
# Lines of a batch's output, which costs less.
BATCHED: tuple[Path, ...] = (("response", "body"), ("result", "message"))

# Which words at the start of a model's name say whose it is; the rest stays unknown rather than guessed.
PROVIDERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("google", ("gemini", "gemma", "models/gemini")),
    (
        "openai",
        ("gpt-", "o1", "o3", "o4", "chatgpt-", "ft:gpt-", "text-embedding-", "codex-", "computer-use-", "whisper-"),
    ),
    ("anthropic", ("claude-",)),
    ("deepseek", ("deepseek-",)),
    ("x-ai", ("grok-",)),
    ("mistral", ("mistral-", "ministral-", "codestral-", "magistral-", "pixtral-")),
    ("perplexity", ("sonar",)),
    ("moonshotai", ("kimi-", "moonshot-")),
)


# What others call a provider of ours.
ALIASES = {
    "gcp": "google",
    "gemini": "google",
    "google_genai": "google",
    "google_vertexai": "google",
    "vertex_ai": "google",
    "az": "azure",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "amazon-bedrock": "aws",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "moonshot": "moonshotai",
    "moonshot_ai": "moonshotai",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
}


def model_from_resource(name: str) -> str:
    """The model that a resource name contains: publishers/google/models/M, models/M, a Bedrock profile's ARN."""
    if name.startswith("arn:") and ":bedrock:" in name:
        kind, _, rest = name.rpartition(":")[2].partition("/") if name.count("/") else ("", "", "")
        return _bedrock_model(name) if kind or rest else name
    return name.rpartition("models/")[2] or name if "models/" in name else name


def _bedrock_model(arn: str) -> str:
    kind, _, model = arn.split(":", 5)[-1].partition("/")
    return model if kind in {"foundation-model", "inference-profile"} and model else arn


def provider_named(name: str) -> str:
    """A provider as OpenTelemetry, LiteLLM, LangChain or the AI SDK names it → the table's name.

    gcp.gemini, google.generative-ai, openai.responses: what stands before the point says whose it is.
    """
    head = name.strip().lower().partition(".")[0]
    return ALIASES.get(head, head)


@lru_cache(256)
def provider_of(model: str) -> str | None:
    """The provider that a model's name belongs to; None when the name doesn't say."""
    name = model.lower()
    return next((provider for provider, words in PROVIDERS if name.startswith(words)), None)
