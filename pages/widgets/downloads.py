"""Download buttons for a table: CSV that is safe in a spreadsheet, also for Excel, raw CSV, and Parquet."""

from __future__ import annotations

import csv
import io

import pandas as pd
import streamlit as st

from pages.support.i18n import _
from tracker.reports.csv_text import BOM, escape_formula


def download_buttons(data: pd.DataFrame, name: str, key: str) -> None:
    """Four download buttons. A file is created when its button is clicked."""

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
            _("CSV for Excel"),
            lambda: BOM + spreadsheet_csv(data),
            f"{name}-excel.csv",
            "text/csv",
            key=f"{key}_excel_csv",
            icon=":material/download:",
            help=excel_help(),
            on_click="ignore",
        )
        st.download_button(
            _("CSV, raw values"),
            lambda: _csv(data),
            f"{name}-raw.csv",
            "text/csv",
            key=f"{key}_raw_csv",
            icon=":material/download:",
            help=_("Text such as =1+1 is not escaped. For programs, not for spreadsheets."),
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


def excel_help() -> str:
    """The description of a CSV for Excel."""
    return _("With a byte order mark, from which Excel recognizes the encoding UTF-8")


def spreadsheet_csv(data: pd.DataFrame) -> bytes:
    """The table as CSV without formulas: text that looks like a formula gets a leading apostrophe.

    Source: owasp.org, "CSV Injection".
    """
    safe = data.rename(columns=lambda name: escape_formula(str(name)))
    for index, dtype in enumerate(data.dtypes):
        if not (pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_datetime64_any_dtype(dtype)):
            safe.isetitem(index, data.iloc[:, index].map(escape_formula).tolist())
    return _csv(safe)


def _csv(data: pd.DataFrame) -> bytes:
    # Quote every text: with minimal quoting, a carriage return in a cell ends the row.
    return data.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC).encode()
