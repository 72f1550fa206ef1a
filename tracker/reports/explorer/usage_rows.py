"""The usage grouped by any dimensions, as rows: the one question of the Usage API, the commands and the digest.

Every number equals that of the pages. Rollups answer questions by model, provider, operation, environment and time,
by user for the measures that the user rollups have, and by one indexed property with model, provider and time. Other
questions read the rows under the time limit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from tracker.errors import SettingError
from tracker.messages import Message
from tracker.property_names import key_of
from tracker.reports.engine.query_properties import indexed_key, unavailable_calls
from tracker.reports.engine.query_rollups import query_rollups_by_segment, query_user_rollups
from tracker.reports.engine.reader import Reader
from tracker.reports.explorer.time_dimensions import TIME_DIMENSIONS, divide_range, sort_key
from tracker.reports.filters import Filters
from tracker.rollups.range_plan import Segment, plan_range

COLUMNS = ("model", "provider", "operation", "user", "environment", "platform", "deployment", "session")
DIMENSIONS = (*COLUMNS, *TIME_DIMENSIONS)
"""The names of the dimensions, besides `metadata.KEY` for each property."""
MEASURES = (
    "calls",
    "failed_calls",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "reasoning_output_tokens",
    "cost_usd",
    "unpriced_calls",
)
DEFAULT_MEASURES = ("calls", "failed_calls", "input_tokens", "output_tokens", "total_tokens", "cost_usd")
MAX_ROWS = 10_000
MAX_PROPERTIES = 2
_ROLLUP_COLUMNS = frozenset({"model", "provider", "operation", "environment"})
_USER_ROLLUP_MEASURES = frozenset({"calls", "total_tokens", "cost_usd", "unpriced_calls"})
_STEP = "step"
_PROPERTY_COLUMNS = ("first_property", "second_property")
Value = str | int | Decimal | None
UsageRow = dict[str, Value]


@dataclass(frozen=True, slots=True)
class UsageRows:
    """Rows with a value for each dimension (None: not set) and measure, in the order of the dimensions.

    Times are in chronological order, other values by their tokens, the largest first. `cost_usd` is None if no call of
    the row has a price. `is_cut`: only the `MAX_ROWS` rows with the most tokens. `overlaps`: a call whose property is a
    list counts in several rows, so the rows add up to more than the total. `pruned_until`: calls of the range before
    this time were pruned, and no rollup has them by these dimensions, so that they are not in the rows.
    """

    dimensions: tuple[str, ...]
    measures: tuple[str, ...]
    rows: list[UsageRow]
    is_cut: bool = False
    overlaps: bool = False
    pruned_until: datetime | None = None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader must know about the sums."""
        remarks = []
        if self.overlaps:
            remarks.append("A call with several values of a property counts in several rows.")
        if self.pruned_until is not None:
            remarks.append(f"Calls before {self.pruned_until:%Y-%m-%d} were pruned; they are not in these rows.")
        return tuple(remarks)

    def as_json(self) -> list[dict[str, str | int | None]]:
        """The rows as JSON values; an amount is a decimal string, which loses no digit."""
        return [
            {name: format(value, "f") if isinstance(value, Decimal) else value for name, value in row.items()}
            for row in self.rows
        ]


def usage_rows(
    reader: Reader,
    filters: Filters,
    dimensions: Sequence[str] = (),
    measures: Sequence[str] = DEFAULT_MEASURES,
    *,
    max_rows: int = MAX_ROWS,
) -> UsageRows:
    """The measures by dimensions; without dimensions, the total as one row. `unpriced_calls` is always included.

    Raises `SettingError` for an unknown dimension or measure, with the valid names, and `DatabaseError`.
    """
    names = check_dimensions(dimensions)
    chosen = tuple(dict.fromkeys((*check_measures(measures), "unpriced_calls")))
    times = [name for name in names if name in TIME_DIMENSIONS]
    properties = [name for name in names if key_of(name) is not None]
    columns = [name for name in names if name in COLUMNS]
    divided = divide_range(filters, times)
    by = [*columns, *([_STEP] if times else [])]
    from_rows = False
    is_indexed = len(properties) == 1 and indexed_key(reader, filters, [*properties, *columns]) is not None
    if is_indexed or (not properties and set(columns) <= _ROLLUP_COLUMNS):
        records = _records(query_rollups_by_segment(reader, "usage", filters, divided.segments, by=[*properties, *by]))
    elif list(names) == ["user"] and set(chosen) <= _USER_ROLLUP_MEASURES:
        records = _from_user_rollups(reader, filters, max_rows + 1)
    else:
        from_rows = True
        records = _from_rows(reader, filters, divided.segments, by, properties, max_rows + 1)
    records = [record for record in records if record["calls"]]
    records.sort(key=lambda record: -record["total_tokens"])
    is_cut, records = len(records) > max_rows, records[:max_rows]
    property_columns = dict(zip(properties, ("value",) if is_indexed else _PROPERTY_COLUMNS, strict=False))

    def value(record: Mapping[str, Any], name: str) -> Any:
        if name in times:
            return divided.values[int(record[_STEP])][times.index(name)]
        return record[property_columns.get(name, name)]

    rows: list[UsageRow] = [
        {**{name: value(record, name) for name in names}, **{name: record[name] for name in chosen}}
        for record in records
    ]
    tokens = [int(record["total_tokens"]) for record in records]
    overlaps = any(record.get("overlaps") for record in records)
    pruned_until = _pruned_until(reader, filters, properties[0] if is_indexed else None, from_rows=from_rows)
    return UsageRows(names, chosen, _sorted(rows, tokens, names), is_cut, overlaps, pruned_until)


