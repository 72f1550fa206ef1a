"""A provider's answer, whole or in pieces, as an object or as JSON → what it used, who answered, and how it ended."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from tracker.sources.consistency import CountError, Reread, check_usage, numbers_only, to_count
from tracker.sources.shapes import (
    BATCHED,
    CHAT,
    CONTAINERS,
    COUNTS,
    MESSAGES,
    PLACES,
    SHAPES,
    Path,
    Rule,
    Shape,
    provider_of,
    rule,
)

_MAX_COST_USD = 10**6
_MAX_TEXT_CHARS = 1_000_000


class Answer(NamedTuple):
    """What a response states: counts by the table's names, input with cached and output with reasoning tokens.

    `details` are what determines the price besides the counts, by genai-prices' names. `failure` is the error that
    the response itself reports. `problem` is a code of `USAGE_PROBLEMS`; then `raw` are the stated numbers and
    `usage_source` names the reader. `note` says how a count was derived (`reasoning_from_total`).
    """

    counts: Mapping[str, int] = MappingProxyType({})
    provider: str | None = None
    model: str | None = None
    response_id: str | None = None
    cost: float | int | None = None
    details: Mapping[str, Any] = MappingProxyType({})
    failure: str | None = None
    problem: str | None = None
    raw: Mapping[str, Any] | None = None
    usage_source: str | None = None
    note: str | None = None


def read_usage_text(text: str, *, provider: str | None = None, model: str | None = None) -> Answer | None:
    """The usage in a text that is JSON or a Python literal of a response, a usage object or `providerMetadata`.

    None if the text is longer than 1,000,000 characters, cannot be parsed or contains no usage.
    """
    node = parse_text(text)
    answer = None if node is None else read_usage_object(node, provider=provider)
    return answer if answer is None or answer.model or not model else answer._replace(model=model)


def parse_text(text: str) -> Any:
    """The object that a JSON text or a Python literal describes; None for any other text."""
    if len(text) > _MAX_TEXT_CHARS or text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def read_usage_object(node: object, *, provider: str | None = None) -> Answer | None:
    """The usage in a response, a bare usage object or the AI SDK's `providerMetadata`; None if it contains none."""
    candidates = [node, {"usage": node}, {"usage_metadata": node}]
    if isinstance(node, Mapping):
        candidates += [inner for inner in node.values() if isinstance(inner, Mapping)]
    for candidate in candidates:
        answer = read(candidate)
        if answer.problem not in {"usage_missing", "response_unreadable"} and (answer.counts or answer.details):
            return answer if answer.provider or not provider else answer._replace(provider=provider)
    return None


def reread(shape_name: str, raw: Mapping[str, Any]) -> Reread | None:
    """What today's rules of a shape read from the stored numbers of a marked row."""
    shape = next((shape for shape in SHAPES if shape.name == shape_name), None)
    if shape is None:
        return None
    answer = read({shape.usage.partition("|")[0]: raw})
    return Reread(dict(answer.counts), dict(answer.details), answer.problem)


def read(response: object) -> Answer:
    """Read a whole answer, or a list of a stream's pieces. Never raises: what isn't understood is a `problem`."""
    reader = AnswerReader()
    if isinstance(response, list | tuple):
        for piece in response:
            reader.add(piece)
        return reader.answer(streamed=True)
    reader.add(response)
    return reader.answer()


