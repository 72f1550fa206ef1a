"""The Explorer's queries: sums and latency histograms by one or two dimensions, and the calls of one of its cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pandas as pd

from tracker.property_names import key_of, value_from_text, value_to_text
from tracker.reports.engine.local_costs import with_local_costs
from tracker.reports.engine.query_properties import indexed_key, query_property
from tracker.reports.engine.query_rollups import query_frame, query_rollups_by_segment
from tracker.reports.engine.reader import Reader
from tracker.reports.explorer.time_dimensions import TIME_DIMENSIONS, divide_range, intervals_of
from tracker.reports.filters import Filters, interval_array
from tracker.rollups.range_plan import EPOCH, Segment, plan_range

COLUMNS = ("model", "provider", "operation", "user", "environment", "platform", "deployment")
DIMENSIONS = (*COLUMNS, *TIME_DIMENSIONS)
_ROLLUP_COLUMNS = {
    "usage": frozenset({"model", "provider", "operation", "environment"}),
    "latency": frozenset({"model", "provider"}),
}
_ROW_QUERIES = {"usage": "explore", "latency": "explore_latency"}
_PROPERTY_QUERIES = {"usage": "explore_properties", "latency": "explore_latency_properties"}
_NAMES = ["row_name", "column_name"]
_SUMS = [
    "calls",
    "failed_calls",
    "total_tokens",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "reasoning_output_tokens",
    "cost_usd",
    "cost_local",
    "unpriced_calls",
]
UNKNOWN = "unknown"
"""The label of NULL."""
MAX_CALLS = 500
MAX_GROUPS = 20_000
"""The pairs of a row and a column that a query reads from the rows, those with the most tokens first."""


def explore(
    reader: Reader, filters: Filters, rows: str, columns: str | None = None, *, latency: bool = False
) -> pd.DataFrame:
    """The sums by `row_name` and `column_name`, the values of `rows` and `columns` (`DIMENSIONS` or properties).

    `column_name` is empty without `columns`. With `latency`, each row has its histogram: max_ms, slots, counts. The
    values of a property are texts of `value_to_text`. The frame's attribute `overlaps` is True if a call counts in
    several rows, and `is_cut` if there are more than `MAX_GROUPS`. Raises `DatabaseError`.
    """
    usage = _query(reader, "usage", filters, rows, columns)
    attributes = {
        name: bool(name in usage and usage[name].fillna(False).astype(bool).any()) for name in ("overlaps", "is_cut")
    }
    sums = _explore(reader, usage, filters, rows, columns, latency=latency)
    sums.attrs.update(attributes)
    return sums


def _explore(
    reader: Reader, usage: pd.DataFrame, filters: Filters, rows: str, columns: str | None, *, latency: bool
) -> pd.DataFrame:
    usage = usage.astype({"cost_usd": float, "cost_local": float})
    # A value can have the label of NULL.
    sums = usage.groupby(_NAMES, sort=False)[_SUMS].sum(min_count=1).reset_index()
    if not latency:
        return sums
    histograms = _query(reader, "latency", filters, rows, columns)
    unique = histograms.groupby(_NAMES, sort=False)[["max_ms", "slots", "counts"]].agg(
        {"max_ms": "max", "slots": _concatenated, "counts": _concatenated}
    )
    return sums.merge(unique, how="left", left_on=_NAMES, right_index=True)


def needs_row_scan(rows: str, columns: str | None, *, latency: bool = False) -> bool:
    """Whether the rollups lack one of the dimensions, so that the query reads all rows of the range."""
    names = {name for name in (rows, columns) if name and name not in TIME_DIMENSIONS}
    return not names <= _ROLLUP_COLUMNS["latency" if latency else "usage"]


def _concatenated(arrays: Iterable[list[int]]) -> list[int]:
    return [number for array in arrays for number in array]


def _query(reader: Reader, query: str, filters: Filters, rows: str, columns: str | None) -> pd.DataFrame:
    """The result of a query with `row_name` and `column_name`, from the rollups if these have the columns."""
    names = [name for name in (rows, columns) if name]
    divided = divide_range(filters, [name for name in names if name in TIME_DIMENSIONS])
    by = ["step" if name in TIME_DIMENSIONS else name for name in names]
    dimensions = tuple(dict.fromkeys(by))
    if {name for name in by if name != "step"} <= _ROLLUP_COLUMNS[query]:
        frame = query_rollups_by_segment(reader, query, filters, divided.segments, by=dimensions)
        labels = {name: frame[source] for name, source in zip(names, by, strict=True)}
    elif query == "usage" and (key := indexed_key(reader, filters, dimensions)) is not None:
        frame = _limited(_from_property_rollup(reader, filters, key, divided.segments, dimensions))
        sources = ["value" if key_of(name) is not None else name for name in by]
        labels = {name: _texts(name, frame[source]) for name, source in zip(names, sources, strict=True)}
    else:
        plan = plan_range(divided.segments, None).parameters()
        parameters = {**filters.parameters(), **plan, "rows_by": by[0], "columns_by": (*by, "")[1]}
        parameters |= {"group_count": MAX_GROUPS + 1, "row_key": key_of(rows), "column_key": key_of(columns)}
        has_properties = any(key_of(name) is not None for name in names)
        frame = query_frame(reader, (_PROPERTY_QUERIES if has_properties else _ROW_QUERIES)[query], parameters)
        if query == "usage":
            frame = _limited(frame)
        labels = {name: _texts(name, frame[source]) for name, source in zip(names, _NAMES, strict=False)}
    for position, name in enumerate(name for name in names if name in TIME_DIMENSIONS):
        values = [divided.values[int(step)][position] for step in labels[name]]
        labels[name] = pd.Series(values, index=frame.index, dtype=object)
    return frame.assign(
        row_name=labels[rows].fillna(UNKNOWN).astype(str),
        column_name=labels[columns].fillna(UNKNOWN).astype(str) if columns else "",
    )


def _limited(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.head(MAX_GROUPS).assign(is_cut=len(frame) > MAX_GROUPS)


def _from_property_rollup(
    reader: Reader, filters: Filters, key: str, segments: Sequence[Segment], by: Sequence[str]
) -> pd.DataFrame:
    # Each rate of the display currency has rows of its own until they are added up.
    max_rows = (MAX_GROUPS + 1) * max(1, len(filters.rates))

    def load(parts: Sequence[Segment], columns: Sequence[str]) -> pd.DataFrame:
        return query_property(reader, filters, key, parts, columns, max_rows)

    return with_local_costs(filters, segments, by, load)


def _texts(dimension: str, values: pd.Series[str]) -> pd.Series[str]:
    """The values; those of a property as text, so that `unknown` and a missing property differ."""
    if key_of(dimension) is None:
        return values
    texts = [value_to_text(value if isinstance(value, str) else None) for value in values]
    return pd.Series(texts, index=values.index, dtype=object)


def matching_calls(reader: Reader, filters: Filters, chosen: Mapping[str, str], count: int = MAX_CALLS) -> pd.DataFrame:
    """The newest calls with the values in `chosen` (of one or two dimensions; `unknown` is NULL for a column)."""
    times = {name: value for name, value in chosen.items() if name in TIME_DIMENSIONS}
    properties = {key: value_from_text(text) for name, text in chosen.items() if (key := key_of(name)) is not None}
    filters = replace(filters, properties=(*filters.properties, *properties.items()))
    columns = {name: value for name, value in chosen.items() if name in COLUMNS}
    (rows, row_name), (columns_by, column_name) = [*columns.items(), ("", UNKNOWN), ("", UNKNOWN)][:2]
    parameters = {
        "rows_by": rows,
        "row_name": None if row_name == UNKNOWN else row_name,
        "columns_by": columns_by,
        "column_name": None if column_name == UNKNOWN else column_name,
        "count": count,
        **plan_range(divide_range(filters, []).segments, None).parameters(),
    }
    bound = {**filters.parameters(), **parameters, **_interval_parameters(filters, times)}
    return query_frame(reader, "matching_calls", bound)


def _interval_parameters(filters: Filters, times: Mapping[str, str]) -> dict[str, object]:
    """The range from the first to the last interval with these times, so that the index of the times limits it."""
    if not times:
        return {}
    intervals = intervals_of(filters, times)
    first, last = (intervals[0][0], intervals[-1][1]) if intervals else (0, 0)
    return {"start": _datetime(first), "end": _datetime(last), "intervals": interval_array(intervals)}


def _datetime(time_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=time_us)
