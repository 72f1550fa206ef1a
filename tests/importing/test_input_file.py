"""`token-tracker import` reads any encoding, compression, delimiter and number format, or reports the problem."""

from __future__ import annotations

import csv
import gzip
import io
import os
import threading
import zipfile
from datetime import datetime
from pathlib import Path

import openpyxl
import pytest
from support import ROOT, rows, value

from tracker.cli import main
from tracker.importing import xlsx_rows

CASES = ROOT / "tests" / "cases" / "files"
TABLE = [
    ["created_at", "model", "input_tokens", "output_tokens", "cost", "user_id"],
    ["2026-01-05 10:00:00", "gpt-4o", 100, 10, 0.0012, "Jürgen; 한국어"],
    ["2026-01-05 10:00:00", "gpt-4o", 100, 10, 0.0012, "Jürgen; 한국어"],
    ["2026-01-05 11:30:00.250", "gpt, 4", 200, 0, 1.5, 'a "quoted"\nname'],
]


@pytest.fixture
def load(monkeypatch, database_url, tmp_path):
    """Runs `token-tracker import` on a fresh, migrated database, in an empty directory."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: main(["import", *map(str, arguments)])


def as_csv(delimiter: str = ",", decimal: str = ".", first: str = "") -> str:
    text = io.StringIO(first, newline="")
    text.seek(0, io.SEEK_END)
    for row in TABLE:
        cells = [str(cell).replace(".", decimal) if isinstance(cell, float) else cell for cell in row]
        csv.writer(text, delimiter=delimiter).writerow(cells)
    return text.getvalue()


def as_workbook(path: Path) -> bytes:
    workbook = openpyxl.Workbook()
    for row in TABLE[:1]:
        workbook.active.append(row)
    for row in TABLE[1:]:
        workbook.active.append([datetime.fromisoformat(row[0]), *row[1:]])
    workbook.active.append([None] * 6)
    workbook.save(path)
    return path.read_bytes()


FORMS = {
    "plain": lambda _: as_csv().encode(),
    "UTF-8 with a mark": lambda _: as_csv().encode("utf-8-sig"),
    "UTF-16 with a mark": lambda _: as_csv().encode("utf-16"),
    "UTF-16 LE": lambda _: as_csv().encode("utf-16-le"),
    "UTF-16 BE": lambda _: as_csv().encode("utf-16-be"),
    "UTF-32": lambda _: as_csv().encode("utf-32"),
    "gzip": lambda _: gzip.compress(as_csv().encode()),
    "gzip of two members": lambda _: gzip.compress(as_csv().encode()[:50]) + gzip.compress(as_csv().encode()[50:]),
    "gzip of UTF-16": lambda _: gzip.compress(as_csv().encode("utf-16")),
    "semicolons": lambda _: as_csv(";", ",").encode(),
    "semicolons with points": lambda _: as_csv(";").encode(),
    "tabs": lambda _: as_csv("\t", ",").encode("utf-16"),
    "sep=": lambda _: as_csv(";", ",", first="sep=;\r\n").encode("utf-8-sig"),
    "workbook": lambda path: as_workbook(path / "made.xlsx"),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_rows_get_the_same_ids_in_every_form(form, load, database_url, tmp_path, capsys):
    Path("plain.csv").write_text(as_csv(), newline="")
    assert load("plain.csv") == 0
    ids = rows(database_url, "SELECT id FROM token_usage ORDER BY id")
    Path("form").write_bytes(FORMS[form](tmp_path))
    assert load("form") == 0
    assert "3 rows read: 0 recorded, 3 already there, 0 rejected." in capsys.readouterr().out
    assert rows(database_url, "SELECT id FROM token_usage ORDER BY id") == ids
    assert rows(database_url, "SELECT sum(cost)::text FROM token_usage") == [("1.5024",)]
    assert {user for (user,) in rows(database_url, "SELECT user_id FROM token_usage")} == {row[5] for row in TABLE[1:]}


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("epoch_ms.csv", (), 5),
        ("compact_z.csv", ("--timezone", "Asia/Seoul"), 3),
        ("utf16.csv", (), 2),
        ("semicolon.csv", (), 1),
        ("litellm_semicolon.csv", ("--profile", "litellm"), 1),
    ],
)
def test_a_reported_file_is_read(name, options, count, load, database_url):
    assert load(CASES / name, *options) == 0
    assert value(database_url, "SELECT count(*) FROM token_usage") == count


def test_the_times_of_the_reported_files(load, database_url):
    load(CASES / "epoch_ms.csv")
    assert rows(
        database_url, "SELECT DISTINCT extract(year FROM created_at)::int AS y FROM token_usage ORDER BY y"
    ) == [
        (2024,),
        (2025,),
        (2026,),
    ]
    load(CASES / "compact_z.csv", "--timezone", "Asia/Seoul")
    times = "SELECT to_char(created_at AT TIME ZONE 'UTC', 'DD HH24:MI') FROM token_usage"
    assert {time for (time,) in rows(database_url, times)} >= {"05 12:00", "05 10:15", "05 09:30"}


def test_the_costs_with_a_decimal_comma_are_read(load, database_url):
    load(CASES / "semicolon.csv")
    load(CASES / "litellm_semicolon.csv", "--profile", "litellm")
    assert rows(database_url, "SELECT cost::text FROM token_usage ORDER BY cost") == [("0.0012",), ("0.5",)]


def test_compact_times_in_json_are_read_by_rule_or_rejected(load, database_url, capsys):
    assert load(CASES / "compact.json", "--timezone", "Asia/Seoul", "--set=user_id=u") == 1
    output = capsys.readouterr()
    assert "6 rows read: 5 recorded, 0 already there, 1 rejected." in output.out
    assert "created_at is '0'" in output.err
    times = "SELECT model, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') FROM token_usage"
    times_by_model = dict(rows(database_url, times))
    assert times_by_model["gpt-4o"] == "2026-01-05 01:15:00.000000"  # without a zone, so of Seoul
    assert times_by_model["us"] == times_by_model["ns"] == "2026-01-05 10:00:00.123456"
    assert times_by_model["excel"].startswith("2026-01-05 00:59:54")


@pytest.mark.parametrize("name", ["utf16.log", "raw.log.gz"])
def test_all_records_of_a_reported_log_are_read(name, load, database_url):
    assert load(CASES / name, "--profile", "tracker-log") == 0
    assert value(database_url, "SELECT count(*) FROM token_usage") == 3


def test_the_cut_lines_of_a_log_are_reported_with_their_numbers(load, database_url, capsys):
    assert load(CASES / "truncated.log", "--profile", "tracker-log") == 1
    errors = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2].partition(":")[0] for line in errors] == ["line 1", "line 2", "line 3"]
    assert value(database_url, "SELECT count(*) FROM token_usage") == 0


def _zip(*names: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name in names:
            file.writestr(name, "<x/>")
    return archive.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ((CASES / "usage.xlsx").read_bytes(), "not an Excel workbook"),
        (_zip("calls.csv"), "not an Excel workbook"),
        (_zip("xl/workbook.xml", "xl/worksheets/sheet1.xml"), "can't be read as an Excel workbook"),
        (_zip("a")[:20], "damaged"),
        (gzip.compress(_zip("a")), "unpack it"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "(.xls)"),
        (b"BZh91AY", "bzip2"),
        (b"PAR1" + bytes(20), "Parquet"),
        (bytes(range(256)) * 40 + bytes(3000), "binary"),
    ],
    ids=[
        "workbook without sheets",
        "ZIP",
        "broken sheet",
        "cut ZIP",
        "ZIP in gzip",
        "xls",
        "bzip2",
        "Parquet",
        "binary",
    ],
)
def test_an_unreadable_file_is_reported_before_a_row_is_stored(content, message, load, capsys):
    Path("file").write_bytes(content)
    assert load("file", "--set=model=m") == 2
    output = capsys.readouterr()
    assert message in output.err
    assert len(output.err.splitlines()) == 1
    assert output.out == ""


def test_a_workbook_that_unpacks_to_too_much_is_refused_before_it_is_read(load, capsys, monkeypatch, tmp_path):
    as_workbook(tmp_path / "calls.xlsx")
    monkeypatch.setattr(xlsx_rows, "MAX_UNPACKED_BYTES", 1000)
    assert load("calls.xlsx") == 2
    assert "Save it as CSV" in capsys.readouterr().err


@pytest.mark.parametrize("cut", [30, 200, -5])
def test_a_truncated_gzip_file_stores_the_rows_before_the_cut_and_exits_1(cut, load, database_url, capsys):
    lines = "".join(f"2026-01-05T10:00:00Z,m,{n},{os.urandom(4).hex()}\n" for n in range(300))
    packed = gzip.compress(f"created_at,model,input_tokens,user_id\n{lines}".encode())
    Path("calls.csv.gz").write_bytes(packed[:cut])
    status = load("calls.csv.gz", "--set=output_tokens=1")
    output = capsys.readouterr()
    assert status in {1, 2}
    assert "cut off" in output.err or "empty" in output.err
    assert value(database_url, "SELECT count(*) FROM token_usage") >= (290 if cut == -5 else 0)


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("calls.csv", "created_at,model,input_tokens,output_tokens\n", ()),
        ("calls.json", "[]", ("created_at=2026-01-01", "model=m", "input_tokens=1", "output_tokens=1")),
    ],
)
def test_a_file_without_rows_is_a_sentence_and_exit_1(name, content, options, load, capsys):
    Path(name).write_text(content)
    assert load(name, *(f"--set={pair}" for pair in options)) == 1
    output = capsys.readouterr()
    assert "0 rows read" in output.out
    assert "has no rows" in output.err


def test_a_log_without_a_record_is_a_sentence_and_exit_1(load, capsys):
    Path("a.log").write_text("GET / 200\ntoken_usage.queued {}\n")
    assert load("a.log", "--profile", "tracker-log") == 1
    output = capsys.readouterr()
    assert "0 records read" in output.out
    assert "contains no failed" in output.err


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('{ "data": [\n%s]}', 1),
        ('{\n"data": [%s]}', 1),
        ('{"data": [%s]}', 1),
        ("[\n%s\n]", 1),
        ("%s\n%s\n", 2),
        ("\ufeff%s\n\n%s", 2),
        ('{"broken": \n%s\n%s\n', 2),
    ],
)
def test_a_json_document_and_json_lines_are_distinguished(text, rows, load, capsys, tmp_path):
    profile = 'within = ["data"]\n[map]\ncreated_at = "at"\nmodel = "m"\ninput_tokens = "i"\noutput_tokens = "o"\n'
    (tmp_path / "p.toml").write_text(profile)
    record = '{"at": "2026-01-05", "m": "gpt", "i": 1, "o": 1}'
    Path("file.json").write_text(text.replace("%s", record))
    load("file.json", "--profile", "./p.toml")
    assert f"{rows} recorded" in capsys.readouterr().out


def test_an_ambiguous_number_is_rejected_unless_the_decimal_mark_is_named(load, database_url, capsys):
    Path("calls.csv").write_text("created_at;model;input_tokens;output_tokens;cost\n2026-01-05;m;1.200;1;1,234\n")
    assert load("calls.csv") == 1
    assert "--decimal" in capsys.readouterr().err
    assert load("calls.csv", "--decimal", ",") == 0
    assert rows(database_url, "SELECT input_tokens, cost::text FROM token_usage") == [(1200, "1.234")]


def test_with_commas_between_the_columns_a_comma_is_no_decimal_mark(load, capsys):
    Path("calls.csv").write_text('created_at,model,input_tokens,output_tokens,cost\n2026-01-05,m,1,1,"0,5"\n')
    assert load("calls.csv") == 1
    assert "cost is '0,5'" in capsys.readouterr().err


def test_a_pipe_is_read_in_every_form(load, database_url, tmp_path):
    for number, content in enumerate((gzip.compress(as_csv().encode()), as_csv(";", ",").encode("utf-16"))):
        path = tmp_path / f"pipe{number}"
        os.mkfifo(path)
        writer = threading.Thread(target=path.write_bytes, args=(content,))
        writer.start()
        assert load(path, "--rejects=r.csv") == 0
        writer.join(10)
    assert value(database_url, "SELECT count(*) FROM token_usage") == 3


def test_rejects_keep_the_quoting_and_delimiter_of_the_file(load):
    row = '2026-01-05;"a;b ""c""";x;1'
    Path("calls.csv").write_text(f"created_at;model;input_tokens;output_tokens\n{row}\n")
    assert load("calls.csv") == 1
    with Path(
        "calls.csv.rejects.csv" if Path("calls.csv.rejects.csv").exists() else "calls.rejects.csv"
    ).open() as file:
        assert list(csv.reader(file))[1][2] == row


