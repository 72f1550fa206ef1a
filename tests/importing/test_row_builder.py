"""A block read column by column is what its rows are, read one by one."""

from __future__ import annotations

import csv
import io
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tracker.importing import cell_parsers, csv_file
from tracker.importing.cell_parsers import copy_text
from tracker.importing.column_mapping import ColumnMapping
from tracker.importing.csv_file import read_calls
from tracker.importing.csv_lines import CsvRecord, CsvRecords
from tracker.importing.row_builder import Reject, RowBlock, RowBuilder

counts = st.sampled_from(["0", "1", " 2 ", "7", "", "-1", "2147483647", "1e2", "x"])
COLUMNS = {
    "created_at": st.sampled_from(["2026-03-01T10:00:00Z", "2026-03-01 10:00:00", "", "soon", "0001-01-01"]),
    "model": st.sampled_from(["gpt", "", "제미나이", "a\\b", "tab\there", '"quoted"', "two\nlines", "nul\0"]),
    "input_tokens": counts,
    "output_tokens": counts,
    "total_tokens": counts,
    "cache_read_input_tokens": counts,
    "reasoning_output_tokens": counts,
    "cost": st.sampled_from(["", "0.1", "1E-7", "-1", "nan", "0"]),
    "cost_source": st.sampled_from(["", "billed"]),
    "metadata": st.sampled_from(["", "{}", '{"a": "\\t"}', "[]", "{"]),
    "id": st.sampled_from(["", "", "019ca8d7-2d00-8c83-a8c8-dbe0d6c9022e", "no"]),
    "region": st.sampled_from(["", "icn1"]),
}
REQUIRED = ["created_at", "model", "input_tokens", "output_tokens"]


@st.composite
def files(draw) -> tuple[list[str], list[list[str]], dict[str, str]]:
    optional = draw(st.lists(st.sampled_from(sorted(COLUMNS.keys() - set(REQUIRED))), unique=True))
    header = draw(st.permutations([*REQUIRED, *optional]))
    row = st.tuples(*(COLUMNS[name] for name in header)).map(list)
    constants = draw(st.sampled_from([{}, {"user_id": "kim"}, {"cost": "0.5"}, {"provider": "openai"}]))
    return header, draw(st.lists(row, max_size=12)), {k: v for k, v in constants.items() if k not in header}


def as_file(header: list[str], body: list[list[str]]) -> io.StringIO:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([header, *body])
    file.seek(0)
    return file


@hypothesis_settings(max_examples=300)
@given(files(), st.integers(1, 5), st.sampled_from([0, 1_000_000]))
def test_a_block_gives_the_same_rows_as_its_records_one_by_one(file, most, remembered):
    header, body, constants = file
    plan = ColumnMapping({}, constants)
    builder, good, bad = RowBuilder(plan, header), [], []
    for row in body:
        try:
            good.append(builder.row(row))
        except ValueError as error:
            bad.append(str(error))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file, "BLOCK_ROWS", most)
        patch.setattr(cell_parsers, "_MAX_CACHED_CHARACTERS", remembered)
        blocks = list(islice(read_calls(as_file(header, body), plan), 1, None))
    assert sorted(reject.reason for reject in blocks if isinstance(reject, Reject)) == sorted(bad)
    stored = [one for calls in blocks if isinstance(calls, RowBlock) for one in unfolded(calls)]
    assert [{**row, "id": None} for row in stored] == [{**as_texts(row), "id": None} for row in good]
    given_ids = [str(row["id"]) for row in good if row["id"]]
    assert [row["id"] for row, own in zip(stored, good, strict=True) if own["id"]] == given_ids
    made = [row["id"] for row, own in zip(stored, good, strict=True) if not own["id"]]
    assert len(set(made)) == len(made)


def unfolded(calls: RowBlock) -> list[dict[str, str]]:
    """Each row as COPY would write it."""
    everywhere = as_texts(calls.constants)
    names = list(calls.columns)
    return [{**everywhere, **dict(zip(names, row, strict=True))} for row in zip(*calls.columns.values(), strict=True)]


def as_texts(row) -> dict[str, str]:
    return {name: copy_text(value, str(value)) for name, value in row.items()}


@hypothesis_settings(max_examples=200)
@given(
    st.lists(st.sampled_from(["a,b", "a,b", '"a",b', '"a\nx",b', "a", "a,b,c", "", '"a,b', 'a"b,c', " "]), max_size=12),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.integers(1, 6),
)
def test_blocks_contain_the_records_of_the_iterator(lines, end, most):
    text = end.join(["x,y", *lines])
    singly, blocks = (CsvRecords(io.StringIO(text, newline="")) for _ in range(2))
    for records in (singly, blocks):
        next(iter(records))
        records.width = 2
    valid, problems = [], []
    for block in blocks.blocks(most, 1_000_000):
        if isinstance(block, CsvRecord):
            problems.append(block)
        else:
            valid += zip(block.lines, map(list, zip(*block.columns, strict=True)), strict=True)
    expected = list(singly)
    assert problems == [record for record in expected if record.problem]
    assert valid == [(record.line, record.cells) for record in expected if not record.problem]
