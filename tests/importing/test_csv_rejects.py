"""A broken row of a CSV file is rejected with its line and reason, and the rows around it are stored."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from importing_support import GOOD, HEADER, rejects, sums
from support import run, value

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


@pytest.mark.parametrize("names", [("ours.csv", "ours.jsonl"), ("a/ours.csv", "b/ours.csv"), ("ours", "ours.csv")])
def test_two_files_never_share_a_rejects_file(load, capsys, tmp_path, monkeypatch, names):
    monkeypatch.chdir(tmp_path)
    columns = HEADER.strip().split(",")
    broken = dict.fromkeys(columns, "broken")
    for name in (*names, *names):  # the second import of a file replaces its own rejects
        Path(name).parent.mkdir(exist_ok=True)
        is_json = name.endswith("jsonl")
        Path(name).write_text(f"{json.dumps(broken)}\n" * 2 if is_json else f"{HEADER}broken,{name},1,1\n")
        assert load(Path(name), *[f"--map={column}={column}" for column in columns]) == 1
    output = capsys.readouterr().err
    files = sorted(Path().glob("*.rejects.csv"))
    assert len(files) == 2
    assert all(output.count(f"Rejected rows are in {file};") == 2 for file in files)
    written = {row["file"] for file in files for row in csv.DictReader(file.read_text().splitlines())}
    assert written == {str(Path(name).absolute()) for name in names}


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


@pytest.mark.parametrize("broken", ['2026-03-01T10:00:00Z,"gpt,10,5\n', '"2026-03-01T10:00:00Z,gpt,10,5\n', 'a"b,"\n'])
@pytest.mark.parametrize("after", [3, 300])
def test_a_stray_quote_rejects_only_its_line(write, load, database_url, broken, after):
    quoted = '2026-03-02T10:00:00Z,"g""p,\nt",10,5\n'
    file = write(HEADER + GOOD + broken + GOOD * after + quoted + GOOD)
    assert load(file) == 1
    assert value(database_url, "SELECT count(*) FROM token_usage") == after + 3
    assert [line[0] for line in rejects()[1:]] == ["3"]
