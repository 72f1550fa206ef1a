"""A number with a comma is read as its column allows, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.importing.decimal_marks import AmbiguousNumberError, DecimalMark


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0,0012", "0.0012"),
        ("0.0012", "0.0012"),
        ("0,5", "0.5"),
        (",5", "0.5"),
        ("12,5", "12.5"),
        ("1234,567", "1234.567"),
        ("0,123", "0.123"),
        ("1.234,56", "1234.56"),
        ("1,234.56", "1234.56"),
        ("1.234.567", "1234567"),
        ("1,234,567.8", "1234567.8"),
        ("1 234,5", "1234.5"),
        ("1\u202f234\u00a0567", "1234567"),
        ("1'234.5", "1234.5"),
        ("-0,5", "-0.5"),
        ("100", "100"),
        ("", ""),
        ("abc", "abc"),
        ("1,2,3", "1,2,3"),
        ("1.23.4,5", "1.23.4,5"),
    ],
)
def test_a_number_that_can_be_read_in_one_way_is_read(text, number):
    assert DecimalMark().normalize(text) == number


@pytest.mark.parametrize("text", ["1,234", "1.234", "12,345", "-999,999"])
def test_one_separator_before_three_digits_is_refused_and_named(text):
    with pytest.raises(AmbiguousNumberError, match="--decimal"):
        DecimalMark().normalize(text)


@pytest.mark.parametrize(
    ("others", "text", "number"),
    [
        (["0,5"], "1,234", "1.234"),
        (["0,5"], "1.234", "1234"),
        (["0.5"], "1,234", "1234"),
        (["1.234.567"], "1.234", "1234"),
        (["1,234.5"], "1.234", "1.234"),
    ],
)
def test_an_ambiguous_number_is_read_as_its_column(others, text, number):
    mark = DecimalMark()
    mark.detect(others)
    assert mark.normalize(text) == number


def test_a_column_with_both_marks_decides_nothing():
    mark = DecimalMark()
    mark.detect(["0,5", "0.5"])
    assert (mark.normalize("0,5"), mark.normalize("0.5")) == ("0.5", "0.5")
    with pytest.raises(AmbiguousNumberError):
        mark.normalize("1,234")


@pytest.mark.parametrize(("given_mark", "number"), [(",", "1.234"), (".", "1234")])
def test_a_named_mark_decides(given_mark, number):
    mark = DecimalMark(given_mark)
    mark.detect(["0,5", "0.5"])
    assert mark.normalize("1,234") == number


@given(st.decimals(0, 10**9, places=4), st.sampled_from([(".", ","), (",", "."), (",", "\u202f")]))
def test_a_formatted_number_is_normalized_to_itself(number, marks):
    point, group = marks
    text = f"{number:,.4f}".replace(",", "g").replace(".", point).replace("g", group)
    assert float(DecimalMark(point).normalize(text)) == float(number)
