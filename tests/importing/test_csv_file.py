"""A CSV file of real calls: good rows in, each once; broken rows out, each with its line and reason."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path

import pytest
from support import ROOT, child_environment, python, rows, run, value

from tracker.cli import main
from tracker.importing import cell_parsers, csv_file
from tracker.importing.column_mapping import ColumnMapping
from tracker.importing.content_ids import ContentIds
from tracker.importing.csv_file import read_calls
from tracker.importing.row_builder import Reject, RowBlock
from tracker.recording.bulk_insert import BATCH_ROWS

# Two real traces of an Azure LLM service, 28,185 calls, if they are next to the work tree.
AZURE = (
    "--map=created_at=TIMESTAMP",
    "--map=input_tokens=ContextTokens",
    "--map=output_tokens=GeneratedTokens",
    "--set=model=gpt-4",
)
HEADER = "created_at,model,input_tokens,output_tokens\n"
GOOD = "2026-03-01T10:00:00Z,gpt,10,5\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a file into a fresh working directory."""
    monkeypatch.chdir(tmp_path)

    def write(text: str | bytes, name: str = "calls.csv") -> str:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return write


@pytest.fixture
def load(monkeypatch, database_url):
    """Runs `token-tracker import` on the fresh, migrated database."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    return lambda *arguments: main(["import", *map(str, arguments)])


def azure(lines: int = 20) -> str:
    body = "".join(f"2023-11-16 18:17:{n % 60:02}.9799600,{4808 + n},{10 + n}\n" for n in range(lines))
    return "TIMESTAMP,ContextTokens,GeneratedTokens\n" + body


def sums(url: str) -> tuple:
    return rows(url, "SELECT count(*), sum(input_tokens), sum(output_tokens), sum(total_tokens) FROM token_usage")[0]


def rejects(path: str = "calls.rejects.csv") -> list[list[str]]:
    with Path(path).open(newline="") as file:
        return list(csv.reader(file))


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


# --- broken rows --------------------------------------------------------------------------------------------------

BROKEN = [
    ("2026-03-01T10:00:00Z,gpt,-1,5", "input_tokens is -1"),
    ("2026-03-01T10:00:00Z,gpt,ten,5", "input_tokens is 'ten'"),
    ("2026-03-01T10:00:00Z,gpt,1.5,5", "input_tokens is '1.5'"),
    ("2026-03-01T10:00:00Z,gpt,NaN,5", "input_tokens is 'NaN'"),
    ("2026-03-01T10:00:00Z,gpt,Infinity,5", "input_tokens is 'Infinity'"),
    ("2026-03-01T10:00:00Z,gpt,1e400000000,5", "input_tokens"),
    ("2026-03-01T10:00:00Z,gpt,,5", "input_tokens is empty"),
    ("2026-03-01T10:00:00Z,gpt,3000000000,5", "input_tokens is 3000000000"),
    ("yesterday,gpt,10,5", "created_at is 'yesterday'"),
    (",gpt,10,5", "created_at is empty"),
    ("2026-02-30T10:00:00Z,gpt,10,5", "created_at is '2026-02-30T10:00:00Z'"),
    ("0001-01-01T00:00:00+09:00,gpt,10,5", "created_at"),
    ("2026-03-01T10:00:00Z,,10,5", "model"),
    ("2026-03-01T10:00:00Z,gpt,10", "3 cells where the header has 4"),
    ("2026-03-01T10:00:00Z,gpt,10,5,6", "5 cells where the header has 4"),
    ('2026-03-01T10:00:00Z,"g"pt,10,5', "not readable as CSV"),
    (b"2026-03-01T10:00:00Z,caf\xe9,10,5", "model is"),
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("line", "reason"), BROKEN, ids=[reason for _, reason in BROKEN])
def test_a_broken_row_is_rejected_with_its_line_and_reason_and_the_good_ones_are_in(
    write, load, database_url, capsys, line, reason
):
    line = line if isinstance(line, bytes) else line.encode()
    assert load(write((HEADER + GOOD).encode() + line + b"\n" + GOOD.encode())) == 1
    assert sums(database_url) == (2, 20, 10, 30)
    header, row = rejects()
    assert header[:2] == ["line", "reason"]
    assert row[0] == "3"
    assert reason in row[1]
    output = capsys.readouterr()
    assert "2 recorded, 0 already there, 1 rejected." in output.out
    assert "calls.rejects.csv" in output.err
    assert reason in output.err


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("cost", "free", "cost is 'free'"),
        ("cost", "-0.1", "cost is -0.1"),
        ("success", "perhaps", "success is 'perhaps'"),
        ("metadata", "[1]", "metadata is '[1]'"),
        ("metadata", '"{""a"": NaN}"', "metadata"),
        ("metadata", '"' + '{""a"":' * 5000 + '"', "metadata"),
        ("id", "42", "id is '42'"),
        ("total_tokens", "3", "total_tokens is 3"),
        ("cache_read_input_tokens", "11", "above input_tokens"),
        ("user_id", "u" * 70_000, "user_id"),
        ("environment", "caf\udce9", "environment is"),
    ],
)
def test_a_broken_cell_of_an_optional_column_is_rejected_too(write, load, database_url, column, cell, reason):
    text = f"{HEADER.strip()},{column}\n{GOOD.strip()},\n{GOOD.strip()},{cell}\n{GOOD.strip()},\n"
    assert load(write(text.encode("utf-8", "surrogateescape"))) == 1
    assert sums(database_url)[0] == 2
    assert rejects()[1][0] == "3"
    assert reason in rejects()[1][1]


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


def test_lines_are_counted_as_an_editor_counts_them(write, load):
    text = HEADER + '2026-03-01T10:00:00Z,"g\npt\n",10,5\n\n' + "broken,gpt,10,5\n"
    assert load(write(text)) == 1
    assert rejects()[1][0] == "6"


def test_a_quote_that_is_never_closed_is_a_reject_at_the_line_where_it_begins(write, load, database_url):
    assert load(write(HEADER + GOOD + '2026-03-01T10:00:00Z,"gpt,10,5\n')) == 1
    assert sums(database_url)[0] == 1
    assert rejects()[1][0] == "3"


def test_a_row_that_a_constraint_refuses_is_rejected_and_the_others_are_stored(write, load, database_url):
    run(database_url, "ALTER TABLE token_usage ADD CONSTRAINT known CHECK (model <> 'gpt-2')")
    assert load(write(HEADER + GOOD + GOOD.replace("gpt", "gpt-2") + GOOD)) == 1
    assert sums(database_url)[0] == 2
    assert rejects()[1][0] == "3"
    assert "known" in rejects()[1][1]


def test_the_rejects_file_can_be_named(write, load, tmp_path):
    assert load(write(HEADER + "broken,gpt,1,1\n"), f"--rejects={tmp_path / 'bad rows.csv'}") == 1
    assert rejects(tmp_path / "bad rows.csv")[1][2] == "broken,gpt,1,1"
    assert not Path("calls.rejects.csv").exists()


def test_a_file_without_a_broken_row_creates_no_rejects_file(write, load):
    load(write(HEADER + GOOD))
    assert not Path("calls.rejects.csv").exists()


@pytest.mark.parametrize("link", [None, "symlink", "hardlink"])
def test_rejects_never_overwrite_the_file_they_come_from(write, load, database_url, capsys, link):
    text = HEADER + GOOD + "broken,gpt,1,1\n"
    file = write(text)
    other = Path("other.csv") if link else Path(file)
    if link:
        getattr(other, f"{link}_to")(Path(file).resolve())
    assert load(file, f"--rejects={other}") == 2
    assert "overwrite" in capsys.readouterr().err
    assert Path(file).read_text() == text
    assert sums(database_url)[0] == 0


def test_the_usual_rejects_file_may_be_a_link_to_the_file_too(write, load, capsys):
    file = write(HEADER + "broken,gpt,1,1\n")
    Path("calls.rejects.csv").symlink_to(file)
    assert load(file) == 2
    assert "overwrite" in capsys.readouterr().err


@pytest.mark.parametrize("path", [".", "nowhere/rejects.csv", "calls.csv/rejects.csv", "{read_only}/rejects.csv"])
def test_a_rejects_file_that_cannot_be_written_is_exit_2_and_nothing_is_stored(
    write, load, database_url, capsys, read_only, path
):
    assert load(write(HEADER + GOOD), f"--rejects={path.format(read_only=read_only)}") == 2
    output = capsys.readouterr().err
    assert "--rejects" in output
    assert len(output.splitlines()) == 1
    assert sums(database_url)[0] == 0


def test_a_corrected_rejects_row_adds_itself_alone(write, load, database_url):
    load(write(HEADER + GOOD + "broken,gpt,1,1\n"))
    assert load(write(HEADER + GOOD + "2026-03-02T10:00:00Z,gpt,1,1\n")) == 0
    assert sums(database_url)[0] == 2


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


# --- in bulk ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_last_batch_of_any_size_is_stored(write, load, database_url, extra):
    assert load(write(azure(BATCH_ROWS + extra)), *AZURE) == 0
    assert sums(database_url)[0] == BATCH_ROWS + extra


def test_a_refused_row_in_a_full_batch_takes_no_other_row_with_it(write, load, database_url):
    run(database_url, "ALTER TABLE token_usage ADD CONSTRAINT small CHECK (input_tokens <> 5000)")
    assert load(write(azure(BATCH_ROWS + 10)), *AZURE) == 1
    assert sums(database_url)[0] == BATCH_ROWS + 9
    assert rejects()[1][0] == str(5000 - 4808 + 2)


def test_rows_are_read_in_blocks_and_not_kept(write, monkeypatch):
    monkeypatch.setattr(csv_file, "BLOCK_ROWS", 1000)
    monkeypatch.setattr(cell_parsers, "_MAX_CACHED_CHARACTERS", 1000)
    file = write(azure(20_000))
    plan = ColumnMapping(
        {"created_at": "TIMESTAMP", "input_tokens": "ContextTokens", "output_tokens": "GeneratedTokens"}, {"model": "m"}
    )
    with Path(file).open(newline="") as text:
        calls = read_calls(text, plan)
        tracemalloc.start()
        peaks = []
        for _ in range(2):
            tracemalloc.reset_peak()
            assert sum(isinstance(call, RowBlock) for call in islice(calls, 10)) >= 9
            peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 10_000 * 250  # bytes a row: the digests that tell equal rows apart


@pytest.mark.parametrize("broken", ['2026-03-01T10:00:00Z,"gpt,10,5\n', '"2026-03-01T10:00:00Z,gpt,10,5\n', 'a"b,"\n'])
@pytest.mark.parametrize("after", [3, 300])
def test_a_stray_quote_rejects_only_its_line(write, load, database_url, broken, after):
    quoted = '2026-03-02T10:00:00Z,"g""p,\nt",10,5\n'
    file = write(HEADER + GOOD + broken + GOOD * after + quoted + GOOD)
    assert load(file) == 1
    assert value(database_url, "SELECT count(*) FROM token_usage") == after + 3
    assert [line[0] for line in rejects()[1:]] == ["3"]


def test_a_line_without_an_end_is_not_read_into_memory(write, load, capsys):
    file = write("x" * 3_000_000)
    assert load(file, "--set=model=m") == 2
    assert "longer than" in capsys.readouterr().err


def test_a_block_knows_the_line_of_each_row():
    lines = io.StringIO(HEADER + GOOD + "x\n")
    nothing, reject, calls = read_calls(lines, ColumnMapping())
    assert nothing is None
    assert isinstance(reject, Reject)
    assert isinstance(calls, RowBlock)
    assert (calls.source(0)[0], reject.line) == (2, 3)


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


def test_many_stray_quotes_do_not_enlarge_a_block(monkeypatch):
    monkeypatch.setattr(csv_file, "BLOCK_ROWS", 500)
    body = (GOOD * 99 + '2026-03-01T10:00:00Z,gpt,1,"bad\n') * 50
    blocks = list(islice(read_calls(io.StringIO(HEADER + body), ColumnMapping()), 1, None))
    sizes = [len(calls.created_at) for calls in blocks if isinstance(calls, RowBlock)]
    assert (sum(sizes), len(blocks) - len(sizes)) == (4950, 50)
    assert max(sizes) <= 500


def test_a_temporary_disk_that_is_full_is_named():
    code = (
        "import resource, signal, hashlib\n"
        "from tracker.errors import TrackerError\n"
        "from tracker.importing.occurrence_counter import OccurrenceCounter\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))\n"
        "seen = OccurrenceCounter(2000)\n"
        "try:\n"
        "    for number in range(500_000): seen.count(number * 7919 % 9973, hashlib.sha256(b'%d' % number).digest())\n"
        "except TrackerError as error: print(error)\n"
    )
    assert "The import can't write its temporary file" in python("-c", code).stdout


def test_the_same_identity_at_another_time_is_another_call():
    times = [datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=number) for number in range(3)]
    one, other = ContentIds(), ContentIds()
    assert [one.derive("same", time) for time in times] == [other.derive("same", time) for time in reversed(times)][
        ::-1
    ]
