"""A CSV file of real calls: each row is stored once, and a wrong header or mapping stores nothing."""

from __future__ import annotations

import io
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from importing_support import AZURE, GOOD, HEADER, azure, sums
from support import ROOT, child_environment, rows, value

from tracker.cli import main
from tracker.importing.column_mapping import ColumnMapping
from tracker.importing.content_ids import ContentIds
from tracker.importing.csv_file import read_calls

# --- good rows ----------------------------------------------------------------------------------------------------


def test_counts_and_sums_are_those_of_the_file(write, load, database_url, capsys):
    assert load(write(azure(20)), *AZURE) == 0
    assert sums(database_url) == (20, sum(range(4808, 4828)), sum(range(10, 30)), sum(range(4818, 4858, 2)))
    assert "20 rows read: 20 recorded, 0 already there, 0 rejected." in capsys.readouterr().out


def test_the_same_file_twice_adds_nothing(write, load, database_url, capsys):
    file = write(azure())
    load(file, *AZURE)
    before = sums(database_url)
    assert load(file, *AZURE) == 0
    assert sums(database_url) == before
    assert "0 recorded, 20 already there" in capsys.readouterr().out


def test_a_file_that_grew_adds_what_is_new(write, load, database_url):
    load(write(azure(10)), *AZURE)
    assert load(write(azure(25)), *AZURE) == 0
    assert sums(database_url)[0] == 25


def test_equal_rows_in_one_file_both_count(write, load, database_url):
    file = write(HEADER + GOOD * 3)
    assert load(file) == 0
    assert load(file) == 0
    assert sums(database_url) == (3, 30, 15, 45)


def test_ids_do_not_depend_on_the_mapping_order_or_the_file_name(write, load, database_url):
    load(write(azure(), "a.csv"), *AZURE)
    load(write(azure(), "b.csv"), *reversed(AZURE))
    assert sums(database_url)[0] == 20


def test_times_with_seven_decimals_are_read_to_the_microsecond(write, load, database_url):
    assert load(write(azure(1)), *AZURE) == 0
    assert value(database_url, "SELECT created_at FROM token_usage") == datetime(2023, 11, 16, 18, 17, 0, 979960, UTC)


@pytest.mark.parametrize(
    "text",
    [
        HEADER + GOOD + GOOD,
        (HEADER + GOOD + GOOD).replace("\n", "\r\n"),
        (HEADER + GOOD + GOOD).rstrip("\n"),
        "\ufeff" + HEADER + GOOD + GOOD,
        ("\ufeff" + HEADER + GOOD + GOOD).replace("\n", "\r\n").rstrip(),
        HEADER + GOOD + "\n" + GOOD + "\n\n",
        '"created_at","model","input_tokens","output_tokens"\n' + GOOD + '"2026-03-01T10:00:00Z","gpt","10","5"\n',
        " created_at , model,input_tokens,output_tokens\n" + GOOD + "2026-03-01T10:00:00Z , gpt , 10 , 5 \n",
    ],
    ids=["LF", "CRLF", "no final newline", "BOM", "BOM and CRLF", "empty lines", "quoted", "spaces"],
)
def test_every_usual_way_to_write_a_csv_is_read_the_same(write, load, database_url, text):
    plain = write(HEADER + GOOD + GOOD, "plain.csv")
    assert load(write(text)) == 0
    assert load(plain) == 0
    assert sums(database_url) == (2, 20, 10, 30)


def test_every_column_can_be_imported(write, load, database_url):
    header = (
        "id,created_at,user_id,session_id,provider,model,operation,input_tokens,output_tokens,total_tokens,"
        "cache_read_input_tokens,cache_write_input_tokens,reasoning_output_tokens,cost,cost_source,processing_time,"
        "success,error_message,environment,platform,region,deployment,is_test,metadata\n"
    )
    row = (
        "01890a5d-ac96-774b-bcce-b302099a8057,2026-03-01T10:00:00+09:00,u,s,google,m,op,10,5,16,3,2,4,0.00012,own,250,"
        'no,"a, ""b""\n한국어",production,vercel,icn1,abc,yes,"{""a"": [1, ""ü""]}"\n'
    )
    assert load(write(header + row)) == 0
    (row,) = rows(database_url, f"SELECT {header.strip()} FROM token_usage")
    assert row == (
        "01890a5d-ac96-774b-bcce-b302099a8057", datetime(2026, 3, 1, 1, tzinfo=UTC), "u", "s", "google", "m", "op",
        10, 5, 16, 3, 2, 4, Decimal("0.00012"), "own", 250, False, 'a, "b"\n한국어',
        "production", "vercel", "icn1", "abc", True, {"a": [1, "ü"]},
    )  # fmt: skip


def test_empty_cells_take_the_defaults(write, load, database_url):
    assert (
        load(write("created_at,model,input_tokens,output_tokens,user_id,cost,success\n" + GOOD.strip() + ",,,\n")) == 0
    )
    assert rows(database_url, "SELECT user_id, cost, success FROM token_usage") == [("anonymous", None, True)]


def test_imported_rows_belong_to_no_instance_and_no_delivery(write, load, database_url):
    load(write(HEADER + GOOD))
    assert rows(database_url, "SELECT instance_id, sequence, delivery FROM token_usage") == [(None, None, None)]


def test_a_status_column_says_whether_the_call_succeeded(write, load, database_url):
    words = {"ok": True, "success": True, "Completed": True, "TRUE": True, "error": False, "failed": False, "0": False}
    rows = "".join(f"{GOOD.strip()},{word}\n" for word in words)
    assert load(write(f"{HEADER.strip()},status\n{rows}"), "--map=success=status") == 0
    succeeded = value(database_url, "SELECT count(*)::int FROM token_usage WHERE success")
    assert (sums(database_url)[0], succeeded) == (len(words), sum(words.values()))


