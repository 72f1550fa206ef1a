"""No value of a query is left in the masked text, wherever pg_stat_activity cuts the query."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.reports.connections.sql_literals import mask_literals


@pytest.mark.parametrize(
    ("query", "masked"),
    [
        ("SELECT a1, t.b FROM x WHERE a = 'k''y' AND b = 12.5e-3", "SELECT a1, t.b FROM x WHERE a = ? AND b = ?"),
        ("SELECT $1, $22::int, .5, 0x1F, 1_000, varchar(30)", "SELECT $1, $22::int, ?, ?, ?, varchar(?)"),
        (r"SELECT E'it\'s', e'\\\\', N'x', B'1', X'F', U&'\0061'", "SELECT ?, ?, ?, ?, ?, ?"),
        ("SELECT $$a 'b' $$, $t$ x $$ y $t$, a$b$c", "SELECT ?, ?, a$b$c"),
        ('SELECT "a\'b""c" FROM "1"', 'SELECT "a\'b""c" FROM "1"'),
        ("/* a /* 'b */ c */ SELECT 1 -- d\n, 'e'", "/* … */ SELECT ? -- …\n, ?"),
        ("SELECT 'a'\n  'b', 'c'", "SELECT ?, ?"),
        ("SELECT E'a' -- x\n 'b\\'c', d", "SELECT ?, d"),
        ("ALTER ROLE app PASSWORD 'p'", "ALTER ROLE app PASSWORD ?"),
        ("SET app.key = sk_live_1234567890abc", "SET app.key = ***"),
        ("SELECT 'cut in the val", "SELECT ?"),
        ("SELECT E'cut\\", "SELECT ?"),
        ("SELECT $t$cut $t", "SELECT ?"),
        ("SELECT 1 /* cut", "SELECT ? /* … */"),
        ("", ""),
        # The end depends on standard_conforming_strings of the session.
        (r"SELECT 'C:\', 'secret'", "SELECT ?"),
        ("SELECT éE'a\\', 'b'", "SELECT éE?"),
    ],
)
def test_values_are_masked_and_names_are_not(query: str, masked: str) -> None:
    assert mask_literals(query) == masked


def test_a_long_line_of_dashes_is_masked_in_linear_time() -> None:
    # A pattern that can split the dashes in many ways does not end for this text.
    assert mask_literals("SELECT 'a' " + "-" * 50_000 + "\nFROM t") == "SELECT ? -- …\nFROM t"


_TEXT = st.text("Z'\\\\\"$-/*;\n ", max_size=6).map(lambda text: f"Z{text}Z")
_NAMES = st.sampled_from(
    ["SELECT ", " t.c1 ", ", ", " = ", "(", ")", '"a\'b" ', "$1 ", "a$b$c ", " e ", "\n", "::int "]
)


def _plain(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _escaped(text: str) -> str:
    return " E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _dollar(text: str) -> str:
    return " $q$" + text.replace("$", "") + "$q$"


def _block_comment(text: str) -> str:
    return "/* " + text.replace("*", "").replace("/", "") + " */"


def _line_comment(text: str) -> str:
    return "-- " + text.replace("\n", " ") + "\n"


_VALUES = st.builds(
    lambda write, text: write(text),
    st.sampled_from([_plain, _escaped, _dollar, _block_comment, _line_comment]),
    _TEXT,
)


@given(st.lists(_NAMES | _VALUES, max_size=12).map(" ".join), st.integers(0, 200))
def test_no_value_is_left_in_a_query_that_is_cut_anywhere(query: str, length: int) -> None:
    assert "Z" not in mask_literals(query[:length])
