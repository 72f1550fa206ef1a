"""Importing a file again after its rows were pruned adds no row; new rows are still imported."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rollups_support import Store
from support import a_call, value

from tracker.cli import main
from tracker.recording import record_log

HEADER = "created_at,model,user_id,operation,input_tokens,output_tokens"
OLD = datetime.now(UTC).replace(hour=12, minute=5) - timedelta(days=200)
SUMS = "SELECT sum(calls) FROM token_tracker_usage_rollup WHERE minutes = 1440"


@pytest.fixture
def at(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    monkeypatch.setenv("DATABASE_URL", store.url)
    monkeypatch.chdir(tmp_path)
    return store


def csv_file(*times: datetime) -> str:
    lines = [f"{time.isoformat()},gpt,u,chat,{number},1" for number, time in enumerate(times)]
    Path("calls.csv").write_text("\n".join([HEADER, *lines, ""]))
    return "calls.csv"


def test_the_same_file_after_prune_adds_no_row(at: Store, capsys: pytest.CaptureFixture[str]) -> None:
    file = csv_file(OLD, OLD, OLD + timedelta(hours=5), datetime.now(UTC))
    assert main(["import", file]) == 0
    assert main(["prune", "--older-than", "90d"]) == 0
    capsys.readouterr()
    for _ in range(2):
        assert main(["import", file]) == 1
        output = capsys.readouterr()
        assert "4 rows read: 0 recorded, 1 already there, 3 rejected" in output.out
        assert "were pruned" in output.err
        assert main(["rollup"]) == 0
        assert value(at.url, SUMS) == 4
        assert main(["rollup", "--verify"]) == 0
        capsys.readouterr()
    rejected = Path("calls.rejects.csv").read_text()
    assert rejected.count("were pruned") == 3


def test_the_same_rows_as_gzip_are_rejected_too(at: Store) -> None:
    file = csv_file(OLD)
    assert main(["import", file]) == 0
    assert main(["prune", "--older-than", "90d"]) == 0
    Path("calls.csv.gz").write_bytes(gzip.compress(Path(file).read_bytes()))
    assert main(["import", "calls.csv.gz"]) == 1
    assert value(at.url, "SELECT count(*) FROM token_usage") == 0


def test_a_bucket_without_pruned_calls_accepts_rows(at: Store) -> None:
    main(["import", csv_file(OLD)])
    main(["prune", "--older-than", "90d"])
    assert main(["import", csv_file(OLD + timedelta(hours=1), OLD - timedelta(days=30))]) == 0
    assert value(at.url, "SELECT count(*) FROM token_usage") == 2


def test_new_rows_of_a_pruned_bucket_are_added_on_demand(at: Store) -> None:
    main(["import", csv_file(OLD)])
    main(["prune", "--older-than", "90d"])
    file = csv_file(OLD + timedelta(minutes=1))
    assert main(["import", file]) == 1
    assert value(at.url, "SELECT count(*) FROM token_usage") == 0
    assert main(["import", file, "--add-to-pruned"]) == 0
    assert value(at.url, "SELECT count(*) FROM token_usage") == 1
    assert main(["import", file]) == 0  # it is in the table


def test_rows_before_and_after_a_rejected_row_are_stored_in_each_block(
    at: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.importing.row_builder.BLOCK_ROWS", 2)
    main(["import", csv_file(OLD)])
    main(["prune", "--older-than", "90d"])
    recent = [datetime.now(UTC) - timedelta(minutes=minute) for minute in range(7)]
    assert main(["import", csv_file(OLD, *recent[:3], OLD, *recent[3:], OLD)]) == 1
    assert value(at.url, "SELECT count(*) FROM token_usage") == 7


def test_a_log_after_prune_adds_no_row(
    at: Store, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    row = a_call(created_at=OLD).as_row()
    with caplog.at_level("ERROR", "tracker"):
        record_log.log_full_record("failed", row, "The database was away.", 2)
    Path("app.log").write_text(caplog.messages[-1] + "\n")
    replay = ["import", "app.log", "--profile", "tracker-log"]
    assert main(replay) == 0
    assert main(replay) == 0
    assert main(["prune", "--older-than", "90d"]) == 0
    capsys.readouterr()
    assert main(replay) == 1
    assert "line 1: calls of this 15-minute bucket were pruned" in capsys.readouterr().err
    assert value(at.url, "SELECT count(*) FROM token_usage") == 0
    assert main([*replay, "--add-to-pruned"]) == 0
