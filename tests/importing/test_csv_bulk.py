"""A large CSV file is read in blocks and stored in batches, whatever its last batch or its broken rows."""

from __future__ import annotations

import io
import tracemalloc
from itertools import islice
from pathlib import Path

import pytest
from importing_support import AZURE, GOOD, HEADER, azure, rejects, sums
from support import python, run

from tracker.importing import cell_parsers, csv_file
from tracker.importing.column_mapping import ColumnMapping
from tracker.importing.csv_file import read_calls
from tracker.importing.row_builder import Reject, RowBlock
from tracker.recording.bulk_insert import BATCH_ROWS


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
