"""A usage shape: where one provider states its counts, and what its counts include.

A rule is text: terms joined by ` + ` are added, paths joined by `|` are alternatives of which the first that is
present and not 0 wins, dots go down, and into lists of counts by their label (Gemini's modality, Bedrock's time to
live). Names are snake_case; an answer's camelCase is found too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from tracker.providers.node_access import Path
from tracker.usage import TOKEN_COLUMNS

Rule = tuple[tuple[Path, ...], ...]

COUNTS = (*TOKEN_COLUMNS[:2], "total_tokens", *TOKEN_COLUMNS[2:])


@dataclass(frozen=True, slots=True)
class Shape:
    """One provider's usage object: where it is, how it is recognised, and a rule for each count.

    `marks` are alternatives in the usage node, any of which identifies this shape; `absent` ones exclude it.
    `details` are numbers and `texts` words that only prices need, by genai-prices' names where it has one.
    `counting` says which formula the sender's total follows (`totals.py`):
    `inclusive`: input + output; `exclusive`: input + cached + output; `gemini`: all counts; `none`: it states no total.
    `writes_5m` are the cache writes for five minutes; with those for an hour they are the writes, where these are less.
    """

    name: str
    provider: str | None
    usage: str
    marks: str
    counts: Mapping[str, str]
    details: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    writes_5m: str = ""
    extra: str = ""
    absent: str = ""
    counting: str = "inclusive"


@cache
def rule(text: str) -> Rule:
    """A rule's terms, each a choice of paths."""
    return tuple(
        tuple(tuple(path.strip().split(".")) for path in term.split("|")) for term in text.split("+") if term.strip()
    )
