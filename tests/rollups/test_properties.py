"""Properties: filters, choices, and their values as text, compared with the same rules in Python."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from rollups_support import NOON, RANGE, Store
from support import run

from tracker.property_names import NOT_SET, property_pairs, value_from_text, value_to_text
from tracker.reports import usage_totals
from tracker.reports.ai_calls.call_log import CallSearch, search_as_json, search_calls, search_from_json
from tracker.reports.ai_calls.export_app import export_batches
from tracker.reports.explorer import explorer_query
from tracker.reports.explorer.explorer_query import explore, matching_calls
from tracker.reports.properties import discovery as property_module
from tracker.reports.properties.discovery import read_properties

KEYS = [
    "team",
    "a.b",
    'quo"te',
    "it's",
    "100%",
    "%s",
    "🙂",
    "metadata.",
    "metadata.team",
    "model",
    "",
    ":x",
    "\u202eabc",
]
VALUES: list[Any] = [
    "growth",
    "unknown",
    "",
    "(not set)",
    "\\(not set)",
    "null",
    None,
    1,
    "1",
    1.0,
    1.5,
    True,
    "true",
    "'; DROP TABLE token_usage; --",
    "%(x)s :model",
    "**bold** <b>",
    "שלום",
    "line\nbreak\ttab",
    "x" * 10_000,
    ["a", "b", "a"],
    ["1", 1, None],
    [],
    [None],
    ["a", {"nested": 1}],
    [["a"]],
    {"nested": "growth"},
]
_MISSING = object()


def texts(value: Any) -> set[str]:
    """The texts under which a call with this value counts; empty: not set."""
    if isinstance(value, list):
        has_nested = any(isinstance(item, list | dict) for item in value)
        return set() if has_nested else {text for item in value for text in texts(item)}
    if value is None or value is _MISSING or isinstance(value, dict):
        return set()
    return {value if isinstance(value, str) else json.dumps(value)}


@pytest.fixture
def stored(store: Store) -> list[tuple[str, Any]]:
    """One call for each key and value, one without metadata, and one whose metadata is no object."""
    pairs = [(key, value) for key in KEYS for value in [*VALUES, _MISSING]]
    documents = [json.dumps({} if value is _MISSING else {key: value}) for key, value in pairs]
    store.add({"metadata": document, "created_at": NOON} for document in [*documents, "[1]", '"text"'])
    return pairs


def count(store: Store, *pairs: tuple[str, str | None]) -> int:
    return usage_totals.totals(store.reader, replace(RANGE, properties=pairs)).calls


def test_a_filter_selects_exactly_the_calls_with_a_value(store: Store, stored: list[tuple[str, Any]]) -> None:
    store.catch_up()  # the rollups have no properties, so the rows answer
    wanted = {None, *(text for value in VALUES for text in texts(value)), "missing"}
    for column in ("metadata", "json"):
        if column == "json":
            run(store.url, "ALTER TABLE token_usage ALTER COLUMN metadata DROP DEFAULT")
            run(store.url, "ALTER TABLE token_usage ALTER COLUMN metadata TYPE json")
        for key in KEYS if column == "metadata" else KEYS[:2]:
            mine = [value for name, value in stored if name == key]
            others = len(stored) - len(mine) + 2
            for text in wanted:
                expected = sum(text in texts(value) for value in mine)
                if text is None:
                    expected = others + sum(not texts(value) for value in mine)
                assert count(store, (key, text)) == expected, (key, text)
    assert count(store, ("team", "a"), ("team", "b")) == 1
    assert count(store, ("team", "growth"), ("model", "growth")) == 0
    assert count(store, ("team", "growth"), ("model", None)) == 1
    assert count(store, ("team", "gr\0wth")) == 0
    page = search_calls(store.reader, replace(RANGE, properties=(("%s", "x" * 10_000),)), CallSearch())
    assert len(page.rows) == 1


def test_an_export_link_keeps_the_properties() -> None:
    filters = replace(RANGE, properties=(("team", None), ("a.b", "")))
    content = json.loads(json.dumps(search_as_json(filters, CallSearch())))
    restored, _ = search_from_json(content)
    assert restored == replace(filters, start=restored.start, end=restored.end)
    assert hash(restored)
    assert not filters.uses_only("model")
    assert filters.uses_only("metadata.team", "metadata.a.b")


def test_each_value_has_its_own_text() -> None:
    values = [None, "", "unknown", NOT_SET, "\\" + NOT_SET, "\\\\" + NOT_SET, "\\"]
    encoded = [value_to_text(value) for value in values]
    assert len(set(encoded)) == len(values)
    assert [value_from_text(text) for text in encoded] == values


def test_the_choices_are_frequent_keys_first_and_request_ids_last(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [
        {"request_id": f"r{number}", "team": ["growth", "search"][number % 2], "tags": ["a", f"b{number % 3}"]}
        for number in range(60)
    ]
    many = {f"key {number}": number for number in range(600)}
    wide = {"note": "x" * 5_000, "nested": {"team": 1}, "empty": None, "flag": True}
    large = {"large": [f"{number * 7919 % 100_003}" for number in range(40_000)]}
    store.add({"metadata": json.dumps(document)} for document in [*documents, wide, large])
    store.add({"metadata": document} for document in ("[1]", '"x"'))
    found = read_properties(store.reader)
    assert [entry.key for entry in found.properties] == ["tags", "team", "flag", "note", "request_id"]
    assert found.is_complete
    team, tags, note = found.find("team"), found.find("tags"), found.find("note")
    assert team is not None
    assert (team.values, team.calls, team.is_list, team.has_high_cardinality) == (
        ("growth", "search"),
        60,
        False,
        False,
    )
    assert tags is not None
    assert (tags.is_list, tags.values[0], tags.distinct_values) == (True, "a", 4)
    assert note is not None
    assert note.values == ()  # too long for a choice
    assert found.properties[-1].has_high_cardinality
    store.add([{"metadata": json.dumps(many)}])
    assert not read_properties(store.reader).is_complete
    monkeypatch.setattr(property_module, "TIME_LIMIT_MS", 1)
    store.add({"metadata": json.dumps(many)} for _ in range(100))
    limited = read_properties(store.reader)
    assert (limited.properties, limited.is_complete) == ((), False)


@pytest.mark.parametrize("rows", ["metadata.team", "metadata.a.b", "metadata.%s"])
def test_the_explorer_groups_by_properties_and_all_groups_together_are_the_total(
    store: Store, stored: list[tuple[str, Any]], rows: str
) -> None:
    key = rows.removeprefix("metadata.")
    expected: Counter[str] = Counter()
    for name, value in [*stored, ("", {}), ("", {})]:
        expected.update(map(value_to_text, (name == key and texts(value)) or {None}))
    data = explore(store.reader, RANGE, rows, latency=True)
    assert dict(zip(data["row_name"], data["calls"], strict=True)) == expected
    assert data.attrs == {"overlaps": True, "is_cut": False}
    lists = sum(len(texts(value)) - 1 for value in VALUES if len(texts(value)) > 1)
    assert data["calls"].sum() == len(stored) + 2 + lists
    for text in expected:
        assert len(matching_calls(store.reader, RANGE, {rows: text})) == min(expected[text], 500)
    crossed = explore(store.reader, RANGE, rows, "model")
    assert list(crossed["column_name"].unique()) == ["gpt"]
    by_day = explore(store.reader, RANGE, "day", rows)
    assert dict(zip(by_day["column_name"], by_day["calls"], strict=True)) == expected
    both = explore(store.reader, RANGE, rows, "metadata.model")
    assert both.set_index(["row_name", "column_name"])["calls"][value_to_text("growth"), NOT_SET] == 1
    filtered = replace(RANGE, properties=((key, "a"),))
    assert set(explore(store.reader, filtered, rows)["row_name"]) == {"a", "b"}


def test_the_explorer_states_that_it_does_not_read_all_values(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add(
        {"metadata": json.dumps({"id": number}), "created_at": NOON + timedelta(hours=number)} for number in range(5)
    )
    monkeypatch.setattr(explorer_query, "MAX_GROUPS", 4)
    data = explore(store.reader, RANGE, "metadata.id")
    assert (len(data), data.attrs["is_cut"], data.attrs["overlaps"]) == (4, True, False)
    by_hour = explore(store.reader, RANGE, "hour", latency=True)  # a question to the rollups has no limit
    assert (len(by_hour), by_hour.attrs["is_cut"]) == (5, False)


def test_an_export_has_a_column_for_each_chosen_property(store: Store) -> None:
    documents = [{"team": "growth", "a.b": ["x", 1], "n": {"x": 1}}, {"team": "=1+1"}, {"a.b": "line\r\nbreak"}, {}]
    store.add(
        {"metadata": json.dumps(document), "created_at": NOON + timedelta(seconds=number)}
        for number, document in enumerate(documents)
    )
    filters, search = search_from_json(
        json.loads(json.dumps(search_as_json(RANGE, CallSearch(shown_keys=("team", "a.b", "n")))))
    )
    content = b"".join(export_batches(store.reader, filters, search)).decode()
    table = list(csv.DictReader(io.StringIO(content, newline="")))
    names = ["metadata.team", "metadata.a.b", "metadata.n"]
    assert [[row[name] for name in names] for row in table] == [
        ["", "", ""],
        ["", "line\r\nbreak", ""],
        ["'=1+1", "", ""],
        ["growth", '["x", 1]', '{"x": 1}'],
    ]
    assert "metadata" not in b"".join(export_batches(store.reader, RANGE, CallSearch())).decode()


def test_a_call_lists_the_pairs_that_a_filter_selects() -> None:
    for value in VALUES:
        assert {text for _, text in property_pairs({"team": value})} == texts(value)
    assert list(property_pairs([1])) == []
