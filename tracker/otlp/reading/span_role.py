"""Decides whether a span is one AI call: not an agent, a step, a tool or a workflow."""

from __future__ import annotations

from typing import Literal

from tracker.otlp.decode import Span
from tracker.otlp.reading.senders import CLAUDE_CODE_SPANS
from tracker.otlp.storing.span_tree import Kind

Role = Literal["call", "embedding", "other", "unknown"]

# Operation names of the semantic conventions, by the names that instrumentations write.
OPERATIONS = {
    "chat": "chat",
    "text_completion": "text_completion",
    "generate_content": "generate_content",
    "embeddings": "embeddings",
    "chat_completion": "chat",
    "chat.completion": "chat",
    "chat.completions": "chat",
    "chat_completions": "chat",
    "responses": "chat",
    "response": "chat",
    "message": "chat",
    "messages": "chat",
    "interactions.create": "generate_content",
    "completion": "text_completion",
    "completions": "text_completion",
    "embedding": "embeddings",
    "embed": "embeddings",
    "embed_content": "embeddings",
}
# These spans summarise the calls of their children. A span with any other name is a call if it states tokens.
_NOT_CALLS = frozenset(
    {
        "invoke_agent",
        "create_agent",
        "execute_tool",
        "invoke_workflow",
        "agent_step",
        "execute_task",
        "run_agent",
        "agent",
        "tool",
        "workflow",
        "handoff",
    }
)
# Counted like embeddings, by their input, if the span states tokens: many providers bill searches instead.
_RERANK = "rerank"
# Attributes with the kind of a span, and the values that are calls.
_KINDS: tuple[tuple[str, dict[str, Role]], ...] = (
    ("openinference.span.kind", {"llm": "call", "embedding": "embedding"}),
    ("langfuse.observation.type", {"generation": "call", "embedding": "embedding"}),
    ("mlflow.spanType", {"llm": "call", "chat_model": "call", "embedding": "embedding"}),
    ("langsmith.span.kind", {"llm": "call", "embedding": "embedding"}),
    ("mastra.span.type", {"model_inference": "call", "model_generation": "call", "embedding": "embedding"}),
    ("traceloop.span.kind", {"llm": "call", "embedding": "embedding"}),
    ("gen_ai.operation.type", {"ai_client": "call"}),  # Sentry
    ("span.type", dict.fromkeys(CLAUDE_CODE_SPANS, "call")),
)
# Spans of tools and agents by convention. Model calls below them are not the call above them.
_BOUNDARIES: tuple[tuple[str, frozenset[str]], ...] = (
    (
        "gen_ai.operation.name",
        frozenset({"execute_tool", "invoke_agent", "create_agent", "invoke_workflow", "run_agent", "handoff", "tool"}),
    ),
    ("openinference.span.kind", frozenset({"tool", "agent"})),
    ("langfuse.observation.type", frozenset({"tool", "agent"})),
    ("mlflow.spanType", frozenset({"tool", "agent"})),
    ("langsmith.span.kind", frozenset({"tool"})),
    ("mastra.span.type", frozenset({"tool_call", "mcp_tool_call", "agent_run", "workflow_run"})),
    ("traceloop.span.kind", frozenset({"tool", "agent"})),
    ("gen_ai.operation.type", frozenset({"tool", "agent"})),
    ("ai.operationId", frozenset({"ai.toolcall"})),
)
# Google ADK 1.x names no operation.
_ADK, _ADK_CALL = "gcp.vertex.agent", "call_llm"
# Attributes that only AI calls have.
_MODEL_NAMES = ("gen_ai.request.model", "gen_ai.response.model", "llm.request.type")


def role_of(span: Span) -> Role:
    """The role of the span by its kind or operation name; `unknown` if it has neither."""
    for name, roles in _KINDS:
        kind = span.attributes.get(name)
        if isinstance(kind, str) and kind.strip():
            role = roles.get(_plain(kind), "other")
            return role if name != "span.type" or role == "call" else _role_by_operation(span)
    return _role_by_operation(span)


def _role_by_operation(span: Span) -> Role:
    operation = span.attributes.get("gen_ai.operation.name")
    if isinstance(operation, str) and operation.strip():
        if _plain(operation) == _RERANK:
            return "embedding" if states_usage(span) else "other"
        return _role_of_operation(_plain(operation))
    name = str(span.attributes.get("ai.operationId") or span.name)
    if name.startswith("ai."):
        return "other" if ".do" not in name else "embedding" if "embed" in name.lower() else "call"
    kind = span.attributes.get("llm.request.type")
    if isinstance(kind, str):
        return _role_of_operation(_plain(kind))
    return "call" if span.scope_name == _ADK and span.name == _ADK_CALL else "unknown"


def _role_of_operation(operation: str) -> Role:
    if operation in _NOT_CALLS:
        return "other"
    standard = OPERATIONS.get(operation)
    return "unknown" if standard is None else "embedding" if standard == "embeddings" else "call"


def kind_of(span: Span) -> Kind:
    """The kind of the span in the span tree: a model call, a boundary (a tool or an agent), or neither."""
    for name, kinds in _BOUNDARIES:
        kind = span.attributes.get(name)
        if isinstance(kind, str) and _plain(kind) in kinds:
            return "boundary"
    return "call" if role_of(span) in {"call", "embedding"} else ""


def states_usage(span: Span) -> bool:
    """Whether the span states tokens by the names of the semantic conventions."""
    return any(
        name.startswith(("gen_ai.usage.", "llm.usage.")) and "token" in name and value not in (0, "0")
        for name, value in span.attributes.items()
    )


def is_like_a_call(span: Span) -> bool:
    """Whether a span without a known kind has the attributes of an AI call."""
    if states_usage(span):
        return True
    operation = span.attributes.get("gen_ai.operation.name")
    return not operation and any(name in span.attributes for name in _MODEL_NAMES)


def operation_of(span: Span, role: Role) -> str:
    """The operation's name by the semantic conventions, or the application's own name."""
    function = span.attributes.get("ai.telemetry.functionId")
    named = span.attributes.get("gen_ai.operation.name") or function
    if isinstance(named, str) and named.strip():
        return OPERATIONS.get(_plain(named), named.strip()[:400])
    kind = span.attributes.get("llm.request.type")
    if isinstance(kind, str) and _plain(kind) in OPERATIONS and span.scope_name != "litellm":
        return OPERATIONS[_plain(kind)]
    return "embeddings" if role == "embedding" or "embed" in span.name.lower() else "chat"


def _plain(kind: str) -> str:
    """A kind in lower case; MLflow writes it as a JSON string."""
    return kind.strip().strip('"').lower()
