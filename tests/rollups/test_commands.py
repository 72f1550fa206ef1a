"""token-tracker rollup and prune, as a person calls them."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from rollups_support import Store
from support import rows, run, value

from tracker.cli import main
from tracker.reports import Filters, usage
from tracker.rollups import prune as pruning

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
ASKED = Filters(start=NOON - timedelta(days=3), end=NOON + timedelta(days=3))


@pytest.fixture
def at(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store, as the command line's database."""
    monkeypatch.setenv("DATABASE_URL", store.url)
    return store


def days_ago(days: int) -> datetime:
    return datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=days)


def test_rollup_covers_everything_and_then_has_nothing_to_do(at: Store, capsys: pytest.CaptureFixture[str]) -> None:
    at.add({"created_at": NOON + timedelta(days=day)} for day in range(4))
    assert main(["rollup"]) == 0
    assert at.state().complete
    assert main(["rollup", "--verify"]) == 0
    said = capsys.readouterr()
    assert "Every figure agrees with the rows." in said.out
    assert said.err == ""


def test_verify_names_a_difference_and_is_exit_1_and_rebuild_mends_it(
    at: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    at.add({"created_at": NOON, "model": "gpt-4"} for _ in range(3))
    assert main(["rollup"]) == 0
    run(at.url, "UPDATE token_tracker_usage_rollup SET total_tokens = 1 WHERE minutes = 15")
    assert main(["rollup", "--verify"]) == 1
    said = capsys.readouterr()
    assert "2026-03-10 12:00Z" in said.out
    assert "model gpt-4" in said.out
    assert "total_tokens is 1, the rows have 360" in said.out
    assert len(said.err.splitlines()) == 1
    assert main(["rollup", "--rebuild", "--verify"]) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["rollup", "--since", "2026-03-01"],
        ["rollup", "--rebuild", "--since", "yesterday"],
        ["prune", "--older-than", "90"],
        ["prune", "--older-than", "0d"],
        ["prune", "--older-than", "d"],
    ],
)
def test_a_call_that_cannot_be_right_is_exit_2(
    at: Store, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    at.call(created_at=days_ago(400))
    assert main(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert at.count("token_usage") == 1


def test_a_dry_run_says_what_would_go_and_removes_nothing(at: Store, capsys: pytest.CaptureFixture[str]) -> None:
    at.add([{"created_at": days_ago(100)}, {"created_at": days_ago(10)}])
    assert main(["prune", "--older-than", "90d", "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("1 records are older (")
    assert at.count("token_usage") == 2


def test_prune_removes_old_rows_and_every_chart_stays(at: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH_ROWS", 7)
    at.add({"created_at": days_ago(100 - number // 10), "user_id": f"u{number % 7}"} for number in range(200))
    asked = Filters(start=days_ago(101), end=days_ago(0), timezone="Asia/Kathmandu")
    before = usage.totals(at.reader, asked), usage.trend(at.reader, asked)
    assert main(["prune", "--older-than", "13w"]) == 0
    assert at.count("token_usage") == 200 - 10 * 9
    assert usage.totals(at.reader, asked) == before[0]
    assert usage.trend(at.reader, asked).equals(before[1])
    assert usage.extent(at.reader).first_at == days_ago(100)
    assert main(["rollup", "--rebuild", "--verify"]) == 0
    assert usage.totals(at.reader, asked) == before[0]
    assert main(["prune", "--older-than", "13w"]) == 0
    detail_from = at.reader.standing().detail_from
    assert detail_from is not None
    assert days_ago(93) < detail_from < days_ago(91)


def test_a_late_row_adds_to_a_pruned_day(at: Store) -> None:
    old = days_ago(100)
    at.add({"created_at": old} for _ in range(3))
    assert main(["prune", "--older-than", "90d"]) == 0
    asked = Filters(start=old - timedelta(days=1), end=old + timedelta(days=1))
    at.call(created_at=old)
    assert usage.totals(at.reader, asked).calls == 4
    assert main(["rollup"]) == 0
    assert usage.totals(at.reader, asked).calls == 4
    assert main(["prune", "--older-than", "90d"]) == 0
    assert usage.totals(at.reader, asked).calls == 4
    assert at.differences() == []


def test_a_row_that_is_committed_during_a_batch_is_not_pruned_uncounted(
    at: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = days_ago(100)
    at.call(created_at=old)
    original = pruning._freeze

    def freeze(*arguments: object) -> None:
        run(
            at.url,
            f"INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens, created_at) VALUES"
            f" ('late', 1, 2, 3, '{old.isoformat()}')",
        )
        original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pruning, "_freeze", freeze)
    assert main(["prune", "--older-than", "90d"]) == 0
    assert rows(at.url, "SELECT model FROM token_usage") == [("late",)]
    asked = Filters(start=old - timedelta(days=1), end=old + timedelta(days=1))
    assert usage.totals(at.reader, asked).calls == 2


def test_writers_go_on_while_rows_are_pruned(at: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH_ROWS", 20)
    at.add({"created_at": days_ago(100) + timedelta(minutes=number)} for number in range(600))
    stop, slowest = threading.Event(), [0.0]

    def write() -> None:
        with psycopg2.connect(at.url) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            while not stop.is_set():
                began = datetime.now(UTC)
                cursor.execute(
                    "INSERT INTO token_usage (model, input_tokens, output_tokens, total_tokens) VALUES ('new', 1, 2, 3)"
                )
                slowest[0] = max(slowest[0], (datetime.now(UTC) - began).total_seconds())
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert main(["prune", "--older-than", "90d"]) == 0
    finally:
        stop.set()
        writer.join()
    assert at.count("token_usage", "model <> 'new'") == 0
    assert slowest[0] < 2


def test_a_prune_that_dies_half_way_has_lost_nothing(at: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH_ROWS", 5)
    at.add({"created_at": days_ago(100) + timedelta(minutes=20 * number)} for number in range(30))
    asked = Filters(start=days_ago(102), end=days_ago(98))
    original, batches = pruning._delete, [0]

    def delete(*arguments: object) -> int:
        batches[0] += 1
        if batches[0] == 3:
            raise KeyboardInterrupt
        return original(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(pruning, "_delete", delete)
        assert main(["prune", "--older-than", "90d"]) == 130
    assert 0 < at.count("token_usage") < 30
    assert usage.totals(at.reader, asked).calls == 30
    assert main(["prune", "--older-than", "90d"]) == 0
    assert usage.totals(at.reader, asked).calls == 30
    assert value(at.url, "SELECT count(DISTINCT generation) FROM token_tracker_usage_rollup") == 2
