"""Attribute names of AI calls, in order of preference, each group with its source.

Sources: opentelemetry.io/docs/specs/semconv/gen-ai (current and deprecated names), opentelemetry-util-genai;
ai-sdk.dev/docs/ai-sdk-core/telemetry (`ai.*`); arize-ai.github.io/openinference/spec (`llm.*`, `embedding.*`);
langfuse.com/integrations/native/opentelemetry (`langfuse.*`); mlflow/tracing/constant.py (`mlflow.*`);
getsentry/sentry-docs, develop-docs "AI Agents". Others are named at the attribute.
"""

from __future__ import annotations

from collections.abc import Mapping

Names = tuple[str, ...]

# Vocabularies are never mixed: a span may have two of them, which count differently.
GENERAL_COUNTS: Mapping[str, Names] = {
    "input_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
        "ai.usage.tokens",
        "llm.usage.prompt_tokens",  # OpenLLMetry, Cohere
        "gen_ai.response.prompt_tokens",  # Semantic Kernel before 1.17
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
        "llm.usage.completion_tokens",
        "gen_ai.response.completion_tokens",
    ),
    "total_tokens": (
        "gen_ai.usage.total_tokens",
        "llm.usage.total_tokens",
        "ai.usage.totalTokens",
        "totalTokens",
    ),
    "cache_read_input_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached",  # Sentry
        "ai.usage.inputTokenDetails.cacheReadTokens",
        "ai.usage.cachedInputTokens",
        "gen_ai.usage.details.cache_read_tokens",  # pydantic-ai
        "gen_ai.usage.details.cache_read_input_tokens",
        "gen_ai.usage.details.cached_tokens",
        "gen_ai.usage.details.cached_content_tokens",
        "gen_ai.usage.prompt_tokens_details.cached_tokens",  # OpenLIT
        "gen_ai.usage.prompt_tokens_details.cache_read",
        "gen_ai.usage.cache_read_tokens",
        "gen_ai.usage.input_cached_tokens",  # LiveKit
        "gen_ai.usage.cached_input_tokens",
        "gen_ai.usage.cached_tokens",  # Rig
        "gen_ai.usage.input_cache_read_tokens",
        "llm.usage.cache_read_input_tokens",
    ),
    "cache_write_input_tokens": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_write_input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.input_tokens.cache_write",
        "ai.usage.inputTokenDetails.cacheWriteTokens",
        "gen_ai.usage.details.cache_write_tokens",
        "gen_ai.usage.details.cache_creation_input_tokens",
        "gen_ai.usage.prompt_tokens_details.cache_creation_tokens",
        "gen_ai.usage.prompt_tokens_details.cache_write",
        "gen_ai.usage.cache_write_tokens",
        "gen_ai.usage.input_cache_write_tokens",
        "llm.usage.cache_creation_input_tokens",
    ),
    "reasoning_output_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.output_tokens.reasoning",
        "gen_ai.usage.reasoning_tokens",
        "ai.usage.outputTokenDetails.reasoningTokens",
        "ai.usage.reasoningTokens",
        "gen_ai.usage.details.reasoning_tokens",
        "gen_ai.usage.details.thoughts_tokens",
        "gen_ai.usage.completion_tokens_details.reasoning_tokens",
        "gen_ai.usage.completion_tokens_details.reasoning",
        "gen_ai.usage.experimental.reasoning_tokens",  # Google ADK 1.x
        "gen_ai.usage.output_reasoning_tokens",
        "llm.usage.reasoning_tokens",  # OpenLLMetry up to 0.49
    ),
}
OPENINFERENCE_COUNTS: Mapping[str, Names] = {
    "input_tokens": ("llm.token_count.prompt",),
    "output_tokens": ("llm.token_count.completion",),
    "total_tokens": ("llm.token_count.total",),
    "cache_read_input_tokens": (
        "llm.token_count.prompt_details.cache_read",
        "llm.token_count.prompt_details.cache_input",
    ),
    "cache_write_input_tokens": ("llm.token_count.prompt_details.cache_write",),
    "reasoning_output_tokens": ("llm.token_count.completion_details.reasoning",),
}
# Bare names: read only from spans of Claude Code (mlflow/tracing/otel/translation/claude_code.py).
CLAUDE_CODE_COUNTS: Mapping[str, Names] = {
    "input_tokens": ("input_tokens",),
    "output_tokens": ("output_tokens",),
    "total_tokens": ("total_tokens",),
    "cache_read_input_tokens": ("cache_read_tokens",),
    "cache_write_input_tokens": ("cache_creation_tokens",),
    "reasoning_output_tokens": (),
}
# The keys of `mlflow.chat.tokenUsage` (mlflow/tracing/constant.py, TokenUsageKey).
MLFLOW_COUNTS: Mapping[str, Names] = {
    "input_tokens": ("input_tokens",),
    "output_tokens": ("output_tokens",),
    "total_tokens": ("total_tokens",),
    "cache_read_input_tokens": ("cache_read_input_tokens",),
    "cache_write_input_tokens": ("cache_creation_input_tokens",),
    "reasoning_output_tokens": ("reasoning_output_tokens", "reasoning_tokens"),
}