def _pruned_until(
    reader: Reader, filters: Filters, indexed_property: str | None, *, from_rows: bool
) -> datetime | None:
    """The end of the pruned part of the range, if the rows lack its calls."""
    detail_from = reader.freshness().detail_from
    if detail_from is None or filters.start >= detail_from:
        return None
    key = key_of(indexed_property)
    lacks_calls = from_rows or (key is not None and unavailable_calls(reader, filters, key) > 0)
    return detail_from if lacks_calls else None


def check_dimensions(dimensions: Sequence[str]) -> tuple[str, ...]:
    """The dimensions, each one once. Raises `SettingError` for an unknown one and for too many properties."""
    names = tuple(dict.fromkeys(dimensions))
    for name in names:
        if name not in DIMENSIONS and not key_of(name):
            valid = ", ".join((*DIMENSIONS, "metadata.KEY"))
            raise SettingError(Message("reports.dimension_unknown", name=repr(name[:60]), names=valid))
    if sum(key_of(name) is not None for name in names) > MAX_PROPERTIES:
        raise SettingError(Message("reports.too_many_properties", limit=MAX_PROPERTIES))
    return names


def check_measures(measures: Sequence[str]) -> tuple[str, ...]:
    """The measures, each one once. Raises `SettingError` for an unknown one."""
    for name in measures:
        if name not in MEASURES:
            raise SettingError(Message("reports.measure_unknown", name=repr(name[:60]), names=", ".join(MEASURES)))
    return tuple(dict.fromkeys(measures))


def _from_rows(
    reader: Reader,
    filters: Filters,
    segments: Sequence[Segment],
    by: Sequence[str],
    properties: Sequence[str],
    count: int,
) -> list[dict[str, Any]]:
    keys = [key_of(name) for name in properties]
    parameters = {
        **filters.parameters(),
        **plan_range(segments, None).parameters(),
        "by": list(by),
        "count": count,
        "usage_key": keys[0] if keys else None,
        "other_key": keys[1] if len(keys) > 1 else None,
    }
    return reader.rows("usage_rows_properties" if properties else "usage_rows", parameters)


def _from_user_rollups(reader: Reader, filters: Filters, count: int) -> list[dict[str, Any]]:
    records = _records(query_user_rollups(reader, "top_users", filters, by_bucket=False, more={"count": count}))
    return [{**record, "user": record["user_id"]} for record in records]


def _records(frame: Any) -> list[dict[str, Any]]:
    """The rows of a frame, with None instead of NaN and with Python's numbers."""
    records = frame.astype(object).to_dict("records")
    return [{name: None if value != value else value for name, value in record.items()} for record in records]


def _sorted(rows: list[UsageRow], tokens: Sequence[int], dimensions: Sequence[str]) -> list[UsageRow]:
    """The rows by the first dimension, then by the second, and so on: times in order, other values by their tokens."""
    totals: dict[tuple[Value, ...], int] = defaultdict(int)
    for row, number in zip(rows, tokens, strict=True):
        for length in range(1, len(dimensions) + 1):
            totals[tuple(row[name] for name in dimensions[:length])] += number

    def key(row: UsageRow) -> tuple[Any, ...]:
        parts: list[Any] = []
        for position, name in enumerate(dimensions):
            value = row[name]
            if name in TIME_DIMENSIONS:
                parts.append(sort_key(name)(str(value)))
            else:
                prefix = tuple(row[other] for other in dimensions[: position + 1])
                parts.append((-totals[prefix], value is None, str(value)))
        return tuple(parts)

    return sorted(rows, key=key)
