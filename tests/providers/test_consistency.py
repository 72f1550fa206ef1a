"""The consistency check: contradictory usage of any schema is stored with a mark."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker import TokenUsage
from tracker.messages import Message
from tracker.providers.consistency import (
    MAX_COUNT,
    MAX_RAW_BYTES,
    USAGE_PROBLEMS,
    check_usage,
    numbers_only,
    problem_text,
)
from tracker.providers.responses import ParsedResponse, ResponseReader
from tracker.providers.schemas.schema_table import SCHEMAS, UsageSchema, parse_rule
from tracker.providers.to_usage import to_token_usage
from tracker.usage import TOKEN_COLUMNS

# What only Perplexity states: its total leaves these out.
BESIDE_THE_TOTAL = {"citation_tokens"}
# The sum of a list, which has no place in the schema's own rules.
OF_A_LIST = {"vertex_embeddings"}
ODD = st.one_of(
    st.booleans(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(min_value=-(2**70), max_value=2**70),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.just([{"modality": "AUDIO"}]),
)
COUNT = st.integers(min_value=0, max_value=5000)
CHECKED = [schema for schema in SCHEMAS if schema.name not in OF_A_LIST]


def paths(schema: UsageSchema) -> list[tuple[str, ...]]:
    texts = (*schema.counts.values(), *schema.details.values(), schema.writes_5m, schema.extra)
    paths = {path for text in texts for choice in parse_rule(text) for path in choice}
    # A value and what is below it exclude each other: usage.cost is a number or an object.
    return sorted(path for path in paths if not any(other[: len(path)] == path and other != path for other in paths))


def nested(values: dict[tuple[str, ...], Any]) -> dict[str, Any]:
    usage: dict[str, Any] = {}
    for path, value in values.items():
        node = usage
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = value
    return usage


def usages(schema: UsageSchema, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(paths(schema)), values, max_size=8).map(nested)


def read(schema: UsageSchema, usage: dict[str, Any], provider: str | None = None) -> ParsedResponse:
    reader = ResponseReader(provider)
    reader.add_usage(schema, usage)
    return reader.result()


def stated_total(schema: UsageSchema, usage: dict[str, Any]) -> int | None:
    total = next((usage.get(name) for name in (schema.counts.get("total_tokens", ""),)), None)
    return total if type(total) is int and 0 <= total <= MAX_COUNT else None


@pytest.mark.parametrize("schema", CHECKED, ids=lambda schema: schema.name)
@given(data=st.data())
def test_a_total_that_does_not_follow_the_senders_formula_is_never_stored_without_a_mark(schema, data):
    usage = data.draw(usages(schema, COUNT))
    answer = read(schema, usage, data.draw(st.sampled_from([None, "google", "x-ai", "openai", "aws"])))
    total = stated_total(schema, usage)
    if answer.problem is None and total is not None and not BESIDE_THE_TOTAL & set(usage):
        assert answer.counts.get("input_tokens", 0) + answer.counts.get("output_tokens", 0) == total


@pytest.mark.parametrize("schema", CHECKED, ids=lambda schema: schema.name)
@given(data=st.data())
def test_a_wrong_total_marks_usage_of_every_shape_that_states_one(schema, data):
    if "total_tokens" not in schema.counts or schema.counts["total_tokens"] == schema.counts["input_tokens"]:
        return
    usage = data.draw(usages(schema, COUNT))
    answer = read(schema, usage, "openai")
    floor = answer.counts.get("input_tokens", 0) + answer.counts.get("output_tokens", 0)
    usage |= {schema.counts["total_tokens"]: floor + 1_000_000}
    thoughts_are_stated = any(name in usage for name in ("thoughts_token_count", "total_thought_tokens"))
    is_derived = (schema.counting == "gemini" and not thoughts_are_stated) or "prompt_audio_seconds" in usage
    marked = read(schema, usage, "openai")
    if is_derived and marked.problem is None:
        assert marked.note is not None
    else:
        assert marked.problem is not None
        assert marked.usage_source == f"response:{schema.name}"


@pytest.mark.parametrize("schema", CHECKED, ids=lambda schema: schema.name)
@given(data=st.data())
def test_any_usage_object_gives_a_row_without_silently_wrong_numbers(schema, data):
    usage = data.draw(usages(schema, COUNT | ODD))
    answer = read(schema, usage)
    row = to_token_usage(answer, {})
    assert row.metadata.get("usage_problem") == answer.problem
    assert answer.problem is None or answer.problem in USAGE_PROBLEMS
    for path in (path for text in schema.counts.values() for choice in parse_rule(text) for path in choice[:1]):
        value: Any = usage
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            assert answer.problem is not None


ANY_COUNTS = st.dictionaries(
    st.sampled_from(TOKEN_COLUMNS),
    st.integers(min_value=-10, max_value=2**33) | ODD,
)


@given(ANY_COUNTS, st.none() | st.integers(-5, 2**33), st.none() | st.integers(0, 2**33))
def test_checked_counts_are_always_accepted_by_the_table(counts, stated, formula):
    checked = check_usage(counts, stated_total=stated, formula_total=formula, raw=counts)
    usage = TokenUsage(model="m", **checked.counts)
    if stated is not None and formula is not None and stated != formula:
        assert checked.problem is not None
    if checked.problem is None:
        assert checked.raw is None
        assert {name: usage.as_row()[name] for name in counts} == {name: int(value) for name, value in counts.items()}


@pytest.mark.parametrize(
    ("counts", "stated", "formula", "problem", "expected"),
    [
        ({"input_tokens": 5, "output_tokens": 6}, 11, None, None, {"total_tokens": 11}),
        ({"input_tokens": 5, "output_tokens": 60}, 11, 11, None, {"total_tokens": 65}),
        ({"input_tokens": 5, "output_tokens": 6}, 99, None, "total_mismatch", {"total_tokens": 99}),
        ({"input_tokens": 5, "output_tokens": 6}, 3, None, "total_mismatch", {"total_tokens": 11}),
        (
            {"input_tokens": 5, "output_tokens": 6, "cache_read_input_tokens": 9},
            None,
            None,
            "parts_exceed_input",
            {"cache_read_input_tokens": 0, "input_tokens": 5},
        ),
        (
            {"input_tokens": 5, "output_tokens": 6, "reasoning_output_tokens": 9},
            None,
            None,
            "reasoning_exceeds_output",
            {"reasoning_output_tokens": 0, "output_tokens": 6},
        ),
        ({"input_tokens": -1, "output_tokens": 6}, None, None, "count_invalid", {"output_tokens": 6}),
        ({"input_tokens": 2**31, "output_tokens": 6}, None, None, "count_too_large", {"output_tokens": 6}),
    ],
)
def test_each_contradiction_has_its_code(counts, stated, formula, problem, expected):
    checked = check_usage(counts, stated_total=stated, formula_total=formula, raw=counts)
    assert checked.problem == problem
    assert expected.items() <= checked.counts.items()


def test_each_code_has_one_sentence():
    assert all(text.endswith(".") and text[0].isupper() for text in map(problem_text, USAGE_PROBLEMS))
    assert problem_text("total_mismatch") == Message("prices.problem.total_mismatch")
    assert problem_text("A text of an earlier version.") == "A text of an earlier version."


NODES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=80), inner, max_size=30),
    max_leaves=200,
)


@given(NODES)
def test_the_stored_numbers_are_few_and_numbers_only(node):
    raw = numbers_only(node)
    assert len(json.dumps(raw, allow_nan=False)) <= MAX_RAW_BYTES
    TokenUsage(model="m", metadata={"usage_raw": raw})

    def leaves(value: Any) -> list[Any]:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return [value] if inner is None else [leaf for item in inner for leaf in leaves(item)]

    assert all(isinstance(leaf, int | float) and not isinstance(leaf, bool) for leaf in leaves(raw))


def test_numbers_of_a_deep_or_large_object_are_cut():
    node: Any = 1
    for _ in range(100):
        node = {"a": node}
    assert numbers_only(node) == {}
    assert len(json.dumps(numbers_only({f"name_{number}": number for number in range(10_000)}))) <= MAX_RAW_BYTES
