"""One style of numbers and tables on all pages."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support import ROOT

sys.path.insert(0, str(ROOT / "pages"))

from pages.support import formats
from pages.support.i18n import set_language
from pages.widgets.tables import number_column, shorten, styled, text_column

CASES: tuple[tuple[Callable[..., str], dict[Any, str]], ...] = (
    (
        formats.count,
        {
            None: "–",
            float("nan"): "–",
            0: "0",
            28_185: "28,185",
            99_999: "99,999",
            99_999.6: "100K",
            123_456: "123K",
            999_600: "1M",
            1_234_567: "1.23M",
            97_214_003: "97.2M",
            99_960_000: "100M",
            1.5e9: "1.5B",
        },
    ),
    (formats.exact, {None: "–", 97_214_003: "97,214,003"}),
    (
        formats.usd,
        {
            None: "unpriced",
            float("nan"): "unpriced",
            Decimal(0): "$0",
            Decimal("4610.4"): "$4,610",
            999.996: "$1,000",
            50.782: "$50.78",
            1: "$1.00",
            0.999: "$1.00",
            Decimal("0.5"): "$0.50",
            0.05: "$0.050",
            0.0567: "$0.057",
            0.0042: "$0.0042",
            Decimal("0.0006"): "$0.00060",
            Decimal("0.0000026"): "$0.0000026",
            Decimal("0.0000001"): "< $0.000001",
            Decimal("-12.3"): "−$12.30",
        },
    ),
    (formats.usd_rate, {None: "–", Decimal("0.5"): "$0.50", Decimal("0.075"): "$0.075", Decimal(1200): "$1,200.00"}),
    (
        formats.percentage,
        {
            None: "–",
            float("nan"): "–",
            0: "0%",
            0.0001: "< 0.1%",
            0.007: "0.7%",
            0.0244: "2.4%",
            0.05: "5%",
            0.0996: "10%",
            0.4444: "44%",
            0.996: "99.6%",
            0.99996: "99.9%",
            1: "100%",
            5.59: "559%",
        },
    ),
    (
        formats.milliseconds,
        {
            None: "–",
            float("nan"): "–",
            0: "0 ms",
            0.001: "< 0.01 ms",
            0.0213: "0.02 ms",
            3.42: "3.42 ms",
            45: "45 ms",
            380.4: "380 ms",
            999.7: "1 s",
            2400: "2.4 s",
            3194: "3.19 s",
            15_300: "15.3 s",
            90_000: "1.5 min",
            3_600_000: "1 h",
        },
    ),
    (formats.seconds, {None: "–", 0.04: "40 ms", 41.24: "41.2 s", 7200: "2 h", 86_400: "24 h", 5 * 86_400: "5 days"}),
    (formats.age, {None: "–", 0.04: "40 ms", 41.2: "41 s", 200: "3 min", 7300: "2 h", 5.4 * 86_400: "5 days"}),
    (formats.times, {3.14: "3.1", 9.96: "10", 12.4: "12"}),
)
KOREAN: tuple[tuple[Callable[..., str], dict[Any, str]], ...] = (
    (formats.count, {28_185: "28,185", 280_000: "28만", 97_214_003: "9,721만", 1.5e8: "1.5억"}),
    (formats.usd, {Decimal("50.782"): "US$50.78", 0: "US$0"}),
    (formats.percentage, {0.007: "0.7%"}),
    (formats.seconds, {0.38: "380 ms", 2.4: "2.4초", 90: "1.5분", 7200: "2시간", 5 * 86_400: "5일"}),
)


@pytest.fixture(autouse=True)
def language() -> Iterator[None]:
    yield
    set_language("en")


def test_each_kind_of_number_has_one_format() -> None:
    for name, cases in (("en", CASES), ("ko", KOREAN)):
        set_language(name)
        for format_value, expected in cases:
            assert {value: format_value(value) for value in expected} == expected


def test_the_use_of_a_limit_is_rounded_down() -> None:
    shares = {0.0196: "1.9%", 0.999: "99.9%", 0.2999: "29%", 1.0: "100%", 1.009: "100%", 0.29: "29%"}
    assert {share: formats.percentage(share, round_down=True) for share in shares} == shares
    assert formats.usd(Decimal("4610.432100"), all_digits=True) == "$4,610.4321"


_UNITS = (" ms", "ms", " s", "s", " min", " h", "%")
# The bars of budgets are HTML with widths in percent; display_currency.py has the signs that formats.py uses.
_EXEMPT = {"formats.py", "budget_bars.py", "display_currency.py"}


def own_formats(file: Path) -> Iterator[str]:
    """The places of a file that give a number a format of their own, or a table a column without `tables.py`."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.FormattedValue(format_spec=ast.JoinedStr(values=[ast.Constant(value=str(spec))])):
                is_number = spec and spec[-1] in "dfge%," and not spec.startswith("%") and "%H" not in spec
                if is_number:
                    yield f"{file.name}:{node.lineno}: the format {spec}"
            case ast.JoinedStr(values=values):
                for before, after in pairwise(values):
                    unit = after.value if isinstance(after, ast.Constant) else None
                    if isinstance(before, ast.FormattedValue) and str(unit).split(" (")[0].rstrip(".,;") in _UNITS:
                        yield f"{file.name}:{node.lineno}: the unit {unit}"
            case ast.Call(func=ast.Attribute(attr="NumberColumn" | "ProgressColumn")) if file.name != "tables.py":
                yield f"{file.name}:{node.lineno}: a column of numbers without tables.py"
            case ast.Name(id="format_percent" | "format_amount"):
                yield f"{file.name}:{node.lineno}: a format of the library"
            case ast.Constant(value=str(text)) if text in {"$", "US$"}:
                yield f"{file.name}:{node.lineno}: a sign of a currency"


