"""Puts a provider's response together from its chunks: what it used, who answered, and how it ended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tracker.sources import several_models, usage_parts
from tracker.sources.answer_sums import add_answers
from tracker.sources.consistency import check_usage, numbers_only
from tracker.sources.model_names import model_from_resource, provider_named, provider_of
from tracker.sources.node_access import Path, field_names, follow, get, is_number, pydantic_fields, text, word
from tracker.sources.other_shapes import CONVERSE, LANGCHAIN, OLLAMA, PYDANTIC_AI, VERTEX_EMBEDDINGS
from tracker.sources.provider_shapes import GEMINI, MESSAGES, MESSAGES_TOTAL, RESPONSES
from tracker.sources.response_answer import Answer
from tracker.sources.shapes import (
    BATCHED,
    CONTAINERS,
    PLACES,
    RARE_CONTAINERS,
    RARE_FIELDS,
    RARE_PLACES,
)
from tracker.sources.stated_cost import Cost, stated_cost
from tracker.sources.totals import Counted, count
from tracker.sources.usage_parts import Part
from tracker.sources.usage_rules import details_of, matching_shape, read_tree, rules_of, tier_to_record
from tracker.sources.usage_shape import Shape


class AnswerReader:
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
        "_found",
        "_id",
        "_is_message",
        "_model",
        "_problem",
        "_provider",
        "_raw",
        "_shape",
        "_tier",
        "_tools",
        "_turn_ended",
        "_wrapped",
    )

    def __init__(self, provider: str | None = None) -> None:
        self._complete = False
        self._earlier: Answer | None = None
        self._failure: str | None = None
        self._problem: str | None = None
        self._begin_response(provider)

    def _begin_response(self, provider: str | None) -> None:
        self._provider = provider
        self._turn_ended = False
        self._is_message = False
        self._shape: Shape | None = None
        self._found: dict[str, Any] = {}
        self._model: str | None = None
        self._id: str | None = None
        self._tier: str | None = None
        self._raw: list[object] = []
        self._tools: dict[str, Any] = {}
        self._by_model: dict[str, Any] | None = None
        self._wrapped: Answer | None = None

    def add(self, piece: object) -> None:
        """Take one chunk, or the whole response."""
        try:
            self._add(piece)
        except Exception:  # noqa: BLE001  a provider's object may raise anything when it is read
            self._problem = "response_unreadable"

    @property
    def complete(self) -> bool:
        """Whether a stream's last event has come, where the provider sends one."""
        return self._complete

    def _add(self, piece: object) -> None:
        fields = pydantic_fields(piece)
        if (get(piece, "type") if fields is None else fields.get("type")) in _LAST_EVENTS:
            self._complete = True
        # A stream has many chunks, most of which state nothing new.
        if (
            fields is not None
            and self._model is not None
            and not any(map(fields.get, _TELLING))
            and _RARE_IN_OBJECTS.isdisjoint(fields)
        ):
            return
        if any(self._read_container(piece, path, PLACES) for path in CONTAINERS):
            return
        names = field_names(piece) if fields is None else fields
        if names is None or not RARE_FIELDS.isdisjoint(names):
            self._read_rare(piece)

    def _read_container(self, piece: object, path: Path, places: Places) -> bool:
        node = piece if not path else follow(piece, path)
        if node is None or isinstance(node, str | int | float):
            return False
        self._note_failure(node)
        found = self._note_usage(node, places)
        # An event or a line of a batch has an id of its own around the response's.
        if found or self._model is None:
            self._note_names(node, over=found)
        if found:
            self._note_tier(piece, node, path)
        return found

    def _read_rare(self, piece: object) -> None:
        self._note_turn(piece)
        if (
            self._read_container(piece, (), RARE_PLACES)
            or any(self._read_container(piece, path, PLACES) for path in RARE_CONTAINERS)
            or self._note_embeddings(piece)
        ):
            return
        if self._shape is None and (usages := usage_parts.usages_by_model(get(piece, "model_usage"))):
            self._by_model = usages

    def _note_names(self, node: object, *, over: bool) -> None:
        fields = pydantic_fields(node)
        names = ("model_version", "model", "response_id", "id")
        version, model, response_id, own_id = (
            text(node, name) if fields is None else word(fields.get(name)) for name in names
        )
        model = version or model or _langchain_model(node)
        if model and (over or self._model is None):
            self._model = model
        if (stated_id := response_id or own_id) and (over or self._id is None):
            self._id = stated_id

    def _note_tier(self, piece: object, node: object, path: Path) -> None:
        """The tier that served the call, which a response states beside its usage."""
        if (tier := get(node, "service_tier")) is not None:
            self._tier = text(node, "service_tier") if isinstance(tier, str) else text(tier, "type")
        if path and (path in BATCHED or (path == ("response",) and _is_batch_line(piece))):
            self._tier = "batch"
        if self._shape is LANGCHAIN:
            self._note_response_metadata(node)
        elif self._shape is CONVERSE:
            self._note_converse(node)
        elif self._shape is GEMINI:
            self._note_turn(piece)
            self._note_grounding(node)
        elif self._shape is MESSAGES or self._shape is MESSAGES_TOTAL:
            self._note_messages(piece, node)
        elif self._shape is PYDANTIC_AI:
            self._note_pydantic_ai(node)
        elif self._shape is RESPONSES:
            self._tools |= _tool_calls(get(node, "output"))
            self._tier = "batch" if get(node, "object") == "batch" else self._tier

    def _note_pydantic_ai(self, node: object) -> None:
        if provider := text(node, "provider_name"):
            self._provider = provider_named(provider)
        self._model = text(node, "model_name") or self._model
        self._id = text(node, "provider_response_id") or self._id

    def _note_messages(self, piece: object, node: object) -> None:
        """Claude's Agent SDK states its usage by model too, which includes what its subagents used."""
        self._is_message = self._is_message or not _MESSAGE_TYPES.isdisjoint((text(piece, "type"), text(node, "type")))
        if (usages := usage_parts.usages_by_model(get(node, "model_usage"))) is not None:
            self._by_model = usages

    def _note_turn(self, piece: object) -> None:
        """Gemini's Live API has no response ids: a turn is a response. Source: ai.google.dev/api/live."""
        if get(get(piece, "server_content"), "turn_complete") is True:
            self._turn_ended = True

    def _note_grounding(self, node: object) -> None:
        """Google bills each query since Gemini 3, before each response with one. Source: ai.google.dev, pricing."""
        queries = 0
        for candidate in _items(node, "candidates"):
            stated = get(get(candidate, "grounding_metadata"), "web_search_queries")
            queries += len([query for query in stated if query]) if isinstance(stated, list) else 0
        if queries:
            by_response = _BILLED_BY_RESPONSE.search(text(node, "model_version") or self._model or "") is not None
            self._tools["web_searches"] = max(1 if by_response else queries, self._tools.get("web_searches", 0))

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
        inner = AnswerReader(self._provider)
        inner.add(metadata)
        inner._model = inner._model or _langchain_model(node)
        self._tier = inner._tier or text(metadata, "service_tier") or self._tier
        if inner._shape is not None:
            self._wrapped = inner.answer()

    def _note_failure(self, node: object) -> None:
        error = get(node, "error")
        if error is None or isinstance(error, str | int | float):
            return
        inner = get(error, "error")
        error = error if inner is None or isinstance(inner, str | int | float) else inner
        words = [get(error, name) for name in ("status", "type", "code")]
        said = [str(word) for word in words if isinstance(word, str | int) and not isinstance(word, bool) and word]
        if said:
            self._failure = " ".join(dict.fromkeys(said))[:200]

    def _note_usage(self, node: object, places: Places) -> bool:
        for place, shapes in places:
            usage = node if not place else get(node, place[0]) if len(place) == 1 else follow(node, place)
            if usage is None or isinstance(usage, str | int | float):
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
        return kind != "chat.completion.chunk" or bool(get(usage, "prompt_tokens") != self._found.get("prompt_tokens"))

    def _close_response(self) -> None:
        """Add this response to the earlier ones, and begin the next."""
        model = self._model
        self._earlier = self.answer()
        self._begin_response(self._provider)
        self._model = model

    def add_usage(self, shape: Shape, usage: object) -> None:
        """Take a usage object of a known shape."""
        self._shape = shape
        self._turn_ended = False
        self._raw = [*self._raw[:1], usage]
        read_tree(usage, rules_of(shape).tree, self._found, additive=shape is LANGCHAIN)

    def _note_embeddings(self, piece: object) -> bool:
        """Vertex AI states the tokens of each embedding. Source: cloud.google.com/vertex-ai, text embeddings API."""
        statistics = [follow(item, ("statistics",)) for item in _items(piece, "embeddings")]
        statistics += [follow(item, ("embeddings", "statistics")) for item in _items(piece, "predictions")]
        stated = [item for item in statistics if item is not None]
        if not stated:
            return False
        self._shape = VERTEX_EMBEDDINGS
        values = [get(item, "token_count") for item in statistics]
        self._found = {"token_count": _sum_of_embeddings(values)}
        self._raw = [{"token_count": [value for value in values if is_number(value)]}]
        return True

    def answer(self, *, streamed: bool = False) -> Answer:
        """What is known so far. Never raises."""
        answer = self._answer_of_one(streamed)
        return answer if self._earlier is None else add_answers((self._earlier, answer))

    def _answer_of_one(self, streamed: bool) -> Answer:
        model = None if self._model is None else model_from_resource(self._model)
        provider = self._provider_of_answer(model)
        if self._by_model is not None:
            return self._of_several_models(self._by_model, model)
        if self._shape is None:
            missing = "stream_usage_missing" if streamed else "usage_missing"
            problem = self._problem or (None if self._failure else missing)
            return Answer({}, provider, model, self._id, failure=self._failure, problem=problem)
        if self._wrapped is not None and "parts" in self._wrapped.details:
            return self._wrapped._replace(model=model, response_id=self._id, provider=provider)
        counted = count(self._shape, rules_of(self._shape).counts, self._found, provider)
        counted, parts = self._with_iterations(counted, model, provider)
        return self._checked(counted, parts, model, provider)

    def _checked(self, counted: Counted, parts: list[Part], model: str | None, provider: str | None) -> Answer:
        shape = self._shape
        assert shape is not None  # noqa: S101  answer() asks before
        checked = check_usage(
            counted.counts, stated_total=counted.stated, formula_total=counted.formula, raw=self._raw[-1]
        )
        details, detail_problem = details_of(shape, self._found, checked.counts)
        problem = counted.problem or checked.problem or detail_problem
        details |= usage_parts.numbers_of(parts)
        if counted.note == "audio_from_total" and problem is None:
            details["input_audio_tokens"] = checked.counts["input_tokens"] - self._found.get("prompt_tokens", 0)
        return Answer(
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

    def _of_several_models(self, usages: Mapping[str, Any], model: str | None) -> Answer:
        found = several_models.read_by_model(usages, model)
        return Answer(
            counts=found.checked.counts,
            provider=None if found.model is None else provider_of(found.model),
            model=found.model,
            response_id=self._id,
            details=found.details | tier_to_record(text(self._found, "service_tier")),
            failure=self._failure,
            problem=found.checked.problem,
            raw=found.checked.raw,
            usage_source="response:by_model" if found.checked.problem else None,
        )

    def _all_details(self, details: dict[str, Any], parts: list[Part], model: str | None) -> dict[str, Any]:
        everything = {**(self._wrapped.details if self._wrapped else {}), **details}
        for name, value in self._tools.items():
            everything.setdefault(name, value)
        everything |= {"parts": usage_parts.as_metadata(parts, model)} if len(parts) > 1 else {}
        tier = self._tier if self._tier == "batch" else everything.get("service_tier") or self._tier
        tier = tier or (_langchain_tier(self._found) if self._shape is LANGCHAIN else None)
        everything.pop("service_tier", None)
        return everything | tier_to_record(tier)

    def _cost(self, model: str | None, provider: str | None) -> Cost | None:
        cost = stated_cost(self._found, model, provider)
        return self._wrapped.cost if cost is None and self._wrapped is not None else cost

    def _raw_numbers(self) -> dict[str, Any]:
        raw: dict[str, Any] = {}
        for usage in self._raw:
            raw |= numbers_only(usage)
        return numbers_only(raw)

    def _provider_of_answer(self, model: str | None) -> str | None:
        for prefix, hosted in _HOSTED_IDS:
            if self._id is not None and self._id.startswith(prefix):
                return hosted
        if self._shape is PYDANTIC_AI and self._provider is not None:
            return self._provider  # the platform that served the model
        named = provider_of(self._model) if self._model else None
        if named or (model and (named := provider_of(model))):
            return named
        if self._provider is not None or self._shape is None:
            return self._provider
        if self._shape is MESSAGES and not self._is_anthropics(model):
            return None
        return self._shape.provider

    def _is_anthropics(self, model: str | None) -> bool:
        """Whether a usage object with Anthropic's names is Anthropic's: others use these names too."""
        if (self._id or "").startswith("msg_"):
            return True
        return model is None and (self._is_message or not _OWN_FIELDS.isdisjoint(self._found))

    def _with_iterations(self, counted: Counted, model: str | None, provider: str | None) -> tuple[Counted, list[Part]]:
        """Anthropic's compactions, advisors and fallbacks, which the usage's own counts leave out."""
        listed = self._found.get("iterations")
        if listed is None or counted.problem is not None:
            return counted, []
        entries, replaced = usage_parts.beside_the_totals(list(usage_parts.iterations(listed)))
        if not entries:
            return counted, []
        base, _ = details_of(MESSAGES, self._found, None)
        numbers = {name: value for name, value in base.items() if is_number(value)}
        parts = [] if replaced else [Part(None, counted.counts, numbers)]
        problem = None
        for entry in entries:
            part, part_problem = several_models.read_part(MESSAGES, entry.usage, entry.model, provider)
            parts.append(part)
            problem = problem or part_problem
        parts = usage_parts.combine(parts, model)
        counts: dict[str, Any] = {}
        for part in parts:
            counts = usage_parts.add(counts, part.counts)
        return Counted(counts, None, None, problem), parts


Places = tuple[tuple[Path, tuple[Shape, ...]], ...]

_TELLING = (
    "error",
    *dict.fromkeys(path[0] for path in (*CONTAINERS, *(place for place, _ in PLACES)) if path),
)
_RARE_IN_OBJECTS = RARE_FIELDS - {"delta", "metadata"}  # Cohere's and Bedrock's events are no pydantic objects
# Claude's ids say which platform served the message. Source: anthropic-sdk-python, AnthropicBedrock, AnthropicVertex.
_HOSTED_IDS = (("msg_bdrk_", "aws"), ("msg_vrtx_", "google"))
_BILLED_BY_RESPONSE = re.compile(r"gemini-[12]\.")
_MESSAGE_TYPES = frozenset({"message", "message_start", "message_delta"})
# The fields that only Anthropic's usage has. Source: anthropic-sdk-python, types/usage.py.
_OWN_FIELDS = frozenset(
    {
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cache_creation.ephemeral_1h_input_tokens",
        "cache_creation.ephemeral_5m_input_tokens",
        "server_tool_use.web_search_requests",
        "iterations",
        "inference_geo",
    }
)
_LAST_EVENTS = frozenset({"message_stop", "response.completed", "response.incomplete", "response.failed"})
# What OpenAI's servers did on behalf of the model, which costs extra. Source: developers.openai.com, pricing, tools.
_TOOL_CALLS = {
    "web_search_call": "web_searches",
    "file_search_call": "storage_searches",
    "code_interpreter_call": "code_executions",
    "image_generation_call": "image_generations",
}


def _tool_calls(output: object) -> dict[str, int]:
    calls: dict[str, int] = {}
    for item in output if isinstance(output, list) else ():
        kind = text(item, "type") or ""
        # Opening a page or finding in it is no search, and costs nothing.
        if kind == "web_search_call" and (text(get(item, "action"), "type") or "search") != "search":
            continue
        if (name := _TOOL_CALLS.get(kind)) is not None:
            calls[name] = calls.get(name, 0) + 1
    return calls


def _is_batch_line(piece: object) -> bool:
    """A line of a Gemini batch's output has the request's key, or the request, beside the response."""
    return get(piece, "key") is not None or get(piece, "request") is not None


def _items(node: object, name: str) -> list[Any]:
    items = get(node, name)
    return items[:10_000] if isinstance(items, list) else []


def _sum_of_embeddings(values: list[Any]) -> Any:
    if values and all(is_number(value) for value in values):
        return sum(values)
    return -1 if values else None  # one embedding without a count: the sum is unknown, which is no valid count


def _langchain_tier(found: Mapping[str, Any]) -> str | None:
    """The tier that langchain-openai puts before the names of a call's parts."""
    return next(
        (tier for tier in ("flex", "priority") for key in found if key.rpartition(".")[2].startswith(tier)), None
    )


def _langchain_model(node: object) -> str | None:
    metadata = get(node, "response_metadata")
    return None if metadata is None else text(metadata, "model_name") or text(metadata, "model")
