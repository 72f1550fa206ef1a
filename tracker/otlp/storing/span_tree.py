"""Finds the spans of a trace that repeat the usage of spans below them.

A parent repeats what its children used: only the lowest span with usage is an AI call of its own. A model call is an
exception: the calls of a tool or an agent that it started are other calls.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from tracker.otlp.decode import Span

Key = tuple[str, str]
_IDS = re.compile(r"(?!0+/)[0-9a-f]{32}/(?!0+\Z)[0-9a-f]{16}\Z")
_PARENT = re.compile(r"(?!0+\Z)[0-9a-f]{16}\Z")
# Two different calls below a span are enough to know that it repeats at least one other call.
_ENOUGH = 2
# Limits the calls that are compared with a model call above them; a model call has no more without a tool or an agent.
MOST_COMPARED = 32
_CYCLE = "cycle"
# Bounds the search in a chain that is deeper than any real trace, and in a cycle.
_MAX_STEPS = 1000


Kind = Literal["", "call", "boundary"]


class Node(NamedTuple):
    """A span's position in its trace; `record_id` is the id of its record, None for a span without usage.

    `kind` is `call` for a model call by its own convention, `boundary` for a tool or an agent, whose calls are not
    those of the span above it.
    """

    trace_id: str
    span_id: str
    parent_id: str
    record_id: str | None
    kind: Kind = ""

    @property
    def key(self) -> Key:
        return self.trace_id, self.span_id

    @property
    def parent(self) -> Key | None:
        return (self.trace_id, self.parent_id) if self.parent_id not in {"", self.span_id} else None


def node_of(span: Span, record_id: str | None, kind: Kind = "") -> Node | None:
    """The span's node; None if the span can't be the parent or the child of any span with usage."""
    if not (record_id or span.parent_id) or not _IDS.match(f"{span.trace_id}/{span.span_id}"):
        return None
    parent_id = span.parent_id if _PARENT.match(span.parent_id) else ""
    return Node(span.trace_id, span.span_id, parent_id, record_id, kind)


def by_key(nodes: Iterable[Node]) -> dict[Key, Node]:
    """The nodes by key; the first one of a key counts."""
    nodes_by_key: dict[Key, Node] = {}
    for node in nodes:
        nodes_by_key.setdefault(node.key, node)
    return nodes_by_key


def calls_below(
    nodes: Mapping[Key, Node], calls: Mapping[Key, str], *, most: int = _ENOUGH, is_bounded: bool = False
) -> dict[Key, frozenset[str]]:
    """For each span, the calls that are reported below it, limited to `most`.

    `calls` names the call that a span reports. With `is_bounded`, calls below a tool or an agent are not those of the
    spans above it. The time is linear in the number of spans. Spans in a cycle, which real traces never
    have, count as being above each other.
    """
    below: dict[Key, frozenset[str]] = defaultdict(frozenset)
    waiting: dict[Key, int] = defaultdict(int)
    for node in nodes.values():
        if node.parent:
            waiting[node.parent] += 1
    ready = [key for key in nodes if not waiting[key]]
    while ready:
        key = ready.pop()
        parent = nodes[key].parent if key in nodes else None
        if parent is None:
            continue
        if not (is_bounded and nodes[key].kind == "boundary"):
            _add(below, parent, _reported(below, calls, key), most)
        waiting[parent] -= 1
        if not waiting[parent]:
            ready.append(parent)
    _close_cycles(nodes, calls, below, {key for key, count in waiting.items() if count})
    return below


def _reported(below: Mapping[Key, frozenset[str]], calls: Mapping[Key, str], key: Key) -> frozenset[str]:
    own = calls.get(key)
    return below[key] | {own} if own else below[key]


def _add(below: dict[Key, frozenset[str]], key: Key, calls: frozenset[str], most: int) -> None:
    if calls and len(below[key]) < most:
        below[key] = frozenset(sorted(below[key] | calls)[:most])


def _close_cycles(
    nodes: Mapping[Key, Node], calls: Mapping[Key, str], below: dict[Key, frozenset[str]], left: set[Key]
) -> None:
    while left:
        cycle = [left.pop()]
        while (parent := nodes[cycle[-1]].parent) in left and parent is not None:
            left.discard(parent)
            cycle.append(parent)
        if any(_reported(below, calls, key) for key in cycle):
            below.update((key, frozenset({_CYCLE, *sorted(below[key])[:1]})) for key in cycle)


def keys_below_usage(nodes: Mapping[Key, Node], calls: Mapping[Key, str], keys: Iterable[Key]) -> set[Key]:
    """The spans that have a span with usage above them, without a tool or an agent in between."""
    known: dict[Key, bool] = {}
    for key in keys:
        path: list[Key] = []
        step: Key | None = key
        is_below = False
        while step is not None and step not in known:
            known[step] = False  # also ends a cycle
            path.append(step)
            node = nodes.get(step)
            parent = node.parent if node is not None and node.kind != "boundary" else None
            if parent in calls:
                is_below = True
                break
            step = parent
        else:
            is_below = step is not None and known[step]
        for one in path:
            known[one] = is_below
    return {key for key in keys if known[key]}


def is_descendant(nodes: Mapping[Key, Node], key: Key, ancestor: Key) -> bool:
    """Whether `ancestor` is above `key`."""
    step = nodes[key].parent if key in nodes else None
    for _ in range(_MAX_STEPS):
        if step is None or step == ancestor:
            break
        step = nodes[step].parent if step in nodes else None
    return step == ancestor
