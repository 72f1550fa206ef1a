"""The shapes' rules, compiled once: which shape a usage object has, its values by path, and its details."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tracker.providers.consistency import CountError, to_count
from tracker.providers.node_access import SCALARS, Path, camel_case, follow, get, is_number, pydantic_fields
from tracker.providers.schemas.other_schemas import EMBEDDING_OBJECT, EMBEDDING_TOTAL
from tracker.providers.schemas.usage_schema import COUNTS, Shape, rule
from tracker.providers.total_formulas import Terms


class Step(NamedTuple):
    """What to look for in a node: a name, the key of its path (None: it only leads on), and what to look for below.

    A key is the path's names joined by dots.
    """

    name: str
    key: str | None
    below: Tree


Tree = dict[str, Step]
"""Steps by the snake_case and the camelCase name."""

_WORDS_NOT_RECORDED = {
    "service_tier": frozenset({"standard", "default", "auto", "unspecified"}),
    "speed": frozenset({"standard"}),
    "inference_geo": frozenset({"not_available", "global"}),
}
_GOOGLE_LIST_PRICE = frozenset({"ON_DEMAND", "TRAFFIC_TYPE_UNSPECIFIED"})
_MAX_WORD_CHARS = 60
_MAX_FIELDS = 1000
_CACHED_MODALITIES = {
    f"input_{modality}_tokens": f"cache_{modality}_read_tokens" for modality in ("audio", "image", "video")
}
# Which count contains a detail.
_CONTAINED = {
    "input_": "input_tokens",
    "cache_write_": "cache_write_input_tokens",
    "cache_": "cache_read_input_tokens",
    "output_": "output_tokens",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """A shape's rules, compiled once: a response is read in microseconds."""

    tree: Tree
    counts: Terms
    details: Mapping[str, tuple[tuple[str, ...], ...]]
    names_of_details: Mapping[str, tuple[str, ...]]
    texts: tuple[tuple[str, tuple[str, ...]], ...]
    keys_of_texts: frozenset[str]
    marks: tuple[Path, ...]
    first_names: frozenset[str]
    absent: tuple[Path, ...]


_compiled: dict[str, Rules] = {}


def rules_of(shape: Shape) -> Rules:
    """The compiled rules of a shape."""
    known = _compiled.get(shape.name)
    return known if known is not None else _compiled.setdefault(shape.name, _compile(shape))


def _compile(shape: Shape) -> Rules:
    counts = {name: shape.counts[name] for name in COUNTS if name in shape.counts}
    if hour := shape.details.get("cache_write_1h_tokens"):
        counts |= {"writes_1h": hour, "writes_5m": shape.writes_5m}
    everything = (*counts.values(), *shape.details.values(), *shape.texts.values(), shape.extra)
    details = {name: _keys(text) for name, text in shape.details.items()}
    names: dict[str, list[str]] = {}
    for name, terms in details.items():
        for key in (key for choices in terms for key in choices):
            names.setdefault(key, []).append(name)
    return Rules(
        tree=_tree({path for text in everything for choice in rule(text) for path in choice}),
        counts=tuple((name, _keys(text)) for name, text in counts.items()),
        details=details,
        names_of_details={key: tuple(dict.fromkeys(names_of_key)) for key, names_of_key in names.items()},
        texts=tuple((name, _keys(text)[0]) for name, text in shape.texts.items()),
        keys_of_texts=frozenset(key for text in shape.texts.values() for key in _keys(text)[0]),
        marks=rule(shape.marks)[0],
        first_names=frozenset(path[0] for path in rule(shape.marks)[0]),
        absent=rule(shape.absent)[0] if shape.absent else (),
    )


def _keys(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(".".join(path) for path in choices) for choices in rule(text))


def _tree(paths: set[Path], above: Path = ()) -> Tree:
    depth = len(above)
    tree: Tree = {}
    for name in sorted({path[depth] for path in paths if path[:depth] == above and len(path) > depth}):
        path = (*above, name)
        tree[name] = Step(name, ".".join(path) if path in paths else None, _tree(paths, path))
        tree.setdefault(camel_case(name), tree[name])
    return tree


def read_tree(node: object, tree: Tree, raw_values: dict[str, Any], *, additive: bool = False) -> None:
    """Put the values of a usage object into `raw_values` by their keys; `additive` adds them to those known.

    A 0 does not replace a count: some senders end a stream with a usage object of zeros.
    """
    fields = node if isinstance(node, dict) else pydantic_fields(node)
    if fields is None or len(fields) > _MAX_FIELDS:
        fields = {name: follow(node, (name,)) for name in {step.name for step in tree.values()}}
    # A usage object has fewer fields than the tree has names.
    for name, value in fields.items():
        if value is None or (step := tree.get(name)) is None:
            continue
        own_name, key, below = step
        if name != own_name and own_name in fields:
            continue
        if key is not None:
            known = raw_values.get(key)
            if not known:
                raw_values[key] = value
            elif value == 0 or value == "0":
                pass
            elif additive and type(known) is int and type(value) is int:
                raw_values[key] = known + value
            else:
                raw_values[key] = value
        if below and not isinstance(value, SCALARS):
            read_tree(value, below, raw_values, additive=additive)


