"""The shapes' rules, compiled once: which shape a usage object has, its values by path, and its details."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracker.sources.consistency import CountError, to_count
from tracker.sources.node_access import Path, follow, get, is_number, pydantic_fields
from tracker.sources.shapes import COUNTS, EMBEDDING_OBJECT, EMBEDDING_TOTAL, Rule, Shape, rule

# What to look for in a node: a name, the path that ends there (None: it only leads on), and what to look for below.
Tree = tuple[tuple[str, Path | None, "Tree"], ...]

_WORDS_NOT_RECORDED = {
    "service_tier": frozenset({"standard", "default", "auto", "unspecified"}),
    "speed": frozenset({"standard"}),
    "inference_geo": frozenset({"not_available", "global"}),
}
_GOOGLE_LIST_PRICE = frozenset({"ON_DEMAND", "TRAFFIC_TYPE_UNSPECIFIED"})
_MAX_WORD_CHARS = 60
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
    counts: tuple[tuple[str, Rule], ...]
    details: tuple[tuple[str, Rule], ...]
    texts: tuple[tuple[str, tuple[Path, ...]], ...]
    marks: tuple[Path, ...]
    absent: tuple[Path, ...]


_compiled: dict[str, Rules] = {}


def rules_of(shape: Shape) -> Rules:
    """The compiled rules of a shape."""
    return _compiled.get(shape.name) or _compiled.setdefault(shape.name, _compile(shape))


def _compile(shape: Shape) -> Rules:
    counts = {**{name: shape.counts[name] for name in COUNTS if name in shape.counts}}
    if hour := shape.details.get("cache_write_1h_tokens"):
        counts |= {"writes_1h": hour, "writes_5m": shape.writes_5m}
    everything = (*counts.values(), *shape.details.values(), *shape.texts.values(), shape.extra)
    return Rules(
        tree=_tree({path for text in everything for choice in rule(text) for path in choice}),
        counts=tuple((name, rule(text)) for name, text in counts.items()),
        details=tuple((name, rule(text)) for name, text in shape.details.items()),
        texts=tuple((name, rule(text)[0]) for name, text in shape.texts.items()),
        marks=rule(shape.marks)[0],
        absent=rule(shape.absent)[0] if shape.absent else (),
    )


def _tree(paths: set[Path], above: Path = ()) -> Tree:
    depth = len(above)
    names = sorted({path[depth] for path in paths if path[:depth] == above and len(path) > depth})
    steps = [(name, (*above, name)) for name in names]
    return tuple((name, path if path in paths else None, _tree(paths, path)) for name, path in steps)


def read_tree(node: object, tree: Tree, found: dict[Path, Any], *, additive: bool = False) -> None:
    """Put the values of a usage object into `found` by their paths; `additive` adds them to those known."""
    fields = pydantic_fields(node)
    for name, path, below in tree:
        value = follow(node, (name,)) if fields is None else fields.get(name)
        if value is None:
            continue
        if path is not None:
            known = found.get(path)
            found[path] = known + value if additive and type(known) is int and type(value) is int else value
        if below and not isinstance(value, str | int | float):
            read_tree(value, below, found, additive=additive)


def matching_shape(shapes: tuple[Shape, ...], usage: object, response: object) -> Shape | None:
    """The first of the shapes that the usage object has; `response` is what it is in."""
    return next((shape for shape in shapes if _matches(shape, usage, response)), None)


def _matches(shape: Shape, usage: object, response: object) -> bool:
    rules = rules_of(shape)
    if not any(follow(usage, path) is not None for path in rules.marks):
        return False
    if any(follow(usage, path) is not None for path in rules.absent):
        return False
    if shape in (EMBEDDING_TOTAL, EMBEDDING_OBJECT):
        return any(isinstance(get(response, name), list) for name in ("data", "embeddings", "results"))
    return True


def details_of(
    shape: Shape, found: Mapping[Path, Any], counts: Mapping[str, int] | None
) -> tuple[dict[str, Any], str | None]:
    """A usage object's details, and a problem code if one of them is no number or exceeds its count."""
    details: dict[str, Any] = {}
    problem = None
    for name, terms in rules_of(shape).details:
        try:
            if value := _number(terms, found):
                details[name] = value
        except CountError as error:
            problem = problem or error.code
    if counts is not None and (exceeding := [name for name in details if _exceeds(name, details[name], counts)]):
        problem = problem or "details_exceed_counts"
        details = {name: value for name, value in details.items() if name not in exceeding}
    for name, paths in rules_of(shape).texts:
        if (word := _word(name, paths, found)) is not None:
            details[name] = word
    return details, problem


def _number(terms: Rule, found: Mapping[Path, Any]) -> Any:
    total: Any = 0
    for choices in terms:
        values = [value for path in choices if (value := found.get(path)) is not None]
        total += next((number for value in values if (number := _checked_number(value))), 0)
    return total


def _checked_number(value: object) -> Any:
    if isinstance(value, float) and math.isfinite(value) and value >= 0 and not value.is_integer():
        return value  # seconds
    if isinstance(value, str) or is_number(value) or isinstance(value, bool):
        return to_count(value)
    return 0  # an object in this place is no count: Mistral states {} for no audio


def _exceeds(name: str, value: Any, counts: Mapping[str, int]) -> bool:
    if not name.endswith("_tokens") or name == "input_pixels":
        return False
    whole = next((whole for prefix, whole in _CONTAINED.items() if name.startswith(prefix)), None)
    return whole is not None and value > counts.get(whole, 0)


def _word(name: str, paths: tuple[Path, ...], found: Mapping[Path, Any]) -> str | None:
    value = next((value for path in paths if (value := found.get(path)) is not None), None)
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
