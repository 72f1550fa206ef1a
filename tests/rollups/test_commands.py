"""The commands token-tracker rollup and prune."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from rollups_support import Store
from support import rows, run, value

from tracker.cli import main
from tracker.reports import Filters, usage_totals
from tracker.rollups import prune as pruning
from tracker.rollups import rollup_tables

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def at(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store whose database is DATABASE_URL."""
    monkeypatch.setenv("DATABASE_URL", store.url)
    return store


def days_ago(days: int) -> datetime:
    return datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=days)


def test_rollup_covers_all_calls(at: Store, capsys: pytest.CaptureFixture[str]) -> None:
    at.add({"created_at": NOON + timedelta(days=day)} for day in range(4))
    assert main(["rollup"]) == 0
    assert at.state().complete
    assert main(["rollup", "--verify"]) == 0
    output = capsys.readouterr()
    assert "Every sum agrees with the rows." in output.out
    assert output.err == ""


def test_rollup_indexes_the_properties_of_the_setting(
    at: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at.add([{"created_at": NOON, "metadata": '{"team": "growth", "plan": "free"}'}])
    indexed = (
        "SELECT array_agg(property ORDER BY property) FROM token_tracker_properties WHERE covered_from = '-infinity'"
    )
    monkeypatch.setenv("TRACKER_PROPERTIES", "team, plan")
    assert main(["rollup", "--verify"]) == 0
    assert value(at.url, indexed) == ["plan", "team"]
    monkeypatch.setenv("TRACKER_PROPERTIES", "a,b,c,d,e,f")
    assert main(["rollup"]) == 2
    assert "up to 5 keys of metadata" in capsys.readouterr().err
    assert value(at.url, indexed) == ["plan", "team"]
    run(at.url, "DELETE FROM token_tracker_property_rollup WHERE property = 'plan'")
    monkeypatch.delenv("TRACKER_PROPERTIES")
    assert main(["rollup", "--verify"]) == 1
    assert "token_tracker_property_rollup: " in capsys.readouterr().out


def test_verify_prints_a_difference_and_exits_with_1_and_rebuild_corrects_it(
    at: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    at.add({"created_at": NOON, "model": "gpt-4"} for _ in range(3))
    assert main(["rollup"]) == 0
    run(at.url, "UPDATE token_tracker_usage_rollup SET total_tokens = 1 WHERE minutes = 15")
    assert main(["rollup", "--verify"]) == 1
    output = capsys.readouterr()
    assert "2026-03-10 12:00Z" in output.out
    assert "model gpt-4" in output.out
    assert "total_tokens is 1, the rows have 360" in output.out
    assert len(output.err.splitlines()) == 1
    assert main(["rollup", "--rebuild", "--verify"]) == 0


USER_COLUMNS = [
    (name, column)
    for name, columns in (
        (rollup_tables.USERS, rollup_tables.USER_COLUMNS),
        (rollup_tables.USER_DAYS, rollup_tables.USER_DAY_COLUMNS),
    )
    for column in columns
    if column.startswith(("slot", "calls", "total", "cost"))
]


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        *((rollup.table, tuple(rollup.totals)) for rollup in rollup_tables.ROLLUPS),
        *((table, (column,)) for table, column in USER_COLUMNS),
    ],
)
def test_verify_prints_each_column_that_differs(
    at: Store, table: str, columns: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    inconsistent = '{"usage_problem": "total_mismatch"}'
    timed = {"processing_time": 12, "delivery": "direct", "connection_ms": 3}
    at.add([{"created_at": NOON, "cost": 1, "metadata": inconsistent, **timed}])
    assert main(["rollup"]) == 0
    lists = [column for column in columns if "slot" in column or column == "counts"]
    wrong = ", ".join(f"{column} = {f'{column} || {column}' if column in lists else 77}" for column in columns)
    of_users = table in {rollup_tables.USERS, rollup_tables.USER_DAYS}
    run(at.url, f"UPDATE {table} SET {wrong} {'' if of_users else 'WHERE minutes = 15'}")
    capsys.readouterr()
    assert main(["rollup", "--verify"]) == 1
    output = capsys.readouterr()
    bucket = "2026-03-10 00:00Z" if of_users else "2026-03-10 12:00Z"
    lines = [line for line in output.out.splitlines() if line.startswith(f"{table}: ") and bucket in line]
    assert [column for column in columns if not any(f"{column} is " in line for line in lines)] == []
    assert len(output.err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["rollup", "--verify", "--since", "2026-02-30"],
        ["rollup", "--since", "2026-03-01"],
        ["rollup", "--rebuild", "--since", "yesterday"],
        ["prune", "--older-than", "90"],
        ["prune", "--older-than", "0d"],
        ["prune", "--older-than", "d"],
    ],
)
def test_invalid_arguments_exit_with_2(at: Store, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    at.call(created_at=days_ago(400))
    assert main(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert at.count("token_usage") == 1


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "2026-03-10"])
def test_rebuild_accepts_any_first_day(at: Store, day: str, capsys: pytest.CaptureFixture[str]) -> None:
    at.call(created_at=NOON)
    assert main(["rollup", "--rebuild", "--verify", "--since", day]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", [["rollup"], ["rollup", "--verify"], ["prune", "--older-than", "36500d"]])
def test_an_empty_table_is_no_error(at: Store, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 0
    assert capsys.readouterr().err == ""


def test_a_dry_run_prints_the_number_of_rows_and_deletes_none(at: Store, capsys: pytest.CaptureFixture[str]) -> None:
    at.add([{"created_at": days_ago(100)}, {"created_at": days_ago(10)}])
    assert main(["prune", "--older-than", "90d", "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("1 records are older (")
    assert at.count("token_usage") == 2


def test_prune_deletes_old_rows_and_keeps_all_totals(at: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH_ROWS", 7)
    at.add({"created_at": days_ago(100 - number // 10), "user_id": f"u{number % 7}"} for number in range(200))
    filters = Filters(start=days_ago(101), end=days_ago(0), timezone="Asia/Kathmandu")
    before = usage_totals.totals(at.reader, filters), usage_totals.trend(at.reader, filters)
    assert main(["prune", "--older-than", "13w"]) == 0
    assert at.count("token_usage") == 200 - 10 * 9
    assert usage_totals.totals(at.reader, filters) == before[0]
    assert usage_totals.trend(at.reader, filters).equals(before[1])
    assert usage_totals.extent(at.reader).first_at == days_ago(100)
    assert main(["rollup", "--rebuild", "--verify"]) == 0
    assert usage_totals.totals(at.reader, filters) == before[0]
    assert main(["prune", "--older-than", "13w"]) == 0
    detail_from = at.reader.freshness().detail_from
    assert detail_from is not None
    assert days_ago(93) < detail_from < days_ago(91)


def test_a_late_row_adds_to_a_pruned_day(at: Store) -> None:
    old = days_ago(100)
    at.add({"created_at": old} for _ in range(3))
    assert main(["prune", "--older-than", "90d"]) == 0
    filters = Filters(start=old - timedelta(days=1), end=old + timedelta(days=1))
    at.call(created_at=old)
    assert usage_totals.totals(at.reader, filters).calls == 4
    assert main(["rollup"]) == 0
    assert usage_totals.totals(at.reader, filters).calls == 4
    assert main(["prune", "--older-than", "90d"]) == 0
    assert usage_totals.totals(at.reader, filters).calls == 4
    assert at.differences() == []


def test_a_row_committed_during_a_batch_is_not_pruned(at: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    old = days_ago(100)
    at.call(created_at=old)
    original = pruning._copy_to_generation

    def insert_and_copy(*arguments: object) -> None:
        run(
            at.url,
            f"INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens, created_at) VALUES"
            f" ('late', 1, 2, 3, '{old.isoformat()}')",
        )
        original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pruning, "_copy_to_generation", insert_and_copy)
    assert main(["prune", "--older-than", "90d"]) == 0
    assert rows(at.url, "SELECT model FROM token_usage") == [("late",)]
    filters = Filters(start=old - timedelta(days=1), end=old + timedelta(days=1))
    assert usage_totals.totals(at.reader, filters).calls == 2


def test_no_writer_waits_for_a_prune(at: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH_ROWS", 20)
    at.add({"created_at": days_ago(100) + timedelta(minutes=number)} for number in range(100))
    original, batches = pruning._delete_rows, [0]
    insertion = "INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens, created_at) VALUES"

    def delete(*arguments: object) -> int:
        """Insert new and old rows after a batch deleted its rows and before it commits."""
        removed = original(*arguments)  # type: ignore[arg-type]
        batches[0] += 1
        run(
            at.url,
            "SET lock_timeout = '1ms'",
            f"{insertion} ('new', 1, 2, 3, now()), ('new', 1, 2, 3, '{days_ago(100).isoformat()}')",
            "UPDATE token_usage SET metadata = '{\"seen\": true}' WHERE model = 'new'",
        )
        return removed

    monkeypatch.setattr(pruning, "_delete_rows", delete)
    assert main(["prune", "--older-than", "90d"]) == 0
    assert batches[0] > 3
    assert at.count("token_usage", "model <> 'new'") == 0
    filters = Filters(start=days_ago(101), end=datetime.now(UTC) + timedelta(hours=1))
    assert usage_totals.totals(at.reader, filters).calls == 100 + 2 * batches[0]


def test_an_interrupted_prune_loses_no_call(at: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH_ROWS", 5)
    at.add({"created_at": days_ago(100) + timedelta(minutes=20 * number)} for number in range(30))
    filters = Filters(start=days_ago(102), end=days_ago(98))
    original, batches = pruning._delete_rows, [0]

    def delete(*arguments: object) -> int:
        batches[0] += 1
        if batches[0] == 3:
            raise KeyboardInterrupt
        return original(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(pruning, "_delete_rows", delete)
        assert main(["prune", "--older-than", "90d"]) == 130
    assert 0 < at.count("token_usage") < 30
    assert usage_totals.totals(at.reader, filters).calls == 30
    assert main(["prune", "--older-than", "90d"]) == 0
    assert usage_totals.totals(at.reader, filters).calls == 30
    assert value(at.url, "SELECT count(DISTINCT generation) FROM token_tracker_usage_rollup") == 2
