"""Rows by COPY: everything that INSERT takes, once, and a refused row stops nobody else's."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from support import ROOT, a_call, child_environment, connect, eventually, rows, run, set_default, value

from tracker.cli import main
from tracker.database.url import clean
from tracker.importing import csv_file
from tracker.importing.column_mapping import ColumnMapping
from tracker.importing.csv_file import read_calls
from tracker.importing.occurrence_counter import OccurrenceCounter
from tracker.recording.copy import CopyWriter

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


COLUMNS = ("id", "created_at", "model", "user_id", "metadata", "cost", "input_tokens", "output_tokens")


def as_csv(calls) -> io.StringIO:
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for call in calls:
        writer.writerow(json.dumps(v) if isinstance(v := getattr(call, name), dict) else v for name in COLUMNS)
    file.seek(0)
    return file


def copy_all(url: str, calls):
    """Import calls; what became of them, and those that were refused."""
    calls = list(calls)
    found = read_calls(as_csv(calls), ColumnMapping())
    next(found)
    with closing(connect(url)) as connection, CopyWriter(connection, None) as writer:
        refused = [refusal for some in found for refusal in writer.add(some)]
        refused += writer.flush()
        by_id = {str(call.id): call for call in calls}
        return writer, [by_id[cells[0]] for (_, cells), _ in refused]


text = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).map(str.strip).filter(bool)
)


@hypothesis_settings(max_examples=40)
@given(
    name=text,
    note=st.dictionaries(text, text, max_size=2),
    cost=st.one_of(st.none(), st.decimals(0, 100, places=12)),
    at=st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001
)
def test_every_value_of_a_record_is_stored_unchanged(database_url, name, note, cost, at):
    call = a_call(model=name, user_id=name[:100], metadata=note, cost=cost, created_at=at.replace(tzinfo=UTC))
    writer, refused = copy_all(database_url, [call])
    assert (writer.new, refused) == (1, [])
    (found,) = rows(
        database_url,
        "SELECT model, user_id, metadata, cost, created_at, is_test, session_id FROM token_usage WHERE id = %s",
        (str(call.id),),
    )
    assert found == (call.model, call.user_id, call.metadata, cost, call.created_at, False, None)


def test_what_is_there_already_is_counted_as_known(database_url):
    calls = [a_call() for _ in range(5)]
    copy_all(database_url, calls[:3])
    writer, _ = copy_all(database_url, calls)
    assert (writer.new, writer.known, writer.count) == (2, 3, 5)


def test_a_refused_row_does_not_prevent_the_others(database_url, monkeypatch):
    monkeypatch.setattr(csv_file, "BLOCK_ROWS", 4)
    run(database_url, "ALTER TABLE token_usage ADD CHECK (model <> 'bad')")
    calls = [a_call(model="bad" if number % 4 == 1 else "good") for number in range(11)]
    writer, refused = copy_all(database_url, calls)
    assert refused == [call for call in calls if call.model == "bad"]
    assert writer.new == value(database_url, "SELECT count(*) FROM token_usage") == 8


def test_a_row_that_a_trigger_swallows_is_refused_and_what_is_there_is_known(database_url, monkeypatch):
    monkeypatch.setattr(csv_file, "BLOCK_ROWS", 4)
    calls = [a_call(model="bad" if number % 3 == 1 else "good") for number in range(11)]
    copy_all(database_url, calls[:1])
    run(
        database_url,
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$",
        "CREATE TRIGGER swallow BEFORE INSERT ON token_usage FOR EACH ROW WHEN (NEW.model = 'bad')"
        " EXECUTE FUNCTION swallow()",
    )
    writer, refused = copy_all(database_url, calls)
    assert refused == [call for call in calls if call.model == "bad"]
    assert (writer.new, writer.known, writer.count) == (6, 1, 7)


def test_a_role_that_may_make_no_temporary_table_stores_them_too(database_url, limited_url):
    run(database_url, f"REVOKE TEMPORARY ON DATABASE {clean(database_url).dbname} FROM PUBLIC")
    writer, refused = copy_all(limited_url, [a_call() for _ in range(3)])
    assert (writer.new, refused) == (3, [])


@pytest.mark.pooler
def test_it_works_behind_a_transaction_pooler(database_url, pooler, monkeypatch):
    monkeypatch.setattr(csv_file, "BLOCK_ROWS", 2)
    writer, _ = copy_all(pooler(database_url), [a_call() for _ in range(9)])
    assert writer.new == 9


def test_a_table_without_time_zones_and_with_generated_columns_accepts_them(empty_database_url):
    from tracker.database.migrate import migrate

    run(
        empty_database_url,
        "CREATE TABLE token_usage (id uuid PRIMARY KEY, model text, input_tokens integer, output_tokens integer,"
        " total_tokens integer GENERATED ALWAYS AS (input_tokens + output_tokens) STORED, created_at timestamp)",
    )
    migrate(lambda: connect(empty_database_url), timezone="Asia/Seoul")
    set_default(empty_database_url, "timezone = 'America/New_York'")
    copy_all(empty_database_url, [a_call(created_at=NOON, cost=Decimal("0.1"))])
    assert rows(empty_database_url, "SELECT created_at::text, total_tokens FROM token_usage") == [
        ("2026-03-10 21:00:00", 976)
    ]


# --- the command --------------------------------------------------------------------------------------------------


def test_equal_rows_far_apart_are_counted_in_constant_memory():
    seen = OccurrenceCounter(window=10)
    numbers = [seen.count(number % 37, bytes([number % 37]) * 32) for number in range(37 * 5)]
    assert numbers == [1 + number // 37 for number in range(37 * 5)]
    assert len(seen._recent) < 10


@hypothesis_settings(max_examples=150)
@given(rows=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), max_size=80), window=st.integers(2, 12))
@example(rows=[(5, n % 4) for n in range(60)], window=10)
@example(rows=[(n // 3, n % 2) for n in range(80)], window=10)
def test_occurrences_are_counted_in_any_order_of_times(rows, window):
    seen, before = OccurrenceCounter(window), Counter()
    for time, content in rows:
        before[time, content] += 1
        assert seen.count(time, bytes([time, content]) * 16) == before[time, content]


def big_file(path, count: int) -> None:
    lines = [f"{(NOON + timedelta(seconds=number)).isoformat()},gpt,{number % 97},5\n" for number in range(count)]
    path.write_text("created_at,model,input_tokens,output_tokens\n" + "".join(lines))


def slow_down(url: str) -> None:
    """Let each block take half a second, so that a signal meets an import in its middle."""
    run(
        url,
        "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END$$",
        "CREATE TRIGGER slowly AFTER INSERT ON token_usage EXECUTE FUNCTION slowly()",
    )


def test_a_killed_import_can_be_continued(database_url, tmp_path):
    big_file(tmp_path / "calls.csv", 60_000)
    slow_down(database_url)
    command = [sys.executable, "-m", "tracker", "import", str(tmp_path / "calls.csv")]
    environment = child_environment({"DATABASE_URL": database_url})
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE) as process:
        eventually(lambda: value(database_url, "SELECT count(*) FROM token_usage") > 0, 60)
        process.send_signal(signal.SIGKILL)
    stored = value(database_url, "SELECT count(*) FROM token_usage")
    assert 0 < stored < 60_000
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == f"60000 rows read: {60_000 - stored} recorded, {stored} already there, 0 rejected.\n"


def test_an_interrupted_import_reports_the_stored_rows(database_url, tmp_path):
    big_file(tmp_path / "calls.csv", 60_000)
    slow_down(database_url)
    command = [sys.executable, "-m", "tracker", "import", str(tmp_path / "calls.csv")]
    environment = child_environment({"DATABASE_URL": database_url})
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        eventually(lambda: value(database_url, "SELECT count(*) FROM token_usage") > 0, 60)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    stored = value(database_url, "SELECT count(*) FROM token_usage")
    assert process.returncode == 130
    assert 0 < stored < 60_000
    assert f"Interrupted; {stored} rows are recorded. The same command adds the rest." in said


def test_each_invalid_row_of_a_file_is_rejected(database_url, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setattr(csv_file, "BLOCK_ROWS", 3)
    monkeypatch.chdir(tmp_path)
    run(database_url, "ALTER TABLE token_usage ADD CHECK (input_tokens <> 6)")
    big_file(tmp_path / "calls.csv", 10)
    with (tmp_path / "calls.csv").open("a") as file:
        file.write("yesterday,gpt,1,1\n2026-03-10,gpt,-1,1\n")
    assert main(["import", "calls.csv"]) == 1
    assert "12 rows read: 9 recorded, 0 already there, 3 rejected." in capsys.readouterr().out
    lines = (tmp_path / "calls.rejects.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["line", "8", "12", "13"]


def test_ids_are_what_they_were(database_url, tmp_path, monkeypatch, capsys):
    """An id is made of the content: a file that was imported by an earlier version must add nothing."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    (tmp_path / "calls.csv").write_text(
        "created_at,model,input_tokens,output_tokens,user_id\n" + "2026-03-01T10:00:00Z,gpt,10,5,é\n" * 2
    )
    assert main(["import", str(tmp_path / "calls.csv"), "--set", "operation=chat"]) == 0
    found = sorted(UUID(id_) for (id_,) in rows(database_url, "SELECT id FROM token_usage"))
    assert [str(id_) for id_ in found] == IDS


IDS = ["019ca8d7-2d00-8c83-a8c8-dbe0d6c9022e", "019ca8d7-2d00-8d75-9c77-3debb5a95de0"]
