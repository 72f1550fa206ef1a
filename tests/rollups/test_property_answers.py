"""Each answer about an indexed property equals the same answer computed from the rows, in any state of its rollup."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rollups_support import NOON, RANGE, Store
from support import run
from test_same_answer import cases, counted, floor, label, matching, priced, run_step

from tracker.audit.change_log import COMMAND_LINE
from tracker.property_names import value_to_text
from tracker.reports import Filters, usage_totals
from tracker.reports.engine import query_properties
from tracker.reports.engine.query_properties import indexed_key, unavailable_calls
from tracker.reports.explorer.explorer_query import explore
from tracker.rollups import prune as pruning
from tracker.rollups import refresh, rollup_tables
from tracker.rollups.property_keys import choose_keys
from tracker.rollups.rollup_tables import DAY_S

TEAMS = ["a", "b", "unknown", "", None, 1, "1", True, {"x": 1}, ["a", "b"], ["a", "a", 1], [None], [["a"]], "z"]


def texts(row: dict[str, Any]) -> list[str | None]:
    """The values of a row as texts, each once; [None]: not set."""
    metadata = json.loads(row["metadata"])
    value = metadata.get("team") if isinstance(metadata, dict) else None
    items = value if isinstance(value, list) else [value]
    if any(isinstance(item, list | dict) for item in items):
        return [None]
    named = {item if isinstance(item, str) else json.dumps(item) for item in items if item is not None}
    return sorted(named) or [None]


@st.composite
def property_cases(draw: st.DrawFn) -> dict[str, Any]:
    case = draw(cases())
    for calls in case["rounds"]:
        for call in calls:
            call["metadata"] = json.dumps(draw(st.one_of(st.just([1]), st.sampled_from(TEAMS).map(with_team))))
    columns = draw(st.sampled_from([{}, {"model": "gpt"}, {"provider": "google"}, {"model": "gpt", "provider": ""}]))
    names = ("model", "provider", "operation", "environment", "user")
    case["filters"] = replace(case["filters"], **{**dict.fromkeys(names), **columns})
    case["choose"] = draw(st.integers(0, 2))
    case["value"] = draw(st.sampled_from(["a", "1", None, "unknown", "none"]))
    return case


def with_team(value: Any) -> dict[str, Any]:
    return {"team": value, "plan": "x"}


def check(store: Store, rows: list[dict[str, Any]], filters: Filters, value: str | None) -> None:
    """Compare the answers by value, and those of a filter by value, with the rows."""
    rows = matching(rows, filters)
    cells = explore(store.reader, filters, "metadata.team", "model")
    assert cells.attrs["overlaps"] == any(len(texts(row)) > 1 for row in rows)
    groups = defaultdict(list)
    for row in rows:
        for text in texts(row):
            groups[value_to_text(text), row["model"]].append(row)
    found = {(row["row_name"], row["column_name"]): row for row in cells.to_dict("records")}
    assert set(found) == set(groups)
    for group, members in groups.items():
        assert found[group]["calls"] == len(members)
        assert found[group]["total_tokens"] == sum(row["total_tokens"] for row in members)
        cost = priced(members)
        assert found[group]["cost_usd"] == pytest.approx(math.nan if cost is None else float(cost), nan_ok=True)
    chosen = replace(filters, properties=(("team", value),))
    members = [row for row in rows if value in texts(row)]
    totals = usage_totals.totals(store.reader, chosen)
    assert (totals.calls, totals.failed_calls) == (len(members), sum(not row["success"] for row in members))
    assert (totals.cost_usd, totals.unpriced_calls) == (priced(members), sum(row["cost"] is None for row in members))
    models = usage_totals.by_model_over_time(store.reader, chosen)
    by_model = {(row["bucket"], row["model"]): row["calls"] for row in models.to_dict("records")}
    assert by_model == counted((label(row["created_at"], chosen), row["model"]) for row in members)


@pytest.mark.usefixtures("alone")
@settings(max_examples=12)
@given(case=property_cases(), max_values=st.sampled_from([2, 1000]))
def test_answers_equal_the_rows_in_any_state(store: Store, case: dict[str, Any], max_values: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollup_tables, "MAX_VALUES", max_values)
        store.empty()
        stored: list[dict[str, Any]] = []
        for number, (calls, step) in enumerate(zip(case["rounds"], case["steps"], strict=True)):
            if number == case["choose"]:
                choose_keys(store.connection, store.table, ["team", "plan"], COMMAND_LINE)
            store.add(calls)
            stored += calls
            run_step(store, step)
            if step == "both":
                refresh.backfill_properties(store.connection, store.table)
            check(store, stored, case["filters"], case["value"])
        store.catch_up()
        assert store.differences() == []
        check(store, stored, case["filters"], case["value"])


@pytest.mark.usefixtures("alone")
@settings(max_examples=8)
@given(case=property_cases(), is_indexed_first=st.booleans())
def test_pruned_calls_keep_their_values_or_are_unavailable(
    store: Store, case: dict[str, Any], is_indexed_first: bool
) -> None:
    filters: Filters = case["filters"]
    assume(filters.timezone != "Africa/Monrovia")  # its days begin within a 15-minute bucket
    interval_15m = timedelta(minutes=15)
    whole = replace(filters, start=floor(filters.start, interval_15m), end=floor(filters.end, interval_15m))
    until = int(case["prune"].timestamp() // DAY_S * DAY_S)
    assume(whole.bucket != "minute" or whole.start.timestamp() >= until)
    store.empty()
    first, second, late = case["rounds"]
    if is_indexed_first:
        choose_keys(store.connection, store.table, ["team"], COMMAND_LINE)
    store.add([*first, *second])
    store.catch_up()
    pruning.prune(store.connection, store.table, until)
    choose_keys(store.connection, store.table, ["team"], COMMAND_LINE)
    store.add(late)
    for _ in range(2):
        pruned = [row for row in [*first, *second] if row["created_at"].timestamp() < until]
        known = [row for row in [*first, *second, *late] if is_indexed_first or row not in pruned]
        check(store, known, whole, case["value"])
        lost = [] if is_indexed_first else matching(pruned, whole)
        assert unavailable_calls(store.reader, whole, "team") == len(lost)
        store.catch_up()
    assert store.differences() == []


@pytest.mark.usefixtures("alone")
def test_pruned_calls_of_a_marked_bucket_are_unavailable(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollup_tables, "MAX_VALUES", 2)
    choose_keys(store.connection, store.table, ["team"], COMMAND_LINE)
    store.add({"created_at": NOON, "metadata": json.dumps({"team": value})} for value in ("a", "b", ["c", "d"]))
    store.add([{"created_at": NOON + timedelta(hours=1), "metadata": '{"team": "a"}'}])
    store.catch_up()
    chosen = replace(RANGE, properties=(("team", "a"),))
    assert usage_totals.totals(store.reader, chosen).calls == 2
    pruning.prune(store.connection, store.table, int(NOON.timestamp()) + DAY_S)
    assert usage_totals.totals(store.reader, chosen).calls == 1
    assert unavailable_calls(store.reader, RANGE, "team") == 3


@pytest.mark.usefixtures("alone")
def test_a_change_of_the_rollup_during_a_question_repeats_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between reading the state and the query, the key is removed, or a bucket gets a mark."""
    choose_keys(store.connection, store.table, ["team"], COMMAND_LINE)
    store.add({"created_at": NOON, "metadata": json.dumps({"team": value})} for value in ("a", "b", "b"))
    store.catch_up()
    read_state = query_properties._read_state
    changes: list[str] = []

    def change_after(*arguments: Any) -> Any:
        state = read_state(*arguments)
        if changes:
            run(store.url, changes.pop())
        return state

    monkeypatch.setattr(query_properties, "_read_state", change_after)
    chosen = replace(RANGE, properties=(("team", "b"),))
    with store.reader.pin_rollup_state():
        assert usage_totals.totals(store.reader, chosen).calls == 2
        changes.append("UPDATE token_tracker_property_rollup SET is_overflow = true, value = NULL")
        assert usage_totals.totals(store.reader, chosen).calls == 2
        changes += [
            f"UPDATE token_tracker_property_rollup SET is_overflow = minutes <> {minutes}"
            for minutes in (15, 60, 1440, 15, 60)
        ]
        assert usage_totals.totals(store.reader, chosen).calls == 2
        changes[:] = ["DELETE FROM token_tracker_property_rollup; DELETE FROM token_tracker_properties"]
        assert usage_totals.totals(store.reader, chosen).calls == 2
        changes[:] = []
        assert usage_totals.totals(store.reader, chosen).calls == 2


@pytest.mark.usefixtures("alone")
def test_only_questions_with_one_property_model_and_provider_use_its_rollup(store: Store) -> None:
    choose_keys(store.connection, store.table, ["team", "plan"], COMMAND_LINE)
    team = replace(RANGE, properties=(("team", "a"),))
    both = replace(RANGE, properties=(("team", "a"), ("plan", "x")))
    answered = {
        "filter": indexed_key(store.reader, team, ("step", "provider", "model")),
        "rows": indexed_key(store.reader, replace(RANGE, model="gpt"), ("metadata.team", "step")),
        "unindexed": indexed_key(store.reader, RANGE, ("metadata.other",)),
        "two filters": indexed_key(store.reader, both),
        "filter and rows": indexed_key(store.reader, team, ("metadata.team",)),
        "two keys": indexed_key(store.reader, RANGE, ("metadata.team", "metadata.plan")),
        "operation": indexed_key(store.reader, team, ("operation",)),
        "user": indexed_key(store.reader, replace(team, user="u"), ()),
        "none": indexed_key(store.reader, RANGE, ("model",)),
    }
    assert {name: key for name, key in answered.items() if key} == {"filter": "team", "rows": "team"}
