"""Downloads of what is on screen: CSV that is safe to open in a spreadsheet, the raw values, and Parquet."""

from __future__ import annotations

import csv
import io

import pandas as pd
import streamlit as st

from pages.support.i18n import _

# A cell that begins so is a formula for a spreadsheet; the wide forms count as well in East Asian versions.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def downloads(data: pd.DataFrame, name: str, key: str) -> None:
    """Buttons that make the file when it is asked for."""

    def parquet() -> bytes:
        buffer = io.BytesIO()
        data.rename(columns=str).to_parquet(buffer, index=False)
        return buffer.getvalue()

    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "CSV",
            lambda: spreadsheet_csv(data),
            f"{name}.csv",
            "text/csv",
            key=f"{key}_csv",
            icon=":material/download:",
            on_click="ignore",
        )
        st.download_button(
            _("CSV, raw values"),
            lambda: _csv(data),
            f"{name}-raw.csv",
            "text/csv",
            key=f"{key}_raw_csv",
            icon=":material/download:",
            help=_("Text such as =1+1 stays as it is: for programs, not for spreadsheets."),
            on_click="ignore",
        )
        st.download_button(
            "Parquet",
            parquet,
            f"{name}.parquet",
            "application/vnd.apache.parquet",
            key=f"{key}_parquet",
            icon=":material/download:",
            on_click="ignore",
        )


def spreadsheet_csv(data: pd.DataFrame) -> bytes:
    """The table as CSV in which no text is a formula: such a text gets a leading apostrophe; numbers stay numbers.

    Source: owasp.org, "CSV Injection".
    """
    safe = data.rename(columns=lambda name: _without_formula(str(name)))
    for place, (_name, kind) in enumerate(zip(data.columns, data.dtypes, strict=True)):
        if not (pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_datetime64_any_dtype(kind)):
            safe.isetitem(place, data.iloc[:, place].map(_without_formula).tolist())
    return _csv(safe)


def _csv(data: pd.DataFrame) -> bytes:
    # Every text is quoted: with minimal quoting a carriage return in a cell would end the row.
    return data.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC).encode()


def _without_formula(value: object) -> object:
    is_text = isinstance(value, str | dict | list)
    return f"'{value}" if is_text and str(value).lstrip(" ").startswith(_FORMULA_STARTS) else value