@pytest.mark.parametrize("content", ["my notes\n", "lines of mine"])
def test_a_rejects_file_that_is_not_ours_is_kept(content, load, capsys):
    Path("calls.csv").write_text("created_at,model,input_tokens,output_tokens\nbroken,m,1,1\n")
    Path("calls.rejects.csv").write_text(content)
    assert load("calls.csv") == 2
    assert "not a rejects file" in capsys.readouterr().err
    assert Path("calls.rejects.csv").read_text() == content


def test_a_link_in_the_place_of_the_rejects_file_is_not_followed(load, capsys):
    Path("calls.csv").write_text("created_at,model,input_tokens,output_tokens\nbroken,m,1,1\n")
    Path("target").write_text("")
    Path("calls.rejects.csv").symlink_to("target")
    assert load("calls.csv") == 2
    assert "link" in capsys.readouterr().err
    assert Path("target").read_text() == ""


def test_no_control_character_of_a_file_reaches_the_terminal(load, capsys):
    Path("calls.csv").write_text("created_at\x1b]0;x\x07,model,input_tokens,output_tokens\n\x9b31m,m\x1b[2J,1,1\n")
    load("calls.csv")
    load("calls.csv", "--map=created_at=created_at\x1b]0;x\x07")
    output = capsys.readouterr()
    assert not any((ord(char) < 32 and char != "\n") or 127 <= ord(char) < 160 for char in output.out + output.err)
