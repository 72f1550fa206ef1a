"""The rollup of indexed properties equals the rows in any state, and follows the choice of the keys."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rollups_support import NOON, Store, catch_up
from support import run

from tracker.audit.change_log import COMMAND_LINE
from tracker.rollups import property_backfill, refresh, rollup_tables
from tracker.rollups import prune as pruning
from tracker.rollups.property_keys import apply_setting, choose_keys, read_indexed
from tracker.rollups.rollup_tables import DAY_S


def team(value: Any, **columns: Any) -> dict[str, Any]:
    return {"created_at": NOON, **columns, "metadata": json.dumps({"team": value})}


def sums(store: Store, condition: str = "minutes = 1440") -> dict[str | None, int]:
    with store.connection.cursor() as cursor:
        cursor.execute(
            f"SELECT value, sum(calls)::int FROM token_tracker_property_rollup"
            f" WHERE property = 'team' AND {condition} GROUP BY 1"
        )
        return dict(cursor.fetchall())


@pytest.mark.usefixtures("alone")
def test_values_tags_and_missing_keys_are_counted(store: Store) -> None:
    choose_keys(store.connection, store.table, ["team"], COMMAND_LINE)
    values = ["a", 1, "1", None, "unknown", True, ["a", "b", "a"], ["a", 1], [], [["a"]], {"a": 1}, ""]
    store.add([team(value) for value in values] + [{**team(""), "metadata": "{}"}, {**team(""), "metadata": "[1]"}])
    catch_up(store)
    expected = {"a": 3, "1": 3, "unknown": 1, "true": 1, "b": 1, "": 1, None: 6}
    assert sums(store) == sums(store, condition="minutes = 15") == expected
    assert store.count("token_tracker_property_rollup", "minutes = 15 AND calls_once < calls") > 0
    with store.connection.cursor() as cursor:
        cursor.execute("SELECT sum(calls_once)::int FROM token_tracker_property_rollup WHERE minutes = 60")
        assert cursor.fetchone() == (len(values) + 2,)
    assert store.differences() == []


@pytest.mark.usefixtures("alone")
def test_a_bucket_with_too_many_values_has_a_mark(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollup_tables, "MAX_VALUES", 2)
    choose_keys(store.connection, store.table, ["team"], COMMAND_LINE)
    store.add([team(value) for value in "abc"] + [team("a", created_at=NOON.replace(hour=3))])
    store.add([team("x" * 1001, created_at=NOON.replace(hour=5))])
    catch_up(store)
    marks = "SELECT minutes, count(*) FROM token_tracker_property_rollup WHERE is_overflow AND value IS NULL GROUP BY 1"
    with store.connection.cursor() as cursor:
        cursor.execute(marks)
        assert dict(cursor.fetchall()) == {15: 2, 60: 2, 1440: 1}
    assert sums(store, condition="minutes = 60 AND NOT is_overflow") == {"a": 1}
    assert store.differences() == []


@pytest.mark.usefixtures("alone")
def test_a_key_is_backfilled_removed_and_indexed_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add([team("a", created_at=NOON.replace(day=day)) for day in (1, 5, 9)])
    catch_up(store)
    choose_keys(store.connection, store.table, ["team"], COMMAND_LINE)
    assert not read_indexed(store.connection, store.table)[0].is_complete
    shares: list[float] = []
    monkeypatch.setattr(refresh, "BACKFILL_ROWS", 1)
    refresh.catch_up(store.connection, store.table, shares.append)
    assert any(0.5 < share < 1 for share in shares)
    assert shares == sorted(shares)
    assert read_indexed(store.connection, store.table)[0].is_complete
    assert sums(store) == {"a": 3}
    # Removed and added again before a refresh: the totals of calls that were deleted in between don't remain.
    monkeypatch.setattr(property_backfill, "PURGED_ROWS", 2)
    choose_keys(store.connection, store.table, [], COMMAND_LINE)
    run(store.url, "DELETE FROM token_usage WHERE created_at < '2026-03-02'")
    choose_keys(store.connection, store.table, ["team"], COMMAND_LINE)
    catch_up(store)
    assert sums(store) == {"a": 2}
    choose_keys(store.connection, store.table, [], COMMAND_LINE)
    catch_up(store)
    assert (store.count("token_tracker_property_rollup"), store.count("token_tracker_properties")) == (0, 0)
    kinds = (
        "SELECT kind, old_value ->> 'keys', new_value ->> 'keys' FROM token_tracker_setting_changes ORDER BY changed_at"
    )
    with store.connection.cursor() as cursor:
        cursor.execute(kinds)
        assert cursor.fetchall()[:2] == [("properties", None, "team"), ("properties", "team", None)]


@pytest.mark.usefixtures("alone")
def test_the_setting_replaces_the_chosen_keys(store: Store) -> None:
    choose_keys(store.connection, store.table, ["team"], COMMAND_LINE)
    apply_setting(store.connection, store.table, None)
    assert [key.name for key in read_indexed(store.connection, store.table)] == ["team"]
    apply_setting(store.connection, store.table, ("feature", "plan"))
    assert [key.name for key in read_indexed(store.connection, store.table)] == ["feature", "plan"]


@pytest.mark.usefixtures("alone")
def test_a_refresh_of_an_older_version_is_found_and_rebuilt(store: Store) -> None:
    choose_keys(store.connection, store.table, ["team"], COMMAND_LINE)
    store.add([team("a")])
    catch_up(store)
    # An older version replaces the other rollups only.
    store.add([team("b", created_at=NOON.replace(hour=1))])
    catch_up(store)
    run(store.url, "DELETE FROM token_tracker_property_rollup WHERE value = 'b'")
    assert [line for line in store.differences() if "value b" in line and "is missing" in line]
    refresh.rebuild(store.connection, store.table)
    assert (store.differences(), sums(store)) == ([], {"a": 1, "b": 1})


@pytest.mark.usefixtures("alone")
def test_pruned_calls_keep_their_values(store: Store) -> None:
    choose_keys(store.connection, store.table, ["team"], COMMAND_LINE)
    store.add([team("a"), team(["a", "b"])])
    catch_up(store)
    until = int(NOON.timestamp()) // DAY_S * DAY_S + DAY_S
    assert pruning.prune(store.connection, store.table, until) == 2
    store.add([team("b")])
    catch_up(store)
    assert sums(store) == {"a": 2, "b": 2}
    assert sums(store, condition="minutes = 1440 AND generation = 0") == {"b": 1}
    assert store.differences() == []


VALUES = st.one_of(
    st.sampled_from(["a", "b", "unknown", "", None, 1, "1", 1.5, False, {"x": 1}]),
    st.lists(st.sampled_from(["a", "b", 1, None]), max_size=3),
)


@pytest.mark.usefixtures("alone")
@settings(max_examples=10)
@given(values=st.lists(st.tuples(VALUES, st.integers(0, 200), st.booleans()), max_size=10))
def test_calls_once_counts_each_call_once(store: Store, values: list[tuple[Any, int, bool]]) -> None:
    store.empty()
    choose_keys(store.connection, store.table, ["team", "other"], COMMAND_LINE)
    store.add([team(value, created_at=NOON.replace(day=1 + at % 3), is_test=test) for value, at, test in values])
    store.catch_up()
    counted = "coalesce(sum(calls_once), 0)"
    for minutes in (15, 60, 1440):
        with store.connection.cursor() as cursor:
            cursor.execute(f"SELECT {counted}::int FROM token_tracker_property_rollup WHERE minutes = {minutes}")
            assert cursor.fetchone() == (2 * len(values),)
    assert store.differences() == []
