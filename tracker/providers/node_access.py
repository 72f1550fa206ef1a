"""Reads fields of a response, which may be decoded JSON, a pydantic object or a plain object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from typing import Any

Path = tuple[str, ...]
SCALARS = (str, int, float)  # a tuple is checked faster than a union

# The fields that label an entry in a list of counts: Gemini's modality, Bedrock's time to live.
_LABELS = ("modality", "ttl")
_LABELLED_COUNTS = ("token_count", "tokens", "input_tokens")


def get(node: Any, name: str) -> Any:
    """A field of an object, or of decoded JSON under its snake_case or camelCase name; None if it is missing."""
    kind = _kind(node.__class__)
    if kind == "mapping":
        return node[name] if name in node else node.get(camel_case(name))
    if kind == "pydantic":
        # getattr of a missing field is slow on pydantic objects; undeclared fields are in __pydantic_extra__.
        fields = node.__dict__
        if name in fields:
            return fields[name]
        extra = getattr(node, "__pydantic_extra__", None)
        return extra.get(name) if extra else None
    return getattr(node, name, None)


def follow(node: object, path: Path) -> Any:
    """The value at a path of names, in objects or decoded JSON; None where a step is missing."""
    for name in path:
        if node is None:
            return None
        node = _labelled(node, name) if isinstance(node, list | tuple) else get(node, name)
    return node


def _labelled(items: list[Any] | tuple[Any, ...], name: str) -> Any:
    """The sum of the entries with this label, [{"modality": "AUDIO", "tokenCount": 150}, …]; "0" is the first entry."""
    if name == "0":
        return items[0] if items else None
    counts = [_labelled_count(item) for item in items if _label(item) == name]
    if not counts:
        return None
    return sum(counts) if all(type(count) is int for count in counts) else counts[0]


def _label(item: object) -> str | None:
    label = next((value for name in _LABELS if (value := get(item, name)) is not None), None)
    label = getattr(label, "value", label)
    return label.upper() if isinstance(label, str) else None


def _labelled_count(item: object) -> Any:
    return next((value for name in _LABELLED_COUNTS if (value := get(item, name)) is not None), None)


def pydantic_fields(node: Any) -> Mapping[str, Any] | None:
    """All fields of a pydantic object; None for anything else, whose fields are read by name."""
    if _kind(node.__class__) != "pydantic":
        return None
    extra = getattr(node, "__pydantic_extra__", None)
    return {**node.__dict__, **extra} if extra else node.__dict__


def field_names(node: Any) -> Iterable[str] | None:
    """The names of a node's fields; None if they cannot be listed."""
    if isinstance(node, Mapping):
        return node
    fields = pydantic_fields(node)
    return getattr(node, "__dict__", None) if fields is None else fields


@lru_cache(256)
def _kind(kind: type) -> str:
    if issubclass(kind, Mapping):
        return "mapping"
    return "pydantic" if hasattr(kind, "model_fields") else "object"


def text(node: object, name: str) -> str | None:
    """A field's text, or the value of an enumeration; None if it is blank or not a text."""
    return word(get(node, name))


def word(value: object) -> str | None:
    """The value if it is a text, or the value of an enumeration; None if it is blank or not a text."""
    return str.__str__(value) if isinstance(value, str) and value.strip() else None


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@cache
def camel_case(name: str) -> str:
    """total_tokens → totalTokens."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