def test_pages_have_no_formats_of_their_own() -> None:
    files = [file for file in (ROOT / "pages").rglob("*.py") if file.name not in _EXEMPT]
    assert len(files) > 50
    assert [violation for file in files for violation in own_formats(file)] == []


def test_the_search_for_own_formats_finds_them(tmp_path: Path) -> None:
    file = tmp_path / "page.py"
    lines = (
        'f"{x:.1f}"',
        'f"{x} ms"',
        'f"{x}%"',
        'f"{x:,}"',
        'st.column_config.NumberColumn("a")',
        "format_percent(1)",
    )
    file.write_text("\n".join(lines))
    assert len(list(own_formats(file))) == len(lines)
    file.write_text('f"{at:%H:%M} {x} {hour:02}:00"')
    assert list(own_formats(file)) == []


def test_a_text_fits_into_its_column_or_ends_with_an_ellipsis() -> None:
    assert shorten("gemini-2.5-flash", 104) == "gemini-2.5-flash"
    assert shorten("summary_generation", 136) == "summary_generation"
    assert shorten("a\nb", 100) == "a b"
    assert shorten("x" * 100, 100).endswith("x…")
    assert len(shorten("가" * 100, 100)) < len(shorten("a" * 100, 100)) < 20
    assert [shorten(value, 100) for value in (None, float("nan"))] == ["", ""]


def test_a_table_sorts_numbers_and_shows_their_texts() -> None:
    data = pd.DataFrame({"name": ["a", None], "cost": [0.5, 1234.0], "unknown": [None, 2.0], "n": [None, 3]})
    columns = {
        "name": text_column("name", 100),
        "cost": number_column("cost", formats.usd),
        "unknown": number_column("unknown", formats.usd),
        "n": number_column("n", formats.exact),
    }
    style, config = styled(data, columns, "–")
    assert style.data["cost"].to_list() == [0.5, 1234.0]
    assert config["cost"]["type_config"]["type"] == "number"
    # An unknown cost is not a dash: the column contains texts.
    assert style.data["unknown"].to_list() == ["unpriced", "$2.00"]
    assert config["unknown"]["type_config"]["type"] == "text"
    html = style.to_html()
    assert all(text in html for text in (">$0.50<", ">$1,234<", ">3<", ">–<"))
