"""Normalizes names of models and providers: resource names, and the names that other products use."""

from __future__ import annotations

import re
from functools import lru_cache

# The prefixes of model names, by provider. Other names have no provider.
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
_BEDROCK_PREFIX = re.compile(
    r"((us|us-gov|eu|apac|global|jp|au|ca|sa|me|af|il|in|kr|mx)\.)?"
    r"(ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshot|moonshotai|nvidia|openai|qwen"
    r"|stability|twelvelabs|writer|zai)\.(?=[a-z])"
)
# Ollama's tags: a size or `latest`, a variant, a quantization. Source: ollama.com/library.
_OLLAMA_TAG = re.compile(r":(latest|(\d+x)?[\d.]+[bm])(-[a-z0-9_.-]+)?$")
_BEDROCK_KINDS = ("foundation-model", "inference-profile")
_LITELLM_ROUTES = re.compile(
    r"(bedrock/(converse/|invoke/|converse_like/)?([a-z]{2}(-[a-z]+)+-\d/)?|vertex_ai/|gemini/)"
)


# Other products' names of a provider, with _ for every separator. Sources: LiteLLM's LlmProviders, LangChain's
# ls_provider, the AI SDK's provider names, OpenTelemetry's gen_ai.provider.name.
_OTHER_NAMES = {
    "ai21": "ai21_chat",
    "anthropic": "anthropic_text anthropic_claude",
    "aws": "amazon amazon_bedrock amazon_nova aws_bedrock aws_polly aws_textract awsbedrock bedrock bedrock_converse"
    " bedrock_mantle sagemaker sagemaker_chat sagemaker_nova",
    "azure": "az azure_ai azure_ai_foundry azure_ai_inference azure_ai_openai azure_foundry azure_openai azure_speech"
    " azure_text azureopenai",
    "cohere": "cohere_chat cohere_v2",
    "databricks": "databricks_agent",
    "fireworks": "fireworks_ai fireworksai",
    "github-copilot": "github_copilot",
    "google": "gcp gcp_gemini gcp_vertex_ai gemini generativelanguage google_ai google_ai_studio"
    " google_anthropic_vertex google_genai google_generative_ai google_gla google_vertex google_vertex_ai"
    " google_vertexai googlegenai googlevertexai vertex vertex_ai vertex_ai_beta vertexai",
    "huggingface": "hugging_face huggingface_hub",
    "inception": "text_completion_inception",
    "meta": "meta_llama",
    "mistral": "codestral mistral_ai mistralai text_completion_codestral",
    "moonshotai": "moonshot moonshot_ai",
    "nvidia": "nvidia_nim",
    "ollama": "ollama_chat",
    "openai": "aiohttp_openai chatgpt openai_codex openai_responses text_completion_openai",
    "perplexity": "perplexity_ai perplexityai",
    "together": "together_ai togetherai",
    "vllm": "hosted_vllm",
    "voyageai": "voyage voyage_ai",
    "watsonx": "ibm ibm_watsonx watsonx_text",
    "x-ai": "x_ai xai",
    "zai": "z_ai",
    "zhipuai": "bigmodel zhipu zhipu_ai",
}
ALIASES = {other: name for name, others in _OTHER_NAMES.items() for other in others.split()}
_SEPARATORS = re.compile(r"[-_ /]+")

