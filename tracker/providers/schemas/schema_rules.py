"""Compiles the schemas and applies them: finds a usage object's schema, its values by path, and its details."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tracker.providers.consistency import CountError, to_count
from tracker.providers.node_access import SCALARS, Path, camel_case, follow, get, is_number, pydantic_fields
from tracker.providers.schemas.other_schemas import EMBEDDING_OBJECT, EMBEDDING_TOTAL
from tracker.providers.schemas.usage_schema import COUNTS, UsageSchema, parse_rule
from tracker.providers.total_formulas import Terms


class SchemaNode(NamedTuple):
    """A field to read: its name, the key of its value (None for an inner node), and the fields below it.

    A key is the names of the path joined by dots.
    """

    name: str
    key: str | None
    below: Tree


Tree = dict[str, SchemaNode]
"""Nodes by the snake_case and the camelCase name."""

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
# The count that contains a detail, by the detail's prefix.
_CONTAINED = {
    "input_": "input_tokens",
    "cache_write_": "cache_write_input_tokens",
    "cache_": "cache_read_input_tokens",
    "output_": "output_tokens",
}


@dataclass(frozen=True, slots=True)
class CompiledSchema:
    """The rules of a schema in the form that reads a response in microseconds."""

    tree: Tree
    counts: Terms
    details: Mapping[str, tuple[tuple[str, ...], ...]]
    names_of_details: Mapping[str, tuple[str, ...]]
    texts: tuple[tuple[str, tuple[str, ...]], ...]
    keys_of_texts: frozenset[str]
    marks: tuple[Path, ...]
    first_names: frozenset[str]
    absent: tuple[Path, ...]


_COMPILED: dict[str, CompiledSchema] = {}


def rules_for(schema: UsageSchema) -> CompiledSchema:
    """The compiled rules of a schema."""
    compiled = _COMPILED.get(schema.name)
    return compiled if compiled is not None else _COMPILED.setdefault(schema.name, _compile(schema))


def _compile(schema: UsageSchema) -> CompiledSchema:
    counts = {name: schema.counts[name] for name in COUNTS if name in schema.counts}
    if hour := schema.details.get("cache_write_1h_tokens"):
        counts |= {"writes_1h": hour, "writes_5m": schema.writes_5m}
    rule_texts = (*counts.values(), *schema.details.values(), *schema.texts.values(), schema.extra)
    details = {name: _keys(text) for name, text in schema.details.items()}
    names: dict[str, list[str]] = {}
    for name, terms in details.items():
        for key in (key for choices in terms for key in choices):
            names.setdefault(key, []).append(name)
    return CompiledSchema(
        tree=_tree({path for text in rule_texts for choice in parse_rule(text) for path in choice}),
        counts=tuple((name, _keys(text)) for name, text in counts.items()),
        details=details,
        names_of_details={key: tuple(dict.fromkeys(names_of_key)) for key, names_of_key in names.items()},
        texts=tuple((name, _keys(text)[0]) for name, text in schema.texts.items()),
        keys_of_texts=frozenset(key for text in schema.texts.values() for key in _keys(text)[0]),
        marks=parse_rule(schema.marks)[0],
        first_names=frozenset(path[0] for path in parse_rule(schema.marks)[0]),
        absent=parse_rule(schema.absent)[0] if schema.absent else (),
    )


def _keys(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(".".join(path) for path in choices) for choices in parse_rule(text))


def _tree(paths: set[Path], above: Path = ()) -> Tree:
    depth = len(above)
    tree: Tree = {}
    for name in sorted({path[depth] for path in paths if path[:depth] == above and len(path) > depth}):
        path = (*above, name)
        tree[name] = SchemaNode(name, ".".join(path) if path in paths else None, _tree(paths, path))
        tree.setdefault(camel_case(name), tree[name])
    return tree


def read_tree(node: object, tree: Tree, raw_values: dict[str, Any], *, additive: bool = False) -> None:
    """Write the values of a usage object to `raw_values` by their keys; `additive` adds them to earlier values.

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
            earlier = raw_values.get(key)
            if not earlier:
                raw_values[key] = value
            elif value == 0 or value == "0":
                pass
            elif additive and type(earlier) is int and type(value) is int:
                raw_values[key] = earlier + value
            else:
                raw_values[key] = value
        if below and not isinstance(value, SCALARS):
            read_tree(value, below, raw_values, additive=additive)


def matching_schema(schemas: tuple[UsageSchema, ...], usage: object, response: object) -> UsageSchema | None:
    """The first of the schemas that fits the usage object; `response` contains the object."""
    fields = pydantic_fields(usage)
    for schema in schemas:
        # Skips most schemas with one set operation, since an object has only a few of the marks.
        if (fields is None or not rules_for(schema).first_names.isdisjoint(fields)) and _matches(
            schema, usage, response
        ):
            return schema
    return None


def _matches(schema: UsageSchema, usage: object, response: object) -> bool:
    rules = rules_for(schema)
    if not _has_any(usage, rules.marks) or (rules.absent and _has_any(usage, rules.absent)):
        return False
    if schema is EMBEDDING_TOTAL or schema is EMBEDDING_OBJECT:
        return any(isinstance(get(response, name), list) for name in ("data", "embeddings", "results"))
    return True


def _has_any(node: object, paths: tuple[Path, ...]) -> bool:
    for path in paths:  # noqa: SIM110  a generator takes twice as long, and each response passes this
        if (get(node, path[0]) if len(path) == 1 else follow(node, path)) is not None:
            return True
    return False


def details_of(
    schema: UsageSchema, raw_values: Mapping[str, Any], counts: Mapping[str, int] | None
) -> tuple[dict[str, Any], str | None]:
    """A usage object's details, and a problem code if one of them is not a number or exceeds its count."""
    rules = rules_for(schema)
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


def _stated_zeros(rules: CompiledSchema, raw_values: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, int]:
    """The modalities with a stated cache count of 0: without these zeros, cached tokens have no price."""
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
    return 0  # an object is not a count: Mistral states {} for no audio


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
    """The tier exactly as the provider states it; empty for tiers with the list price."""
    if not tier or tier in _WORDS_NOT_RECORDED["service_tier"] or tier in _GOOGLE_LIST_PRICE:
        return {}
    return {"service_tier": tier[:_MAX_WORD_CHARS]}
