"""Puts a provider's response together from its chunks: what it used, who answered, and how it ended."""

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
    failure_of,
    grounding_searches,
    is_batch_line,
    items_of,
    langchain_model,
    langchain_tier,
    sum_of_embeddings,
    tool_calls,
    usage_at,
)
from tracker.providers.response_sums import sum_responses
from tracker.providers.schemas.other_schemas import CONVERSE, LANGCHAIN, OLLAMA, PYDANTIC_AI, VERTEX_EMBEDDINGS
from tracker.providers.schemas.provider_schemas import GEMINI, MESSAGES, MESSAGES_TOTAL, RESPONSES
from tracker.providers.schemas.schema_rules import details_of, matching_shape, read_tree, rules_of, tier_to_record
from tracker.providers.schemas.schema_table import (
    BATCHED,
    CONTAINERS,
    PLACES,
    RARE_CONTAINERS,
    RARE_FIELDS,
    RARE_PLACES,
    Places,
)
from tracker.providers.schemas.usage_schema import Shape
from tracker.providers.stated_cost import Cost, stated_cost
from tracker.providers.stream_chunks import states_nothing_new
from tracker.providers.total_formulas import Counted, count
from tracker.providers.usage_parts import Part


class ResponseReader:
    """Puts a response together from its chunks; a later chunk's counts replace an earlier one's, as they are meant.

    Gemini repeats its counts with each chunk, Anthropic sends them first and again with the last, OpenAI once; only
    LangChain's chunks are to be added up. Usage with another response id, or of another turn, is another response:
    the answer is then the sum of all responses.
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
        "_shape",
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
        self._shape: Shape | None = None
        self._raw_values: dict[str, Any] = {}
        self._model: str | None = None
        self._id: str | None = None
        self._tier: str | None = None
        self._raw: list[object] = []
        self._tools: dict[str, Any] = {}
        self._by_model: dict[str, Any] | None = None
        self._wrapped: ParsedResponse | None = None

    def add(self, chunk: object) -> None:
        """Take one chunk, or the whole response."""
        try:
            # A stream has many chunks, most of which state nothing new.
            if self._model is None or not states_nothing_new(chunk):
                self._add(chunk)
        except Exception:  # noqa: BLE001  a provider's object may raise anything when it is read
            self._problem = "response_unreadable"

    @property
    def is_complete(self) -> bool:
        """Whether a stream's last event has come, where the provider sends one."""
        return self._complete

    def _add(self, chunk: object) -> None:
        fields = pydantic_fields(chunk)
        if (get(chunk, "type") if fields is None else fields.get("type")) in LAST_EVENTS:
            self._complete = True
        if self._read_container(chunk, (), PLACES) or any(
            self._read_container(chunk, path, PLACES) for path in CONTAINERS[1:]
        ):
            return
        names = field_names(chunk) if fields is None else fields
        if names is None or not RARE_FIELDS.isdisjoint(names):
            self._read_rare(chunk)

    def _read_container(self, chunk: object, path: Path, places: Places) -> bool:
        node = chunk if not path else follow(chunk, path)
        if node is None or isinstance(node, SCALARS):
            return False
        fields = pydantic_fields(node)
        if fields is None or fields.get("error") is not None:
            self._failure = failure_of(node) or self._failure
        has_usage = self._note_usage(node, fields, places)
        # An event or a line of a batch has an id of its own around the response's.
        if has_usage or self._model is None:
            self._note_names(node, fields, over=has_usage)
        if has_usage:
            self._note_tier(chunk, node, path)
        return has_usage

    def _read_rare(self, chunk: object) -> None:
        self._note_turn(chunk)
        if (
            self._read_container(chunk, (), RARE_PLACES)
            or any(self._read_container(chunk, path, PLACES) for path in RARE_CONTAINERS)
            or self._note_embeddings(chunk)
        ):
            return
        if self._shape is None and (usages := usage_parts.usages_by_model(get(chunk, "model_usage"))):
            self._by_model = usages

    def _note_names(self, node: object, fields: Mapping[str, Any] | None, *, over: bool) -> None:
        if fields is None:
            model = text(node, "model_version") or text(node, "model")
            response_id, own_id = text(node, "response_id"), text(node, "id")
        else:
            stated = fields.get
            model = word(stated("model_version")) or word(stated("model"))
            response_id, own_id = word(stated("response_id")), word(stated("id"))
        model = model or langchain_model(node)
        if model and (over or self._model is None):
            self._model = model
        if (stated_id := response_id or own_id) and (over or self._id is None):
            self._id = stated_id

    def _note_tier(self, chunk: object, node: object, path: Path) -> None:
        """The tier that served the call, which a response states beside its usage."""
        if (tier := get(node, "service_tier")) is not None:
            self._tier = word(tier) if isinstance(tier, str) else text(tier, "type")
        if path and (path in BATCHED or (path == ("response",) and is_batch_line(chunk))):
            self._tier = "batch"
        if self._shape is LANGCHAIN:
            self._note_response_metadata(node)
        elif self._shape is CONVERSE:
            self._note_converse(node)
        elif self._shape is GEMINI:
            self._note_turn(chunk)
            self._note_grounding(node)
        elif self._shape is MESSAGES or self._shape is MESSAGES_TOTAL:
            self._note_messages(chunk, node)
        elif self._shape is PYDANTIC_AI:
            self._note_pydantic_ai(node)
        elif self._shape is RESPONSES:
            self._tools |= tool_calls(get(node, "output"))
            self._tier = "batch" if get(node, "object") == "batch" else self._tier

    def _note_pydantic_ai(self, node: object) -> None:
        if provider := text(node, "provider_name"):
            self._provider = provider_named(provider)
        self._model = text(node, "model_name") or self._model
        self._id = text(node, "provider_response_id") or self._id

    def _note_messages(self, chunk: object, node: object) -> None:
        """Claude's Agent SDK states its usage by model too, which includes what its subagents used."""
        self._is_message = self._is_message or not MESSAGE_TYPES.isdisjoint((text(chunk, "type"), text(node, "type")))
        if (usages := usage_parts.usages_by_model(get(node, "model_usage"))) is not None:
            self._by_model = usages

    def _note_turn(self, chunk: object) -> None:
        """Gemini's Live API has no response ids: a turn is a response. Source: ai.google.dev/api/live."""
        if get(get(chunk, "server_content"), "turn_complete") is True:
            self._turn_ended = True

    def _note_grounding(self, node: object) -> None:
        if searches := grounding_searches(node, self._model):
            self._tools["web_searches"] = max(searches, self._tools.get("web_searches", 0))

    def _note_converse(self, node: object) -> None:
        """Bedrock's Converse names no model; latency-optimized inference has its own price."""
        if get(node, "metrics") is not None:
            self._provider = self._provider or "aws"
        word = text(get(node, "performance_config"), "latency")
        if word and word != "standard":
            self._tools["speed"] = word

    def _note_response_metadata(self, node: object) -> None:
        """LangChain passes the provider's own usage on, which states the cost and the tier."""
        metadata = get(node, "response_metadata")
        if metadata is None:
            return
        inner = ResponseReader(self._provider)
        inner.add(metadata)
        inner._model = inner._model or langchain_model(node)
        self._tier = inner._tier or text(metadata, "service_tier") or self._tier
        if inner._shape is not None:
            self._wrapped = inner.result()

    def _note_usage(self, node: object, fields: Mapping[str, Any] | None, places: Places) -> bool:
        for place, shapes in places:
            usage = usage_at(node, fields, place)
            if usage is None or isinstance(usage, SCALARS):
                continue
            shape = self._shape
            if shape is None:
                shape = matching_shape(shapes, usage, node)
            elif self._is_another_response(node, usage) and (other := matching_shape(shapes, usage, node)) is not None:
                shape = other
                self._close_response()
            elif not any(shape is known for known in shapes):
                continue
            if shape is not None:
                self.add_usage(shape, usage)
                return True
            if usages := usage_parts.usages_by_model(usage):
                self._by_model = usages
        return False

    def _is_another_response(self, node: object, usage: object) -> bool:
        """Whether this usage belongs to another response than the usage before it."""
        if self._shape is LANGCHAIN:
            return False  # its counts are added up anyway
        if self._turn_ended or self._shape is OLLAMA:
            return True
        kind = get(node, "object")
        # Responses of embeddings and of Bedrock's Converse have no id, and no stream repeats their usage.
        if kind == "list" or (self._shape is CONVERSE and get(node, "metrics") is not None):
            return True
        response_id = text(node, "response_id") or text(node, "id")
        if response_id is None or self._id is None or response_id == self._id:
            return False
        # Some servers give each chunk of a stream another id, and repeat the usage with each.
        known = self._raw_values.get("prompt_tokens")
        return kind != "chat.completion.chunk" or bool(get(usage, "prompt_tokens") != known)

    def _close_response(self) -> None:
        """Add this response to the earlier ones, and begin the next."""
        model = self._model
        self._earlier = self.result()
        self._begin_response(self._provider)
        self._model = model

    def add_usage(self, shape: Shape, usage: object) -> None:
        """Take a usage object of a known shape."""
        self._shape = shape
        self._turn_ended = False
        self._raw = [*self._raw[:1], usage]
        read_tree(usage, rules_of(shape).tree, self._raw_values, additive=shape is LANGCHAIN)

    def _note_embeddings(self, chunk: object) -> bool:
        """Vertex AI states the tokens of each embedding. Source: cloud.google.com/vertex-ai, text embeddings API."""
        statistics = [follow(item, ("statistics",)) for item in items_of(chunk, "embeddings")]
        statistics += [follow(item, ("embeddings", "statistics")) for item in items_of(chunk, "predictions")]
        stated = [item for item in statistics if item is not None]
        if not stated:
            return False
        self._shape = VERTEX_EMBEDDINGS
        values = [get(item, "token_count") for item in statistics]
        self._raw_values = {"token_count": sum_of_embeddings(values)}
        self._raw = [{"token_count": [value for value in values if is_number(value)]}]
        return True

    def result(self, *, streamed: bool = False) -> ParsedResponse:
        """What is known so far. Never raises."""
        answer = self._result_of_one_response(streamed)
        return answer if self._earlier is None else sum_responses((self._earlier, answer))

    def _result_of_one_response(self, streamed: bool) -> ParsedResponse:
        model = None if self._model is None else model_from_resource(self._model)
        provider = self._provider_of_answer(model)
        if self._by_model is not None:
            return self._of_several_models(self._by_model, model)
        if self._shape is None:
            missing = "stream_usage_missing" if streamed else "usage_missing"
            problem = self._problem or (None if self._failure else missing)
            return ParsedResponse({}, provider, model, self._id, failure=self._failure, problem=problem)
        if self._wrapped is not None and "parts" in self._wrapped.details:
            return self._wrapped._replace(model=model, response_id=self._id, provider=provider)
        counted = count(self._shape, rules_of(self._shape).counts, self._raw_values, provider)
        counted, parts = with_iterations(counted, self._raw_values, model, provider)
        return self._checked(counted, parts, model, provider)

    def _checked(self, counted: Counted, parts: list[Part], model: str | None, provider: str | None) -> ParsedResponse:
        shape = self._shape
        assert shape is not None  # noqa: S101  result() checks this
        checked = check_usage(
            counted.counts, stated_total=counted.stated, formula_total=counted.formula, raw=self._raw[-1]
        )
        details, detail_problem = details_of(shape, self._raw_values, checked.counts)
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
            usage_source=f"response:{shape.name}" if problem else None,
            note=counted.note if problem is None else None,
        )

    def _of_several_models(self, usages: Mapping[str, Any], model: str | None) -> ParsedResponse:
        reading = multi_model_usage.read_by_model(usages, model)
        return ParsedResponse(
            counts=reading.checked.counts,
            provider=None if reading.model is None else provider_of(reading.model),
            model=reading.model,
            response_id=self._id,
            details=reading.details | tier_to_record(text(self._raw_values, "service_tier")),
            failure=self._failure,
            problem=reading.checked.problem,
            raw=reading.checked.raw,
            usage_source="response:by_model" if reading.checked.problem else None,
        )

    def _all_details(self, details: dict[str, Any], parts: list[Part], model: str | None) -> dict[str, Any]:
        if not details and not parts and not self._tools and self._wrapped is None and self._shape is not LANGCHAIN:
            return tier_to_record(self._tier)
        everything = {**(self._wrapped.details if self._wrapped else {}), **details}
        for name, value in self._tools.items():
            everything.setdefault(name, value)
        everything |= {"parts": usage_parts.as_metadata(parts, model)} if len(parts) > 1 else {}
        tier = self._tier if self._tier == "batch" else everything.get("service_tier") or self._tier
        tier = tier or (langchain_tier(self._raw_values) if self._shape is LANGCHAIN else None)
        everything.pop("service_tier", None)
        return everything | tier_to_record(tier)

    def _cost(self, model: str | None, provider: str | None) -> Cost | None:
        cost = stated_cost(self._raw_values, model, provider)
        return self._wrapped.cost if cost is None and self._wrapped is not None else cost

    def _raw_numbers(self) -> dict[str, Any]:
        raw: dict[str, Any] = {}
        for usage in self._raw:
            raw |= numbers_only(usage)
        return numbers_only(raw)

    def _provider_of_answer(self, model: str | None) -> str | None:
        for prefix, hosted in HOSTED_IDS:
            if self._id is not None and self._id.startswith(prefix):
                return hosted
        if self._shape is PYDANTIC_AI and self._provider is not None:
            return self._provider  # the platform that served the model
        named = provider_of(self._model) if self._model else None
        if named or (model and (named := provider_of(model))):
            return named
        if self._provider is not None or self._shape is None:
            return self._provider
        return None if self._shape is MESSAGES and not self._is_anthropics(model) else self._shape.provider

    def _is_anthropics(self, model: str | None) -> bool:
        """Whether a usage object with Anthropic's names is Anthropic's: others use these names too."""
        if (self._id or "").startswith("msg_"):
            return True
        return model is None and (self._is_message or not ANTHROPIC_FIELDS.isdisjoint(self._raw_values))