def matching_shape(shapes: tuple[Shape, ...], usage: object, response: object) -> Shape | None:
    """The first of the shapes that the usage object has; `response` is what it is in."""
    fields = pydantic_fields(usage)
    for shape in shapes:
        # An object has only a few of the marks' names; this skips most shapes with one set operation.
        if (fields is None or not rules_of(shape).first_names.isdisjoint(fields)) and _matches(shape, usage, response):
            return shape
    return None


def _matches(shape: Shape, usage: object, response: object) -> bool:
    rules = rules_of(shape)
    if not _has_any(usage, rules.marks) or (rules.absent and _has_any(usage, rules.absent)):
        return False
    if shape is EMBEDDING_TOTAL or shape is EMBEDDING_OBJECT:
        return any(isinstance(get(response, name), list) for name in ("data", "embeddings", "results"))
    return True


def _has_any(node: object, paths: tuple[Path, ...]) -> bool:
    for path in paths:  # noqa: SIM110  a generator takes twice as long, and each response passes this
        if (get(node, path[0]) if len(path) == 1 else follow(node, path)) is not None:
            return True
    return False


def details_of(
    shape: Shape, raw_values: Mapping[str, Any], counts: Mapping[str, int] | None
) -> tuple[dict[str, Any], str | None]:
    """A usage object's details, and a problem code if one of them is no number or exceeds its count."""
    rules = rules_of(shape)
    details: dict[str, Any] = {}
    problem = None
    stated = [key for key, value in raw_values.items() if value and key in rules.names_of_details]
    for name in sorted({name for key in stated for name in rules.names_of_details[key]}) if stated else ():
        try:
            if value := _number(rules.details[name], raw_values):
                details[name] = value
        except CountError as error:
            problem = problem or error.code
    if details and counts is not None and counts.get("cache_read_input_tokens"):
        details |= _stated_zeros(rules, raw_values, details)
    if (
        details
        and counts is not None
        and (exceeding := [name for name in details if _exceeds(name, details[name], counts)])
    ):
        problem = problem or "details_exceed_counts"
        details = {name: value for name, value in details.items() if name not in exceeding}
    if not rules.keys_of_texts.isdisjoint(raw_values):
        for name, keys in rules.texts:
            if (word := _word(name, keys, raw_values)) is not None:
                details[name] = word
    return details, problem


def _stated_zeros(rules: Rules, raw_values: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, int]:
    """The modalities of which the usage states that nothing was cached: without them, cached tokens have no price."""
    return {
        cached: 0
        for name, cached in _CACHED_MODALITIES.items()
        if name in details and cached not in details
        if any(raw_values.get(key) == 0 for choices in rules.details.get(cached, ()) for key in choices)
    }


def _number(terms: tuple[tuple[str, ...], ...], raw_values: Mapping[str, Any]) -> Any:
    total: Any = 0
    for choices in terms:
        values = [value for key in choices if (value := raw_values.get(key)) is not None]
        total += next((number for value in values if (number := _checked_number(value))), 0)
    return total


def _checked_number(value: object) -> Any:
    if isinstance(value, float) and math.isfinite(value) and value >= 0 and not value.is_integer():
        return value  # seconds
    if isinstance(value, str) or is_number(value) or isinstance(value, bool):
        return to_count(value)
    return 0  # an object in this place is no count: Mistral states {} for no audio


def _exceeds(name: str, value: Any, counts: Mapping[str, int]) -> bool:
    if not name.endswith("_tokens"):
        return False
    whole = next((whole for prefix, whole in _CONTAINED.items() if name.startswith(prefix)), None)
    return whole is not None and value > counts.get(whole, 0)


def _word(name: str, keys: tuple[str, ...], raw_values: Mapping[str, Any]) -> str | None:
    value = next((value for key in keys if (value := raw_values.get(key)) is not None), None)
    if not isinstance(value, str) or not value.strip():
        return None
    word = str.__str__(value)[:_MAX_WORD_CHARS]
    if name == "service_tier":
        return word
    return None if word in _WORDS_NOT_RECORDED.get(name, ()) else word


def tier_to_record(tier: str | None) -> dict[str, str]:
    """The tier exactly as the provider states it; words that mean the list price are not recorded."""
    if not tier or tier in _WORDS_NOT_RECORDED["service_tier"] or tier in _GOOGLE_LIST_PRICE:
        return {}
    return {"service_tier": tier[:_MAX_WORD_CHARS]}