# Cache writes by time to live; their sum is the cache write if the span states none.
CACHE_WRITE_5M: Names = (
    "anthropic.usage.cache_creation.ephemeral_5m_input_tokens",  # the anthropic SDK's own spans
    "gen_ai.usage.details.ephemeral_5m_input_tokens",
    "gen_ai.usage.cache_creation.ephemeral_5m_input_tokens",
    "gen_ai.usage.ephemeral_5m_input_tokens",
)
CACHE_WRITE_1H: Names = (
    "anthropic.usage.cache_creation.ephemeral_1h_input_tokens",
    "gen_ai.usage.details.ephemeral_1h_input_tokens",
    "gen_ai.usage.cache_creation.ephemeral_1h_input_tokens",
    "gen_ai.usage.ephemeral_1h_input_tokens",
    "cache_creation_input_tokens_above_1hr",  # MLflow
)
# Details that only the price depends on, by genai-prices' names.
DETAILS: Mapping[str, Names] = {
    "cache_write_1h_tokens": CACHE_WRITE_1H,
    "input_audio_tokens": (
        "gen_ai.usage.audio.input_tokens",  # opentelemetry-util-genai
        "gen_ai.usage.details.input_audio_tokens",
        "gen_ai.usage.details.audio_prompt_tokens",
        "gen_ai.usage.prompt_tokens_details.audio_tokens",
        "gen_ai.usage.prompt_tokens_details.audio",
        "gen_ai.usage.input_audio_tokens",
        "llm.token_count.prompt_details.audio",
    ),
    "cache_audio_read_tokens": (
        "gen_ai.usage.audio.cache_read.input_tokens",
        "gen_ai.usage.details.cache_audio_read_tokens",
        "gen_ai.usage.details.audio_cache_tokens",
        "gen_ai.usage.input_cached_audio_tokens",
    ),
    "output_audio_tokens": (
        "gen_ai.usage.audio.output_tokens",
        "gen_ai.usage.details.output_audio_tokens",
        "gen_ai.usage.details.audio_candidates_tokens",
        "gen_ai.usage.completion_tokens_details.audio_tokens",
        "gen_ai.usage.completion_tokens_details.audio",
        "gen_ai.usage.output_audio_tokens",
        "llm.token_count.completion_details.audio",
    ),
    "input_image_tokens": (
        "gen_ai.usage.image.input_tokens",
        "gen_ai.usage.details.image_prompt_tokens",
        "gen_ai.usage.details.input_image_tokens",
    ),
    "input_video_tokens": (
        "gen_ai.usage.video.input_tokens",
        "gen_ai.usage.details.video_prompt_tokens",
        "gen_ai.usage.details.input_video_tokens",
    ),
    "output_image_tokens": (
        "gen_ai.usage.image.output_tokens",
        "gen_ai.usage.details.image_candidates_tokens",
        "gen_ai.usage.details.output_image_tokens",
    ),
    "web_searches": (
        "gen_ai.usage.details.web_search_requests",
        "anthropic.usage.server_tool_use.web_search_requests",
    ),
}
SERVICE_TIER: Names = (
    "openai.response.service_tier",
    "gen_ai.openai.response.service_tier",
    "anthropic.response.service_tier",
    "gen_ai.response.service_tier",  # LangSmith
    "aws.bedrock.response.service_tier",
)
# LangChain names a part `flex_cache_read` and an input `flex` if the call was served in that tier
# (langchain-openai, _create_usage_metadata).
TIER_PREFIXES: Names = ("flex", "priority")

RESPONSE_MODEL: Names = (
    "gen_ai.response.model",
    "ai.response.model",
    "llm.response.model_name",
    "llm.response.model",  # OpenLLMetry before the gen_ai names
    "langfuse.observation.model.name",
)
REQUEST_MODEL: Names = (
    "gen_ai.request.model",
    "ai.model.id",
    "llm.request.model_name",
    "llm.request.model",
)
# Names that can be the requested model or the response model.
ANY_MODEL: Names = (
    "llm.model_name",
    "embedding.model_name",
    "mlflow.llm.model",
    "langsmith.metadata.ls_model_name",
    "traceloop.association.properties.ls_model_name",
    "litellm.provider.model",
)
# Texts with the parameters of the request, which name the model.
MODEL_PARAMETERS: Names = ("llm.invocation_parameters", "embedding.invocation_parameters", "mlflow.spanInputs")
PROVIDER: Names = (
    "gen_ai.provider.name",
    "gen_ai.system",
    "llm.provider",
    "ai.model.provider",
    "mlflow.llm.provider",
    "langsmith.metadata.ls_provider",
    "traceloop.association.properties.ls_provider",
    "llm.system",
    "llm.vendor",
)
SERVER: Names = ("server.address", "url.full", "http.url", "gen_ai.openai.api_base", "gen_ai.request.base_url")
RESPONSE_ID: Names = ("gen_ai.response.id", "ai.response.id", "llm.response.id")

