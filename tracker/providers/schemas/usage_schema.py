"""A usage schema: where one provider states its counts, and what the counts include.

A rule is text: terms joined by ` + ` are added; paths joined by `|` are alternatives, of which the first that is
present and not 0 applies; dots separate the names of a path, also the labels in a list of counts (Gemini's modality,
Bedrock's time to live). Names are snake_case; camelCase fields match too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from tracker.providers.node_access import Path
from tracker.usage import TOKEN_COLUMNS

CountRule = tuple[tuple[Path, ...], ...]

COUNTS = (*TOKEN_COLUMNS[:2], "total_tokens", *TOKEN_COLUMNS[2:])


@dataclass(frozen=True, slots=True)
class UsageSchema:
    """One provider's usage object: where it is, how it is recognised, and a rule for each count.

    `marks` are alternative paths in the usage object, any of which identifies this schema; `absent` paths exclude it.
    `details` are numbers and `texts` words that only prices depend on, by genai-prices' names if it has one.
    `counting` names the formula of the sender's total (`total_formulas.py`):
    `inclusive`: input + output; `exclusive`: input + cached + output; `gemini`: all counts; `none`: it states no total.
    `writes_5m` are the cache writes for five minutes; added to those for an hour, they replace a smaller stated count.
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
def parse_rule(text: str) -> CountRule:
    """The terms of a rule, each a choice of paths."""
    return tuple(
        tuple(tuple(path.strip().split(".")) for path in term.split("|")) for term in text.split("+") if term.strip()
    )