class AnswerReader:
    """Puts an answer together from its pieces; a later piece's figures replace an earlier one's, as they are meant.

    Gemini repeats its counts with each piece, Anthropic sends them first and again with the last, OpenAI once.
    """

    __slots__ = ("_complete", "_failure", "_found", "_id", "_model", "_problem", "_raw", "_shape", "_tier")

    def __init__(self) -> None:
        self._complete = False
        self._shape: Shape | None = None
        self._found: dict[Path, Any] = {}
        self._model: str | None = None
        self._id: str | None = None
        self._tier: str | None = None
        self._failure: str | None = None
        self._problem: str | None = None
        self._raw: object = None

    def add(self, piece: object) -> None:
        """Take one piece, or the whole."""
        try:
            self._add(piece)
        except Exception:  # noqa: BLE001  a provider's object may raise anything when it is read
            self._problem = "response_unreadable"

    @property
    def complete(self) -> bool:
        """Whether a stream's last event has come, where the provider sends one."""
        return self._complete

    def _add(self, piece: object) -> None:
        fields = _fields(piece)
        if (get(piece, "type") if fields is None else fields.get("type")) in _LAST_EVENTS:
            self._complete = True
        # A stream has many pieces, most of which tell nothing new.
        if fields is not None and self._model is not None and not any(map(fields.get, _TELLING)):
            return
        for path in CONTAINERS:
            node = piece if not path else follow(piece, path)
            if node is None or isinstance(node, str | int | float):
                continue
            self._note_failure(node)
            found = self._note_usage(node)
            # An event or a batch line has an id of its own around the answer's.
            if found or self._model is None:
                self._note_names(node, over=found)
            if found:
                self._tier = "batch" if path in BATCHED else self._tier
                return

    def _note_names(self, node: object, *, over: bool) -> None:
        model = _text(node, "model_version") or _text(node, "model") or _langchain_model(node)
        if model and (over or self._model is None):
            self._model = model
        if (response_id := _text(node, "response_id") or _text(node, "id")) and (over or self._id is None):
            self._id = response_id
        if tier := _text(node, "service_tier"):
            self._tier = tier

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

    def _note_usage(self, node: object) -> bool:
        for place, shapes in PLACES:
            usage = get(node, place[0]) if len(place) == 1 else follow(node, place)
            if usage is None or isinstance(usage, str | int | float):
                continue
            shape = self._shape or next((shape for shape in shapes if _is(shape, usage)), None)
            if shape is None:
                continue
            self._shape = shape
            self._raw = usage
            self._tier = _text(usage, "service_tier") or self._tier
            self._find(usage, _rules(shape).tree)
            return True
        return False

    def _find(self, node: object, tree: _Tree) -> None:
        fields = _fields(node)
        for name, path, below in tree:
            value = follow(node, (name,)) if fields is None else fields.get(name)
            if value is None:
                continue
            if path is not None:
                self._found[path] = value
            if below:
                self._find(value, below)

    def answer(self, *, streamed: bool = False) -> Answer:
        """What is known by now."""
        shape = self._shape
        model = _plain_model(self._model)
        provider = (model and provider_of(model)) or (shape and shape.provider) or None
        if shape is None:
            problem = self._problem or (
                None if self._failure else "stream_usage_missing" if streamed else "usage_missing"
            )
            return Answer({}, provider, model, self._id, failure=self._failure, problem=problem)
        counts, problem = _normalise(shape, self._found)
        stated = counts.pop("total_tokens", None)
        checked = check_usage(counts, stated_total=stated, formula_total=self._formula_total(stated), raw=self._raw)
        problem = problem or checked.problem
        details = {name: value for name, choices in _rules(shape).details if (value := self._detail(choices))}
        if self._tier and self._tier not in {"standard", "default", "auto"}:
            details["service_tier"] = self._tier
        cost = self._found.get(("cost",))
        return Answer(
            counts=checked.counts,
            provider=provider,
            model=model,
            response_id=self._id,
            cost=_cost(cost),
            details=details,
            failure=self._failure,
            problem=problem or self._problem,
            raw=checked.raw if problem is None else numbers_only(self._raw),
            usage_source=f"response:{shape.name}" if problem else None,
        )

    def _formula_total(self, stated: int | None) -> int | None:
        citations = self._found.get(("citation_tokens",))
        return stated if citations is not None else None

    def _detail(self, choices: tuple[Path, ...]) -> Any:
        for path in choices:
            if path in self._found:
                value = self._found[path]
                return value if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None
        return None


# What to look for in a node: a name, the path that ends there (None: it only leads on), and what to look for below.
_Tree = tuple[tuple[str, Path | None, "_Tree"], ...]


@dataclass(frozen=True, slots=True)
class _Rules:
    """A shape's rules, made ready once: an answer is read in microseconds."""

    tree: _Tree
    counts: tuple[tuple[str, Rule], ...]
    details: tuple[tuple[str, tuple[Path, ...]], ...]
    marks: tuple[Path, ...]
    absent: tuple[Path, ...]


_ready: dict[str, _Rules] = {}


def _rules(shape: Shape) -> _Rules:
    return _ready.get(shape.name) or _ready.setdefault(shape.name, _make_ready(shape))


def _make_ready(shape: Shape) -> _Rules:
    texts = (*shape.counts.values(), *shape.details.values(), *_EXTRA.get(shape.name, ()))
    return _Rules(
        tree=_tree({path for text in texts for choice in rule(text) for path in choice}),
        counts=tuple((name, rule(shape.counts[name])) for name in COUNTS if name in shape.counts),
        details=tuple((name, rule(text)[0]) for name, text in shape.details.items()),
        marks=rule(shape.marks)[0],
        absent=rule(shape.absent)[0] if shape.absent else (),
    )


def _tree(paths: set[Path], above: Path = ()) -> _Tree:
    depth = len(above)
    names = sorted({path[depth] for path in paths if path[:depth] == above and len(path) > depth})
    steps = [(name, (*above, name)) for name in names]
    return tuple((name, path if path in paths else None, _tree(paths, path)) for name, path in steps)


_TELLING = ("error", *dict.fromkeys(path[0] for path in (*CONTAINERS, *(place for place, _ in PLACES)) if path))
_LAST_EVENTS = frozenset({"message_stop", "response.completed", "response.incomplete", "response.failed"})


