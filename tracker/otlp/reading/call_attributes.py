"""Reads the provider, model, user and session of a call from its span."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tracker.otlp.decode import Attributes, Span
from tracker.otlp.reading import genai_attributes as names
from tracker.otlp.reading.embedded_usage import parse_usage_text
from tracker.providers.model_names import model_from_resource, provider_named, provider_of, provider_of_host

_MAX_CHARS = 400
# Frameworks that instrumentations name as the provider.
_FRAMEWORKS = frozenset(
    {
        "_other", "agent_framework", "agent-framework", "agno", "autogen", "crewai", "custom", "dspy", "framework",
        "gateway", "gcp.vertex.agent", "haystack", "instructor", "langchain", "langgraph", "litellm", "livekit",
        "litellm_proxy",
        "llama_index", "llamaindex", "mastra", "mcp", "microsoft.agent_framework", "openai-agents", "openai_agents",
        "openai_compatible", "openai-compatible", "other", "pipecat", "pydantic-ai", "pydantic_ai", "semantic_kernel",
        "semantic-kernel", "smolagents", "spring_ai", "spring-ai", "strands", "strands-agents", "traceloop", "unknown",
        "vercel", "vercel_ai_gateway",
    }
)  # fmt: skip
# The frameworks that call other providers' models in OpenAI's format.
_GATEWAYS = frozenset(
    {
        "custom", "gateway", "litellm", "litellm_proxy", "openai_compatible", "openai-compatible", "other", "vercel",
        "vercel_ai_gateway",
    }
)  # fmt: skip
# OpenLIT copies the counts of the client library; only these libraries use a provider's own format.
_OPENLIT = re.compile(r"openlit\.instrumentation\.(\w+)")
_OPENLIT_NATIVE = {"anthropic": "anthropic", "bedrock": "aws", "google_ai_studio": "google", "vertexai": "google"}
# The attribute of Claude Code's spans. It is checked last, since its name is so common.
_BARE_MODEL = ("model",)
# The texts that applications write for a missing id.
_NO_ID = frozenset({"", "undefined", "null", "none", "nil", "nan", "[object object]"})
# A model as LiteLLM and the AI Gateway name it: openai/gpt-5-mini.
_MODEL_VENDORS = frozenset(
    {"anthropic", "aws", "azure", "cohere", "deepseek", "google", "groq", "mistral", "openai", "perplexity", "x-ai"}
)
# Providers whose own model names begin with a vendor.
_NAMED_BY_VENDOR = frozenset({"openrouter", "together", "fireworks", "novita", "huggingface", "deepinfra", "groq"})
_BEDROCK_REGIONS = re.compile(r"^(?:us|eu|apac|jp|au|ca|sa|us-gov|global)\.")
_BEDROCK_VENDORS = {"anthropic": "anthropic", "amazon": "aws", "meta": "aws", "mistral": "aws", "cohere": "aws"}


def first_text(attributes: Attributes, choices: Sequence[str]) -> str | None:
    """The first of these attributes that has a text; MLflow's JSON strings without their quotes."""
    for name in choices:
        value = attributes.get(name)
        if isinstance(value, str) and (text := value.strip().strip('"').strip()):
            return text[:_MAX_CHARS]
    return None


def read_models(attributes: Attributes, embedded_model: str | None) -> tuple[str | None, str | None]:
    """The response model and the requested one; `embedded_model` is the model of an embedded response."""
    requested = first_text(attributes, names.REQUEST_MODEL)
    model = first_text(attributes, names.RESPONSE_MODEL) or embedded_model or first_text(attributes, names.ANY_MODEL)
    model = model or requested or _model_of_parameters(attributes) or first_text(attributes, _BARE_MODEL)
    return model and model_from_resource(model), requested and model_from_resource(requested)


def _model_of_parameters(attributes: Attributes) -> str | None:
    for name in names.MODEL_PARAMETERS:
        parameters = parse_usage_text(attributes.get(name))
        for key in ("model", "model_name", "modelId", "model_id") if isinstance(parameters, Mapping) else ():
            value = parameters.get(key)
            if isinstance(value, str) and value.strip():
                return value.strip()[:_MAX_CHARS]
    return None


