"""The usage schemas of Bedrock, Cohere, Ollama, embeddings, LangChain and the AI SDK."""

from __future__ import annotations

from dataclasses import replace

from tracker.providers.schemas.provider_schemas import COST_KEYS
from tracker.providers.schemas.usage_schema import UsageSchema

# Bedrock's Converse: input excludes cache reads and writes, the total includes them. Nova's own
# format names the cache's counts ...TokenCount. Sources: docs.aws.amazon.com/bedrock, API_runtime_TokenUsage and
# prompt caching; Claude's Agent SDK (modelUsage) uses the same names.
CONVERSE = UsageSchema(
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
INVOKE = UsageSchema(
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
INVOKE_HEADERS = UsageSchema(
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
TITAN = UsageSchema(
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

# LangChain's messages for any provider: both sides inclusive. langchain-openai puts the service tier
# before the names of parts; langchain-anthropic and -aws state cache_creation 0 next to the parts by time to live.
# Source: langchain-core messages/ai.py; langchain-openai _create_usage_metadata; langchain-aws bedrock_converse.py.
LANGCHAIN = UsageSchema(
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

# Pydantic AI's usage of a request for any provider: both sides inclusive.
# Source: pydantic_ai/usage.py (RequestUsage), pydantic_ai/messages.py (ModelResponse).
PYDANTIC_AI = UsageSchema(
    name="pydantic_ai",
    provider=None,
    usage="usage",
    marks="cache_read_tokens|cache_write_tokens",
    absent="prompt_tokens|cache_read_input_tokens|cache_creation_input_tokens|input_tokens_details|input_token_details",
    counts={
        "input_tokens": "input_tokens",
        "output_tokens": "output_tokens",
        "cache_read_input_tokens": "cache_read_tokens",
        "cache_write_input_tokens": "cache_write_tokens",
        "reasoning_output_tokens": "details.reasoning_tokens|details.thoughts_tokens",
    },
    details={
        "input_audio_tokens": "input_audio_tokens",
        "cache_audio_read_tokens": "cache_audio_read_tokens",
        "output_audio_tokens": "output_audio_tokens",
    },
)

# The AI SDK's own usage, version 6: both sides inclusive. Source: ai-sdk.dev, LanguageModelUsage.
AI_SDK = UsageSchema(
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
COHERE = UsageSchema(
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
OLLAMA = UsageSchema(
    name="ollama",
    provider="ollama",
    usage="",
    marks="prompt_eval_count|eval_count",
    counting="none",
    counts={"input_tokens": "prompt_eval_count", "output_tokens": "eval_count"},
)

# Embeddings and rerankings that state one total, all of it input. Sources: docs.voyageai.com, api.jina.ai.
EMBEDDING_TOTAL = UsageSchema(
    name="embedding_total",
    provider=None,
    usage="usage",
    marks="total_tokens",
    absent="input_tokens|output_tokens|prompt_tokens|completion_tokens|input_tokens_details|input_token_details"
    "|cache_read_input_tokens|cache_creation_input_tokens",
    counts={"input_tokens": "total_tokens", "total_tokens": "total_tokens"},
    details={"input_pixels": "image_pixels", "input_video_pixels": "video_pixels"},
    extra=COST_KEYS,
)
EMBEDDING_OBJECT = replace(EMBEDDING_TOTAL, name="embedding_object", usage="", extra="")

# A page reader counts pages. Source: docs.mistral.ai, OCR.
OCR = UsageSchema(
    name="ocr",
    provider="mistral",
    usage="usage_info",
    marks="pages_processed",
    counting="none",
    counts={},
    details={"input_document_pages": "pages_processed"},
)

# Vertex AI's embeddings: the sum of all `statistics.token_count`. Source: cloud.google.com/vertex-ai, text embeddings.
VERTEX_EMBEDDINGS = UsageSchema(
    name="vertex_embeddings",
    provider="google",
    usage="vertex_embeddings",
    marks="token_count",
    counting="none",
    counts={"input_tokens": "token_count"},
)
