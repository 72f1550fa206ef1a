"""The usage schemas of Gemini, OpenAI and Anthropic, and of providers that use their formats."""

from __future__ import annotations

from dataclasses import replace

from tracker.providers.schemas.usage_schema import UsageSchema

# Gemini: the prompt includes cached content; results of the provider's own tools and thoughts are counted apart.
# totalTokenCount = prompt + tool use + candidates + thoughts.
# Source: ai.google.dev/api/generate-content#UsageMetadata; Live API: ai.google.dev/api/live#UsageMetadata.
GEMINI = UsageSchema(
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
        "input_audio_tokens": "prompt_tokens_details.AUDIO|prompt_token_details.AUDIO"
        " + tool_use_prompt_tokens_details.AUDIO",
        "input_image_tokens": "prompt_tokens_details.IMAGE|prompt_token_details.IMAGE"
        " + tool_use_prompt_tokens_details.IMAGE",
        "input_video_tokens": "prompt_tokens_details.VIDEO|prompt_token_details.VIDEO"
        " + tool_use_prompt_tokens_details.VIDEO",
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
INTERACTIONS = UsageSchema(
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
# The fields in which a provider states its charge. Sources: openrouter.ai/docs (cost in USD, cost_details, is_byok);
# docs.perplexity.ai (cost.total_cost); docs.x.ai/developers/cost-tracking (10^10 ticks are 1 USD);
# deepinfra.com/docs (estimated_cost).
COST_KEYS = (
    "cost|cost_in_usd_ticks|estimated_cost|is_byok|cost.total_cost|cost.currency|cost_details.upstream_inference_cost"
)
# xAI's server-side tools. Source: docs.x.ai, tools usage details.
_XAI_TOOLS = {
    "web_searches": "server_side_tool_usage_details.web_search_calls",
    "social_searches": "server_side_tool_usage_details.x_search_calls",
    "code_executions": "server_side_tool_usage_details.code_interpreter_calls",
    "storage_searches": "server_side_tool_usage_details.file_search_calls",
    "sources_used": "num_sources_used",
}

# OpenAI's Chat Completions and all providers with its format; embeddings too. Cached and reasoning tokens are included.
# Sources: developers.openai.com/api/reference (CompletionUsage); api-docs.deepseek.com (prompt_cache_hit_tokens);
# platform.moonshot.ai (cached_tokens); docs.perplexity.ai (citation_tokens); docs.mistral.ai (prompt_audio_seconds);
# docs.litellm.ai and docs.databricks.com (cache_read_input_tokens, cache_creation_token_details).
CHAT = UsageSchema(
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
    extra=COST_KEYS,
)

# OpenAI's Responses, images, transcriptions and Realtime: both sides inclusive, always with a total.
# Sources: developers.openai.com/api/reference (ResponseUsage, ImagesResponse, Transcription, RealtimeResponseUsage);
# docs.perplexity.ai (Agent API).
RESPONSES = UsageSchema(
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
    extra=COST_KEYS,
)

# Audio transcribed by whisper is counted in seconds, not in tokens.
DURATION = UsageSchema(
    name="duration",
    provider=None,
    usage="usage",
    marks="seconds",
    counts={},
    details={"audio_seconds": "seconds"},
    counting="none",
)

# Anthropic's Messages: input excludes cache reads and writes; output includes thinking; no total.
# Source: platform.claude.com/docs (prompt caching, usage, service tiers, fast mode, data residency).
MESSAGES = UsageSchema(
    name="messages",
    provider="anthropic",
    usage="usage",
    marks="input_tokens|output_tokens",
    absent="total_tokens|prompt_tokens|input_tokens_details|input_token_details",
    counting="exclusive",
    counts={
        "input_tokens": "input_tokens + cache_read_input_tokens",  # plus the cache writes, see total_formulas.py
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
# The same names with a total, which a gateway between Anthropic and the application added.
MESSAGES_TOTAL = replace(
    MESSAGES,
    name="messages_total",
    provider=None,
    marks="cache_creation_input_tokens|cache_read_input_tokens",
    absent="prompt_tokens|input_tokens_details|input_token_details",
    counts={**MESSAGES.counts, "total_tokens": "total_tokens"},
)