@pytest.mark.parametrize("column", ["model", "user_id", "environment", "region"])
def test_a_nul_in_a_cell_is_replaced_as_in_a_recorded_call(write, load, database_url, column):
    plan = f"--map={column}=x"
    call = "2026-03-01T10:00:00Z,gpt,10,5,"
    text = f"created_at,m,input_tokens,output_tokens,x\n{call}a\x00b\n{call}c\n"
    model = [] if column == "model" else ["--map=model=m"]
    assert load(write(text), plan, *model) == 0
    assert rows(database_url, f"SELECT {column} FROM token_usage ORDER BY 1") == [("a\ufffdb",), ("c",)]


def test_an_imported_rows_id_is_a_uuid_of_version_8_that_sorts_by_time():
    lines = io.StringIO(HEADER + "".join(f"2026-03-01T10:00:{n:02}Z,gpt,1,1\n" for n in range(60)))
    _, calls = read_calls(lines, ColumnMapping())
    ids = [calls.row(place)["id"] for place in range(60)]
    assert {made.version for made in ids} == {8}
    assert {made.variant for made in ids} == {"specified in RFC 4122"}
    assert ids == sorted(ids)


def test_a_file_may_come_through_a_pipe(database_url):
    done = subprocess.run(
        [sys.executable, "-m", "tracker", "import", "/dev/stdin"],
        input=HEADER + GOOD * 2,
        cwd=ROOT,
        env=child_environment({"DATABASE_URL": database_url}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("2 rows read: 2 recorded, 0 already there, 0 rejected.\n", "")


def test_the_same_identity_at_another_time_is_another_call():
    times = [datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=number) for number in range(3)]
    one, other = ContentIds(), ContentIds()
    assert [one.derive("same", time) for time in times] == [other.derive("same", time) for time in reversed(times)][
        ::-1
    ]


# --- times without a zone -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "naive", "expected"),
    [
        (None, "2026-03-01T12:00:00", "2026-03-01T12:00:00"),
        ("Asia/Seoul", "2026-03-01T12:00:00", "2026-03-01T03:00:00"),
        ("Europe/Berlin", "2026-01-15T12:00:00", "2026-01-15T11:00:00"),
        ("Europe/Berlin", "2026-07-15T12:00:00", "2026-07-15T10:00:00"),  # summer time
        ("Europe/Berlin", "2026-10-25T01:59:59", "2026-10-24T23:59:59"),
        ("Europe/Berlin", "2026-10-25T03:00:00", "2026-10-25T02:00:00"),
        ("Asia/Kathmandu", "2026-03-01", "2026-02-28T18:15:00"),
    ],
)
def test_a_time_without_a_zone_is_in_the_given_zone(write, load, database_url, zone, naive, expected):
    options = [f"--timezone={zone}"] if zone else []
    assert load(write(f"{HEADER}{naive},gpt,1,1\n"), *options) == 0
    assert value(database_url, "SELECT created_at FROM token_usage") == datetime.fromisoformat(expected + "+00:00")


def test_a_time_with_a_zone_keeps_its_zone(write, load, database_url):
    assert load(write(HEADER + "2026-03-01T12:00:00-05:00,gpt,1,1\n"), "--timezone=Asia/Seoul") == 0
    assert value(database_url, "SELECT created_at FROM token_usage") == datetime(2026, 3, 1, 17, tzinfo=UTC)


def test_an_unknown_zone_exits_2(write, load, capsys):
    assert load(write(HEADER + GOOD), "--timezone=Asia/Soul") == 2
    assert "Asia/Soul" in capsys.readouterr().err


# --- errors before the first row is stored ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (azure(), AZURE[1:], "created_at"),
        (azure(), AZURE[:3], "model"),
        (azure(), [*AZURE, "--map=user_id=User"], "no header 'User'"),
        (azure(), [*AZURE, "--map=tokens=ContextTokens"], "no column 'tokens'"),
        (azure(), [*AZURE, "--map=sequence=ContextTokens"], "no column 'sequence'"),
        (azure(), [*AZURE, "--set=success=perhaps"], "success is 'perhaps'"),
        (azure(), [*AZURE, "--set=model=a"], "names 'model' twice"),
        (azure(), [*AZURE, "--map=nonsense"], "--map is 'nonsense'"),
        (azure(), [*AZURE, "--set==x"], "--set is"),
        ("created_at,model,model,input_tokens,output_tokens\n", [], "more than one header 'model'"),
        ("", [], "empty"),
        ("\n\n", [], "empty"),
        ('"unclosed\n', [], "can't be read as CSV"),
        (b"\xff\xfec\x00r\x00e\x00a\x00t\x00e\x00d\x00", [], "created_at"),
    ],
)
def test_a_header_or_mapping_that_is_wrong_is_exit_2_and_nothing_is_written(
    write, load, database_url, capsys, text, options, message
):
    assert load(write(text), *options) == 2
    assert sums(database_url)[0] == 0
    output = capsys.readouterr()
    assert message in output.err
    assert len(output.err.splitlines()) == 1
    assert not list(Path().glob("*.rejects.csv"))


def test_a_wrong_header_is_reported_before_a_connection_is_opened(write, monkeypatch, capsys):
    monkeypatch.setenv("DATABASE_URL", "postgresql://u@127.0.0.1:1/db")
    assert main(["import", write("a,b\n1,2\n")]) == 2
    assert "127.0.0.1" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["no-such-file.csv", "."])
def test_a_file_that_cannot_be_read_is_one_line(load, tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    assert load(name) != 0
    assert len(capsys.readouterr().err.splitlines()) == 1
