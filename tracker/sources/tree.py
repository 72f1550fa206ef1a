"""Where spans stand in their trace, and which of them repeat what spans below them used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

Key = tuple[str, str]


class Node(NamedTuple):
    """A span's place in its trace; `record_id` is that of its row, None for a span that says no usage."""

    trace_id: str
    span_id: str
    parent_id: str
    record_id: str | None

    @property
    def key(self) -> Key:
        return self.trace_id, self.span_id


def above(nodes: Iterable[Node]) -> set[Key]:
    """The spans that have one with usage somewhere below them, known by now or not; of a span twice the first counts.

    The answer doesn't depend on the order otherwise. Spans that go round in circles, as no real ones do, are all
    above each other.
    """
    places: dict[Key, Node] = {}
    for node in nodes:
        places.setdefault(node.key, node)
    found: set[Key] = set()
    for node in places.values():
        if node.record_id is None:
            continue
        step: Node | None = node
        while step is not None and step.parent_id not in {"", step.span_id}:
            key = (step.trace_id, step.parent_id)
            if key in found:
                break
            found.add(key)
            step = places.get(key)
    return found