# The time to the first content of a stream: attributes in seconds, in milliseconds, and the time itself.
FIRST_TOKEN_S: Names = (
    "gen_ai.response.time_to_first_chunk",
    "gen_ai.client.operation.time_to_first_chunk",
    "gen_ai.response.time_to_first_token",  # Sentry
    "gen_ai.server.time_to_first_token",  # OpenLIT
)
FIRST_TOKEN_MS: Names = (
    "ai.response.msToFirstChunk",
    "ai.stream.msToFirstChunk",
    "gen_ai.response.time_to_first_token_ms",
    "ttft_ms",  # Claude Code
)
FIRST_TOKEN_AT: Names = (
    "langfuse.observation.completion_start_time",
    "mastra.completion_start_time",
)

USER: Names = (
    "user.id",
    "langfuse.user.id",
    "enduser.id",
    "gen_ai.user.id",
    "gen_ai.request.user",  # OpenLIT
    "gen_ai.user",
    "llm.user",  # LiteLLM
    "mlflow.trace.user",
    "metadata.user_api_key_end_user_id",  # LiteLLM proxy
    "metadata.user_api_key_user_id",
    "ai.telemetry.metadata.posthog_distinct_id",
)
SESSION: Names = (
    "gen_ai.conversation.id",
    "session.id",
    "langfuse.session.id",
    "gen_ai.session.id",
    "mlflow.trace.session",
)
# The last word of an attribute that an application set itself, under any instrumentation's prefix for metadata:
# ai.telemetry.metadata.*, ai.settings.context.*, traceloop.association.properties.*, langsmith.metadata.*,
# mastra.metadata.*, langfuse.trace.metadata.*, the keys of OpenInference's `metadata`.
USER_KEYS = ("user_id", "userId", "userid", "end_user_id", "langfuse_user_id", "ls_user_id")
SESSION_KEYS = (
    "session_id",
    "sessionId",
    "conversation_id",
    "conversationId",
    "thread_id",
    "threadId",
    "langfuse_session_id",
)
METADATA_PREFIXES: Names = (
    "ai.telemetry.metadata.",
    "ai.settings.context.",
    "traceloop.association.properties.",
    "langsmith.metadata.",
    "mastra.metadata.",
    "langfuse.trace.metadata.",
    "langfuse.observation.metadata.",
    "gcp.vertex.agent.",
    "metadata.",
    "",
)
METADATA_TEXTS: Names = ("metadata", "langfuse.trace.metadata", "langfuse.observation.metadata", "mlflow.traceMetadata")

# Properties of the application. The keys below a prefix, the keys of an object, and lists of tags.
PROPERTY_PREFIXES: Names = (
    "langfuse.trace.metadata.",
    "traceloop.association.properties.",
    "ai.telemetry.metadata.",
    "ai.settings.context.",
    "langsmith.metadata.",
    "mastra.metadata.",
)
PROPERTY_OBJECTS: Names = (
    "metadata",
    "langfuse.trace.metadata",
    "mlflow.traceMetadata",
    "metadata.requester_metadata",  # LiteLLM
    "metadata.spend_logs_metadata",
)
PROPERTY_TAGS = frozenset({"tag.tags", "langfuse.trace.tags", "langsmith.span.tags", "request_tags"})
# Attributes that applications use for attribution, directly or as baggage that a processor copies to each span: with
# any of the separators . - _, with and without the prefix `baggage.`.
PROPERTY_NAMES = frozenset(
    {
        "account_id", "cost_center", "customer", "customer_id", "department", "feature", "organization",
        "organization_id", "plan", "project", "project_id", "prompt_id", "prompt_name", "prompt_version", "team",
        "team_id", "tenant", "tenant_id", "workspace", "workspace_id",
    }
)  # fmt: skip

ERROR_TYPE: Names = ("error.type", "exception.type")
ERROR_MESSAGE: Names = (
    "langfuse.observation.status_message",
    "error.message",
    "exception.message",
    "gen_ai.error.message",
)
FINISH_REASON: Names = ("ai.response.finishReason", "gen_ai.response.finish_reasons", "llm.finish_reason")
# Finish reasons of an interrupted stream: AI SDK 5 (unknown), 6 (other), 7 (interrupted).
INTERRUPTED_REASONS = frozenset(
    {"unknown", "other", "interrupted", "error", "abort", "aborted", "cancelled", "canceled", "failed"}
)