def read_provider(attributes: Attributes, model: str | None) -> str | None:
    """The provider by the host, the span's own name for it, or the model; never a framework's name."""
    if host := provider_of_host(first_text(attributes, names.SERVER) or ""):
        return host
    for name in names.PROVIDER:
        value = first_text(attributes, (name,))
        if value and value.lower() not in _FRAMEWORKS and (provider := provider_named(value)) not in _FRAMEWORKS:
            return provider
    return provider_of_model(model)


def provider_of_model(model: str | None) -> str | None:
    """The provider that a model's name belongs to, also under a vendor's prefix; None if it is ambiguous."""
    if not model:
        return None
    vendor, slash, rest = model.rpartition("/")
    if slash and (named := _vendor(vendor)):
        return named
    plain = _BEDROCK_REGIONS.sub("", rest)
    if plain.partition(".")[0] in _BEDROCK_VENDORS and "." in plain and not plain.startswith("mistral-"):
        return "aws"
    return provider_of(rest)


def plain_model(model: str, provider: str | None) -> str:
    """The model without the vendor's prefix that LiteLLM and gateways put before it."""
    vendor, slash, rest = model.partition("/")
    if not slash or not rest:
        return model
    if provider and provider_named(vendor) == provider:
        return rest
    keeps_vendor = provider in _NAMED_BY_VENDOR or "/" in rest
    return model if keeps_vendor or not _vendor(vendor) else rest


def _vendor(prefix: str) -> str | None:
    name = provider_named(prefix.rpartition("/")[2])
    return name if name in _MODEL_VENDORS else None


def family_of(span: Span, provider: str | None, model: str | None) -> str:
    """The provider family, by whose rules tokens are counted: `anthropic`, `aws`, `google`, `openai` or another name.

    The API decides, not the model: a gateway with OpenAI's format counts Claude's and Gemini's tokens inclusively. The
    model decides only if the span names no API.
    """
    if (match := _OPENLIT.match(span.scope_name)) is not None:
        return _OPENLIT_NATIVE.get(match[1], "gateway")
    stated = next((text.lower() for name in names.PROVIDER if (text := first_text(span.attributes, (name,)))), "")
    head = stated.partition(".")[0]
    if stated and (stated in _GATEWAYS or head in _GATEWAYS or head not in _FRAMEWORKS):
        return _family_of_api(stated, model)
    return _family_of_model(provider, model)


def _family_of_api(stated: str, model: str | None) -> str:
    if "anthropic" in re.split(r"[._/-]", stated):
        return "anthropic"
    named = provider_named(stated)
    # Vertex AI passes Anthropic's own format on.
    return "anthropic" if named == "google" and "claude" in (model or "").lower() else named


def _family_of_model(provider: str | None, model: str | None) -> str:
    name = (model or "").lower()
    if provider == "aws":
        return "aws"
    if "claude" in name:
        return "anthropic"
    if "gemini" in name:
        return "google"
    return provider or provider_of_model(model) or ""


def read_user(attributes: Attributes) -> str | None:
    """The user by the conventions, or by metadata that the application set."""
    return _first_id(attributes, names.USER) or _from_metadata(attributes, names.USER_KEYS)


def read_session(attributes: Attributes) -> str | None:
    """The conversation by the conventions, or by metadata that the application set."""
    return _first_id(attributes, names.SESSION) or _from_metadata(attributes, names.SESSION_KEYS)


def _first_id(attributes: Attributes, choices: Sequence[str]) -> str | None:
    return next((text for name in choices if (text := _id_text(attributes.get(name)))), None)


def _from_metadata(attributes: Attributes, keys: Sequence[str]) -> str | None:
    for prefix in names.METADATA_PREFIXES:
        for key in keys:
            if text := _id_text(attributes.get(prefix + key)):
                return text
    for metadata in _metadata_objects(attributes):
        for key in keys:
            if text := _id_text(metadata.get(key)):
                return text
    return None


def _metadata_objects(attributes: Attributes) -> Iterator[Mapping[Any, Any]]:
    for name in names.METADATA_TEXTS:
        if isinstance(node := parse_usage_text(attributes.get(name)), Mapping):
            yield node


def _id_text(value: object) -> str | None:
    """An id as text; an application may set a number, or the word for a missing value of its language."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value).strip().strip('"').strip()[:_MAX_CHARS]
    return None if text.lower() in _NO_ID else text