# The provider of an API host. An OpenAI client states the provider `openai` for any host.
_HOSTS: tuple[tuple[str, str], ...] = (
    ("openrouter.ai", "openrouter"),
    ("api.groq.com", "groq"),
    ("api.deepseek.com", "deepseek"),
    ("api.x.ai", "x-ai"),
    ("api.mistral.ai", "mistral"),
    ("api.together.xyz", "together"),
    ("api.together.ai", "together"),
    ("api.fireworks.ai", "fireworks"),
    ("api.perplexity.ai", "perplexity"),
    ("api.moonshot.ai", "moonshotai"),
    ("api.moonshot.cn", "moonshotai"),
    ("api.cerebras.ai", "cerebras"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    ("api.voyageai.com", "voyageai"),
    ("openai.azure.com", "azure"),
    ("services.ai.azure.com", "azure"),
    ("cognitiveservices.azure.com", "azure"),
    ("generativelanguage.googleapis.com", "google"),
    ("aiplatform.googleapis.com", "google"),
    ("api.anthropic.com", "anthropic"),
    ("api.openai.com", "openai"),
)
_BEDROCK_HOST = re.compile(r"\bbedrock(-runtime)?[.-][a-z0-9.-]*amazonaws\.com")
# A date, a number of a release, or a revision of Bedrock at the end of a model's name.
_VERSION = re.compile(
    r"(?:(?:-preview)?[-:](?:\d{4}-\d\d-\d\d|\d\d-\d\d|\d\d-\d{4}|\d{8}|\d{6}|\d{4}|\d{3}|latest)|[-:]v\d+)$", re.ASCII
)
_REVISION = re.compile(r"-v\d+:\d+$", re.ASCII)


def provider_of_host(server: str) -> str | None:
    """The provider whose API has this host or URL; None if the address is unknown."""
    address = server.strip().lower()
    host = (address.partition("://")[2] or address).partition("/")[0].partition(":")[0]
    if _BEDROCK_HOST.search(host):
        return "aws"
    return next((name for end, name in _HOSTS if host == end or host.endswith(("." + end, "-" + end))), None)


def provider_named(name: str) -> str:
    """A provider as OpenTelemetry, LiteLLM, LangChain or the AI SDK names it → the table's name.

    gcp.gemini, google.generative-ai, openai.responses: the part before the point names the provider.
    """
    head = name.strip().lower().partition(".")[0]
    return ALIASES.get(_SEPARATORS.sub("_", head), head)


@lru_cache(256)
def provider_of(model: str) -> str | None:
    """The provider that a model's name or resource name belongs to; None if the name is ambiguous."""
    name = model.lower()
    if _BEDROCK_PREFIX.match(name) or (name.startswith("arn:") and (":bedrock:" in name or ":sagemaker:" in name)):
        return "aws"
    if name.startswith(("publishers/", "projects/")) or _GOOGLE_EMBEDDINGS.match(name):
        return "google"
    if name.startswith("accounts/fireworks/"):
        return "fireworks"
    if _OLLAMA_TAG.search(name) and not name.startswith("ft:"):
        return None
    return next((provider for provider, words in PROVIDERS if name.startswith(words)), None)


def is_local(model: str) -> bool:
    """Whether a model's name has an Ollama tag, such as deepseek-r1:8b: the model runs locally."""
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


@lru_cache(1024)
def plain_model_name(name: str) -> str:
    """The model in lower case, without the path of a resource or catalogue, Bedrock's vendor, and its revision.

    Vertex AI's `claude-sonnet-4@20250514` is `claude-sonnet-4-20250514`.
    """
    last = name.strip().lower().rpartition("/")[2]
    return _REVISION.sub("", _BEDROCK_PREFIX.sub("", last, count=1)).replace("@", "-") or name


def model_base(name: str) -> str:
    """The name without its date and version: all names that can mean the same model have the same base."""
    return _versions(name)[-1]


def same_model_name(one: str, other: str) -> bool:
    """Whether two names are one model: equal, or one is the dated or versioned form of the other."""
    return plain_model_name(one) in _versions(other) or plain_model_name(other) in _versions(one)


@lru_cache(1024)
def _versions(name: str) -> tuple[str, ...]:
    """The plain name, and the names that remain when one version after the other is removed from its end."""
    names = [plain_model_name(name)]
    while (shorter := _VERSION.sub("", names[-1])) and shorter != names[-1]:
        names.append(shorter)
    return tuple(names)
