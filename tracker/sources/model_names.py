"""Names of models and providers: what a resource name or another product's name is called here."""

from __future__ import annotations

import re
from functools import lru_cache

# Which words at the start of a model's name belong to which provider; other names have no provider.
PROVIDERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("google", ("gemini", "gemma", "models/gemini")),
    (
        "openai",
        ("gpt-", "o1", "o3", "o4", "chatgpt-", "ft:gpt-", "text-embedding-", "codex-", "computer-use-", "whisper-"),
    ),
    ("anthropic", ("claude-",)),
    ("deepseek", ("deepseek-",)),
    ("x-ai", ("grok-",)),
    ("mistral", ("mistral-", "ministral-", "codestral-", "magistral-", "pixtral-", "voxtral-")),
    ("perplexity", ("sonar",)),
    ("moonshotai", ("kimi-", "moonshot-")),
    ("voyageai", ("voyage-",)),
    ("cohere", ("command-", "embed-english", "embed-multilingual", "embed-v4", "rerank-")),
)
# Google's own embedding models, whose names begin like OpenAI's. Source: cloud.google.com/vertex-ai, text embeddings.
_GOOGLE_EMBEDDINGS = re.compile(r"text-(multilingual-)?embedding-(0\d\d|gecko|large-exp)")
# An id of Amazon Bedrock: an optional geography, the model's vendor, the model.
# Source: docs.aws.amazon.com/bedrock, supported models and inference profiles.
_BEDROCK_ID = re.compile(
    r"((us|us-gov|eu|apac|global|jp|au|ca|sa|me|af|il|in|kr|mx)\.)?"
    r"(ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshot|moonshotai|nvidia|openai|qwen"
    r"|stability|twelvelabs|writer|zai)\.[a-z]"
)
# Ollama's tags: a size or `latest`, a variant, a quantization. Source: ollama.com/library.
_OLLAMA_TAG = re.compile(r":(latest|(\d+x)?[\d.]+[bm])(-[a-z0-9_.-]+)?$")
_BEDROCK_KINDS = ("foundation-model", "inference-profile")
_LITELLM_ROUTES = re.compile(
    r"(bedrock/(converse/|invoke/|converse_like/)?([a-z]{2}(-[a-z]+)+-\d/)?|vertex_ai/|gemini/)"
)


# What others call a provider of ours.
ALIASES = {
    "gcp": "google",
    "gemini": "google",
    "google-gla": "google",
    "google-vertex": "google",
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
    "voyage": "voyageai",
}


def provider_named(name: str) -> str:
    """A provider as OpenTelemetry, LiteLLM, LangChain or the AI SDK names it → the table's name.

    gcp.gemini, google.generative-ai, openai.responses: the part before the point names the provider.
    """
    head = name.strip().lower().partition(".")[0]
    return ALIASES.get(head, head)


@lru_cache(256)
def provider_of(model: str) -> str | None:
    """The provider that a model's name or resource name belongs to; None if the name does not say."""
    name = model.lower()
    if _BEDROCK_ID.match(name) or (name.startswith("arn:") and (":bedrock:" in name or ":sagemaker:" in name)):
        return "aws"
    if name.startswith(("publishers/", "projects/")) or _GOOGLE_EMBEDDINGS.match(name):
        return "google"
    if name.startswith("accounts/fireworks/"):
        return "fireworks"
    if _OLLAMA_TAG.search(name) and not name.startswith("ft:"):
        return None
    return next((provider for provider, words in PROVIDERS if name.startswith(words)), None)


def is_local(model: str) -> bool:
    """Whether a model's name has a tag of Ollama, such as deepseek-r1:8b: it runs on one's own machine."""
    return _OLLAMA_TAG.search(model.lower()) is not None


def hosted_by(name: object) -> str | None:
    """The platform whose resource a name is: aws for an id or an ARN of Bedrock, google for a resource of Vertex AI."""
    if not isinstance(name, str):
        return None
    provider = provider_of(name)
    return provider if provider == "aws" or name.startswith(("publishers/", "projects/")) else None


@lru_cache(256)
def model_from_resource(name: str) -> str:
    """The model that a resource name contains; a name that is no resource is returned as it is.

    Google: `models/M`, `publishers/P/models/M`, `projects/…/models/M`. Bedrock: the ARN of a foundation model or of a
    system-defined inference profile gives its id, which keeps its geography (`us.anthropic.…`), since that determines
    the price. An application's inference profile, a provisioned model and an Azure deployment do not name a model.
    """
    name = _LITELLM_ROUTES.sub("", name, count=1) if _LITELLM_ROUTES.match(name) else name
    if name.startswith("arn:"):
        # arn:aws:bedrock:REGION:ACCOUNT:inference-profile/us.anthropic.claude-sonnet-4-20250514-v1:0
        kind, _, model = name.split(":", 5)[-1].partition("/")
        return model if kind in _BEDROCK_KINDS and model else name
    if "models/" in name and not name.startswith("accounts/"):
        return name.rpartition("models/")[2] or name
    return name