def _cost(value: object) -> float | int | None:
    """What the provider says the call cost in USD: OpenRouter's number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value < _MAX_COST_USD else None


# What a shape's own arithmetic needs beyond its rules.
_EXTRA: Mapping[str, tuple[str, ...]] = {"chat": ("cost",), "messages": ("iterations",)}


def _is(shape: Shape, usage: object) -> bool:
    rules = _rules(shape)
    return _first(usage, rules.marks) is not None and _first(usage, rules.absent) is None


def _normalise(shape: Shape, found: Mapping[Path, Any]) -> tuple[dict[str, int], str | None]:
    """The table's counts from what was found, and the problem code of a count that is none."""
    given: dict[str, int] = {}
    problem = None
    for name, choices in _rules(shape).counts:
        try:
            count = _sum(choices, found)
        except CountError as error:
            problem = problem or error.code
            continue
        if count is not None:
            given[name] = count
    if problem is None and shape is MESSAGES:
        _add_compactions(given, found.get(("iterations",)))
    if problem is None and shape is CHAT:
        _add_what_output_leaves_out(given, found)
    return given, problem


def _sum(choices: Rule, found: Mapping[Path, Any]) -> int | None:
    total = None
    for choice in choices:
        for path in choice:
            if path in found:
                total = (total or 0) + to_count(found[path])
                break
    return total


def _add_compactions(counts: dict[str, int], iterations: object) -> None:
    """Anthropic: the tokens of a compaction are billed and not in the totals above."""
    for entry in iterations if isinstance(iterations, list | tuple) else ():
        if get(entry, "type") == "compaction":
            found = {path: value for path in _MESSAGE_PATHS if (value := follow(entry, path)) is not None}
            for name, text in MESSAGES.counts.items():
                if (more := _sum(rule(text), found)) is not None:
                    counts[name] = counts.get(name, 0) + more


_MESSAGE_PATHS = tuple(path for text in MESSAGES.counts.values() for choice in rule(text) for path in choice)


def _add_what_output_leaves_out(counts: dict[str, int], found: Mapping[Path, Any]) -> None:
    """xAI counts reasoning beside the output, as its total shows; Perplexity's deep research bills it so too."""
    reasoning = counts.get("reasoning_output_tokens", 0)
    output, total = counts.get("output_tokens", 0), counts.get("total_tokens", 0)
    citations = found.get(("citation_tokens",))
    if citations is not None:
        extra = to_count(citations) + reasoning
        counts["output_tokens"] = output + extra
    elif reasoning and (reasoning > output or total == counts.get("input_tokens", 0) + output + reasoning):
        counts["output_tokens"] = output + reasoning


def _plain_model(model: str | None) -> str | None:
    """Gemini names a model by its resource: models/gemini-2.5-flash, publishers/google/models/…"""
    if model and ("models/" in model):
        return model.rpartition("models/")[2] or model
    return model


def _first(node: object, choices: tuple[Path, ...]) -> Any:
    for path in choices:
        if (value := follow(node, path)) is not None:
            return value
    return None


def follow(node: object, path: Path) -> Any:
    """What lies at a path of names, in objects or decoded JSON; None where a step is missing."""
    for name in path:
        if node is None:
            return None
        node = _of_modality(node, name) if isinstance(node, list) else get(node, name)
    return node


def _of_modality(items: list[Any], name: str) -> Any:
    """Gemini lists its counts by modality: [{"modality": "AUDIO", "tokenCount": 150}, …]."""
    return next((get(item, "token_count") for item in items if get(item, "modality") == name), None)


def get(node: Any, name: str) -> Any:
    """A field of an object, or of decoded JSON under its snake_case or camelCase name."""
    kind = _kind(node.__class__)
    if kind == "mapping":
        return node[name] if name in node else node.get(_camel(name))
    if kind == "pydantic":
        # Such an object says slowly that it lacks something; what it doesn't declare lies in its extra fields.
        fields = node.__dict__
        if name in fields:
            return fields[name]
        extra = getattr(node, "__pydantic_extra__", None)
        return extra.get(name) if extra else None
    return getattr(node, name, None)


def _fields(node: Any) -> Mapping[str, Any] | None:
    """All that a pydantic object holds; None for anything else, which has to be asked by name."""
    if _kind(node.__class__) != "pydantic":
        return None
    extra = getattr(node, "__pydantic_extra__", None)
    return {**node.__dict__, **extra} if extra else node.__dict__


@lru_cache(256)
def _kind(kind: type) -> str:
    if issubclass(kind, Mapping):
        return "mapping"
    return "pydantic" if hasattr(kind, "model_fields") else "object"


def _langchain_model(node: object) -> str | None:
    metadata = get(node, "response_metadata")
    return None if metadata is None else _text(metadata, "model_name") or _text(metadata, "model")


def _text(node: object, name: str) -> str | None:
    value = get(node, name)
    return value if isinstance(value, str) and value.strip() else None


@cache
def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
