"""Reads a provider's response from its chunks: usage, model, provider, and error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.providers import multi_model_usage, usage_parts
from tracker.providers.anthropic_iterations import with_iterations
from tracker.providers.consistency import check_usage, numbers_only
from tracker.providers.model_names import model_from_resource, provider_named, provider_of
from tracker.providers.node_access import (
    SCALARS,
    Path,
    field_names,
    follow,
    get,
    is_number,
    pydantic_fields,
    text,
    word,
)
from tracker.providers.parsed_response import ParsedResponse
from tracker.providers.response_fields import (
    ANTHROPIC_FIELDS,
    HOSTED_IDS,
    LAST_EVENTS,
    MESSAGE_TYPES,
    embedding_counts,
    failure_of,
    grounding_searches,
    is_batch_line,
    langchain_model,
    langchain_tier,
    sum_of_embeddings,
    tool_calls,
    usage_at,
)
from tracker.providers.response_sums import sum_responses
from tracker.providers.schemas.other_schemas import CONVERSE, LANGCHAIN, OLLAMA, PYDANTIC_AI, VERTEX_EMBEDDINGS
from tracker.providers.schemas.provider_schemas import GEMINI, MESSAGES, MESSAGES_TOTAL, RESPONSES
from tracker.providers.schemas.schema_rules import details_of, matching_schema, read_tree, rules_for, tier_to_record
from tracker.providers.schemas.schema_table import (
    BATCHED,
    CONTAINERS,
    RARE_CONTAINERS,
    RARE_FIELDS,
    RARE_USAGE_PATHS,
    USAGE_PATHS,
    UsagePaths,
)
from tracker.providers.schemas.usage_schema import UsageSchema
from tracker.providers.stated_cost import Cost, stated_cost
from tracker.providers.stream_chunks import states_nothing_new
from tracker.providers.total_formulas import NormalizedCounts, normalize_counts
from tracker.providers.usage_parts import ModelUsage


class ResponseReader:
    """Reads a response from its chunks. The counts of a later chunk replace those of an earlier one.

    Gemini repeats its counts in each chunk, Anthropic sends them in the first and the last one, OpenAI once. Only
    LangChain's chunks are added up. Usage with another response id, or of another turn, is another response; the
    result is then the sum of all responses.
    """

    __slots__ = (
        "_by_model",
        "_complete",
        "_earlier",
        "_failure",
        "_id",
        "_is_message",
        "_model",
        "_problem",
        "_provider",
        "_raw",
        "_raw_values",
        "_schema",
        "_tier",
        "_tools",
        "_turn_ended",
        "_wrapped",
    )

    def __init__(self, provider: str | None = None) -> None:
        self._complete = False
        self._earlier: ParsedResponse | None = None
        self._failure: str | None = None
        self._problem: str | None = None
        self._begin_response(provider)

    def _begin_response(self, provider: str | None) -> None:
        self._provider = provider
        self._turn_ended = False
        self._is_message = False
        self._schema: UsageSchema | None = None
        self._raw_values: dict[str, Any] = {}
        self._model: str | None = None
        self._id: str | None = None
        self._tier: str | None = None
        self._raw: list[object] = []
        self._tools: dict[str, Any] = {}
        self._by_model: dict[str, Any] | None = None
        self._wrapped: ParsedResponse | None = None

    def add(self, chunk: object) -> None:
        """Read one chunk, or a whole response. Never raises."""
        try:
            # A stream has many chunks, most of which state nothing new.
            if self._model is None or not states_nothing_new(chunk):
                self._add(chunk)
        except Exception:  # noqa: BLE001  a provider's object may raise any error when it is read
            self._problem = "response_unreadable"

    @property
    def is_complete(self) -> bool:
        """Whether the stream's final event was read, if the provider sends one."""
        return self._complete

    def _add(self, chunk: object) -> None:
        fields = pydantic_fields(chunk)
        if (get(chunk, "type") if fields is None else fields.get("type")) in LAST_EVENTS:
            self._complete = True
        if self._read_container(chunk, (), USAGE_PATHS) or any(
            self._read_container(chunk, path, USAGE_PATHS) for path in CONTAINERS[1:]
        ):
            return
        names = field_names(chunk) if fields is None else fields
        if names is None or not RARE_FIELDS.isdisjoint(names):
            self._read_rare(chunk)

    def _read_container(self, chunk: object, path: Path, usage_paths: UsagePaths) -> bool:
        node = chunk if not path else follow(chunk, path)
        if node is None or isinstance(node, SCALARS):
            return False
        fields = pydantic_fields(node)
        if fields is None or fields.get("error") is not None:
            self._failure = failure_of(node) or self._failure
        has_usage = self._read_usage(node, fields, usage_paths)
        # Events and batch lines have their own id, which is not the response's.
        if has_usage or self._model is None:
            self._read_names(node, fields, replace=has_usage)
        if has_usage:
            self._read_tier(chunk, node, path)
        return has_usage

    def _read_rare(self, chunk: object) -> None:
        self._read_turn(chunk)
        if (
            self._read_container(chunk, (), RARE_USAGE_PATHS)
            or any(self._read_container(chunk, path, USAGE_PATHS) for path in RARE_CONTAINERS)
            or self._read_embeddings(chunk)
        ):
            return
        if self._schema is None and (usages := usage_parts.usages_by_model(get(chunk, "model_usage"))):
            self._by_model = usages

    def _read_names(self, node: object, fields: Mapping[str, Any] | None, *, replace: bool) -> None:
        if fields is None:
            model = text(node, "model_version") or text(node, "model")
            response_id, own_id = text(node, "response_id"), text(node, "id")
        else:
            stated = fields.get
            model = word(stated("model_version")) or word(stated("model"))
            response_id, own_id = word(stated("response_id")), word(stated("id"))
        model = model or langchain_model(node)
        if model and (replace or self._model is None):
            self._model = model
        if (stated_id := response_id or own_id) and (replace or self._id is None):
            self._id = stated_id

    def _read_tier(self, chunk: object, node: object, path: Path) -> None:
        """Read the tier that served the call, which a response states next to its usage."""
        if (tier := get(node, "service_tier")) is not None:
            self._tier = word(tier) if isinstance(tier, str) else text(tier, "type")
        if path and (path in BATCHED or (path == ("response",) and is_batch_line(chunk))):
            self._tier = "batch"
        if self._schema is LANGCHAIN:
            self._read_response_metadata(node)
        elif self._schema is CONVERSE:
            self._read_converse(node)
        elif self._schema is GEMINI:
            self._read_turn(chunk)
            self._read_grounding(node)
        elif self._schema is MESSAGES or self._schema is MESSAGES_TOTAL:
            self._read_messages(chunk, node)
        elif self._schema is PYDANTIC_AI:
            self._read_pydantic_ai(node)
        elif self._schema is RESPONSES:
            self._tools |= tool_calls(get(node, "output"))
            self._tier = "batch" if get(node, "object") == "batch" else self._tier

    def _read_pydantic_ai(self, node: object) -> None:
        if provider := text(node, "provider_name"):
            self._provider = provider_named(provider)
        self._model = text(node, "model_name") or self._model
        self._id = text(node, "provider_response_id") or self._id

    def _read_messages(self, chunk: object, node: object) -> None:
        """Claude's Agent SDK also states its usage by model, which includes its subagents."""
        self._is_message = self._is_message or not MESSAGE_TYPES.isdisjoint((text(chunk, "type"), text(node, "type")))
        if (usages := usage_parts.usages_by_model(get(node, "model_usage"))) is not None:
            self._by_model = usages

    def _read_turn(self, chunk: object) -> None:
        """Gemini's Live API has no response ids: a turn is a response. Source: ai.google.dev/api/live."""
        if get(get(chunk, "server_content"), "turn_complete") is True:
            self._turn_ended = True

    def _read_grounding(self, node: object) -> None:
        if searches := grounding_searches(node, self._model):
            self._tools["web_searches"] = max(searches, self._tools.get("web_searches", 0))

    def _read_converse(self, node: object) -> None:
        """Bedrock's Converse names no model; latency-optimized inference has its own price."""
        if get(node, "metrics") is not None:
            self._provider = self._provider or "aws"
        latency = text(get(node, "performance_config"), "latency")
        if latency and latency != "standard":
            self._tools["speed"] = latency

    def _read_response_metadata(self, node: object) -> None:
        """LangChain passes the provider's own usage on, which states the cost and the tier."""
        metadata = get(node, "response_metadata")
        if metadata is None:
            return
        inner = ResponseReader(self._provider)
        inner.add(metadata)
        inner._model = inner._model or langchain_model(node)
        self._tier = inner._tier or text(metadata, "service_tier") or self._tier
        if inner._schema is not None:
            self._wrapped = inner.result()

    def _read_usage(self, node: object, fields: Mapping[str, Any] | None, usage_paths: UsagePaths) -> bool:
        for path, schemas in usage_paths:
            usage = usage_at(node, fields, path)
            if usage is None or isinstance(usage, SCALARS):
                continue
            schema = self._schema
            if schema is None:
                schema = matching_schema(schemas, usage, node)
            elif (
                self._is_another_response(node, usage) and (other := matching_schema(schemas, usage, node)) is not None
            ):
                schema = other
                self._close_response()
            elif not any(schema is candidate for candidate in schemas):
                continue
            if schema is not None:
                self.add_usage(schema, usage)
                return True
            if usages := usage_parts.usages_by_model(usage):
                self._by_model = usages
        return False

    def _is_another_response(self, node: object, usage: object) -> bool:
        """Whether this usage belongs to another response than the usage before it."""
        if self._schema is LANGCHAIN:
            return False  # its counts are added up anyway
        if self._turn_ended or self._schema is OLLAMA:
            return True
        kind = get(node, "object")
        # Responses of embeddings and of Bedrock's Converse have no id, and no stream repeats their usage.
        if kind == "list" or (self._schema is CONVERSE and get(node, "metrics") is not None):
            return True
        response_id = text(node, "response_id") or text(node, "id")
        if response_id is None or self._id is None or response_id == self._id:
            return False
        # Some servers give each chunk of a stream another id, and repeat the usage in each.
        earlier = self._raw_values.get("prompt_tokens")
        return kind != "chat.completion.chunk" or bool(get(usage, "prompt_tokens") != earlier)

    def _close_response(self) -> None:
        """Add this response to the earlier ones, and begin the next."""
        model = self._model
        self._earlier = self.result()
        self._begin_response(self._provider)
        self._model = model

    def add_usage(self, schema: UsageSchema, usage: object) -> None:
        """Read a usage object of a known schema."""
        self._schema = schema
        self._turn_ended = False
        self._raw = [*self._raw[:1], usage]
        read_tree(usage, rules_for(schema).tree, self._raw_values, additive=schema is LANGCHAIN)

    def _read_embeddings(self, chunk: object) -> bool:
        if not (values := embedding_counts(chunk)):
            return False
        self._schema = VERTEX_EMBEDDINGS
        self._raw_values = {"token_count": sum_of_embeddings(values)}
        self._raw = [{"token_count": [value for value in values if is_number(value)]}]
        return True

    def result(self, *, streamed: bool = False) -> ParsedResponse:
        """The result of the chunks that were read. Never raises."""
        parsed = self._result_of_one_response(streamed)
        return parsed if self._earlier is None else sum_responses((self._earlier, parsed))

    def _result_of_one_response(self, streamed: bool) -> ParsedResponse:
        model = None if self._model is None else model_from_resource(self._model)
        provider = self._provider_of_response(model)
        if self._by_model is not None:
            return self._of_several_models(self._by_model, model)
        if self._schema is None:
            missing = None if self._failure else "stream_usage_missing" if streamed else "usage_missing"
            return ParsedResponse(
                {}, provider, model, self._id, failure=self._failure, problem=self._problem or missing
            )
        if self._wrapped is not None and "parts" in self._wrapped.details:
            return self._wrapped._replace(model=model, response_id=self._id, provider=provider)
        counted = normalize_counts(self._schema, rules_for(self._schema).counts, self._raw_values, provider)
        counted, parts = with_iterations(counted, self._raw_values, model, provider)
        return self._checked(counted, parts, model, provider)

    def _checked(
        self, counted: NormalizedCounts, parts: list[ModelUsage], model: str | None, provider: str | None
    ) -> ParsedResponse:
        schema = self._schema
        assert schema is not None  # noqa: S101  result() checks this
        checked = check_usage(
            counted.counts, stated_total=counted.stated, formula_total=counted.formula, raw=self._raw[-1]
        )
        details, detail_problem = details_of(schema, self._raw_values, checked.counts)
        problem = counted.problem or checked.problem or detail_problem
        if parts:
            details |= usage_parts.numbers_of(parts)
        if counted.note == "audio_from_total" and problem is None:
            details["input_audio_tokens"] = checked.counts["input_tokens"] - self._raw_values.get("prompt_tokens", 0)
        return ParsedResponse(
            counts=checked.counts,
            provider=provider,
            model=model,
            response_id=self._id,
            cost=self._cost(model, provider),
            details=self._all_details(details, parts, model),
            failure=self._failure,
            problem=problem or self._problem,
            raw=self._raw_numbers() if problem else None,
            usage_source=f"response:{schema.name}" if problem else None,
            note=counted.note if problem is None else None,
        )

    def _of_several_models(self, usages: Mapping[str, Any], model: str | None) -> ParsedResponse:
        usage = multi_model_usage.read_by_model(usages, model)
        return ParsedResponse(
            counts=usage.checked.counts,
            provider=None if usage.model is None else provider_of(usage.model),
            model=usage.model,
            response_id=self._id,
            details=usage.details | tier_to_record(text(self._raw_values, "service_tier")),
            failure=self._failure,
            problem=usage.checked.problem,
            raw=usage.checked.raw,
            usage_source="response:by_model" if usage.checked.problem else None,
        )

    def _all_details(self, details: dict[str, Any], parts: list[ModelUsage], model: str | None) -> dict[str, Any]:
        if not details and not parts and not self._tools and self._wrapped is None and self._schema is not LANGCHAIN:
            return tier_to_record(self._tier)
        all_details = {**(self._wrapped.details if self._wrapped else {}), **details}
        for name, value in self._tools.items():
            all_details.setdefault(name, value)
        all_details |= {"parts": usage_parts.as_metadata(parts, model)} if len(parts) > 1 else {}
        tier = self._tier if self._tier == "batch" else all_details.get("service_tier") or self._tier
        tier = tier or (langchain_tier(self._raw_values) if self._schema is LANGCHAIN else None)
        all_details.pop("service_tier", None)
        return all_details | tier_to_record(tier)

    def _cost(self, model: str | None, provider: str | None) -> Cost | None:
        cost = stated_cost(self._raw_values, model, provider)
        return self._wrapped.cost if cost is None and self._wrapped is not None else cost

    def _raw_numbers(self) -> dict[str, Any]:
        raw: dict[str, Any] = {}
        for usage in self._raw:
            raw |= numbers_only(usage)
        return numbers_only(raw)

    def _provider_of_response(self, model: str | None) -> str | None:
        for prefix, hosted in HOSTED_IDS:
            if self._id is not None and self._id.startswith(prefix):
                return hosted
        if self._schema is PYDANTIC_AI and self._provider is not None:
            return self._provider  # the platform that served the model
        provider = provider_of(self._model) if self._model else None
        if provider or (model and (provider := provider_of(model))):
            return provider
        if self._provider is not None or self._schema is None:
            return self._provider
        return None if self._schema is MESSAGES and not self._is_from_anthropic(model) else self._schema.provider

    def _is_from_anthropic(self, model: str | None) -> bool:
        """Whether a usage object with Anthropic's field names is from Anthropic; others use these names too."""
        if (self._id or "").startswith("msg_"):
            return True
        return model is None and (self._is_message or not ANTHROPIC_FIELDS.isdisjoint(self._raw_values))
