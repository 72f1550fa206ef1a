"""The values that a record may contain; PostgreSQL returns each accepted value unchanged."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import secrets
import time
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import numpy as np
import pandas as pd
import psycopg2
import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from support import a_call

from tracker import TokenUsage, UsageError, UsageTypeError
from tracker.usage import FIELDS, MAX_INTEGER, new_id

# --- what can't be right ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"input_tokens": -1},
        {"output_tokens": -1},
        {"input_tokens": MAX_INTEGER + 1},
        {"input_tokens": 10**5000},
        {"input_tokens": MAX_INTEGER, "output_tokens": 1},  # the sum overflows
        {"total_tokens": MAX_INTEGER + 1},
        {"processing_time": -1},
        {"processing_time": MAX_INTEGER + 1},
        {"input_tokens": 10, "output_tokens": 5, "total_tokens": 14},
        {"input_tokens": 10, "cache_read_input_tokens": 11},
        {"input_tokens": 10, "cache_read_input_tokens": 6, "cache_write_input_tokens": 5},
        {"output_tokens": 10, "reasoning_output_tokens": 11},
        {"model": ""},
        {"model": " \t\n"},
        {"user_id": ""},
        {"operation": ""},
        {"created_at": datetime(2026, 1, 1)},  # noqa: DTZ001  the point
        {"created_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=9)))},
        {"created_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-9)))},
        {"created_at": pd.NaT},
        {"cost": -1},
        {"cost": "-0.01"},
        {"cost": float("nan")},
        {"cost": float("inf")},
        {"cost": Decimal("NaN")},
        {"cost": Decimal("sNaN")},
        {"cost": Decimal("Infinity")},
        {"cost": "one dollar"},
        {"cost": ""},
        {"cost": 10**9},
        {"metadata": {"x": float("nan")}},
        {"metadata": {"x": [float("inf")]}},
        {"metadata": {"x": 10**5000}},
        {"id": "not-a-uuid"},
    ],
    ids=lambda fields: "+".join(fields),
)
def test_a_value_that_cannot_be_right_raises_usage_error(fields):
    with pytest.raises(UsageError):
        TokenUsage(**{"model": "m", **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"input_tokens": True},
        {"input_tokens": np.bool_(True)},
        {"input_tokens": 1.0},
        {"input_tokens": float("nan")},
        {"input_tokens": "12"},
        {"input_tokens": None},
        {"total_tokens": 1.5},
        {"processing_time": 12.5},
        {"processing_time": False},
        {"model": None},
        {"model": b"gemini"},
        {"user_id": 42},
        {"session_id": 42},
        {"success": 1},
        {"success": None},
        {"is_test": "no"},
        {"created_at": "2026-01-01T00:00:00Z"},
        {"created_at": 1_767_225_600},
        {"created_at": None},
        {"cost": True},
        {"cost": [1]},
        {"metadata": None},
        {"metadata": [("a", 1)]},
        {"metadata": {"x": object()}},
        {"metadata": {"x": b"bytes"}},
        {"metadata": {("a", "b"): 1}},
        {"id": 7},
        {"id": None},
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_of_the_wrong_type_raises_usage_type_error(fields):
    with pytest.raises(UsageTypeError):
        TokenUsage(**{"model": "m", **fields})


def test_the_errors_are_a_value_error_and_a_type_error_for_callers_who_know_no_others():
    with pytest.raises(ValueError, match="input_tokens is -1"):
        a_call(input_tokens=-1)
    with pytest.raises(TypeError, match="input_tokens is a bool"):
        a_call(input_tokens=True)


def test_metadata_nested_too_deeply_is_a_usage_error():
    deep: dict = {}
    for _ in range(200_000):
        deep = {"d": deep}
    with pytest.raises(UsageError, match="metadata"):
        a_call(metadata=deep)


def test_there_is_no_call_without_a_model():
    with pytest.raises(TypeError):
        TokenUsage()


# --- what is made of what is given --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint8])
def test_numpys_integers_become_ints(kind):
    usage = a_call(input_tokens=kind(12))
    assert usage.input_tokens == 12
    assert type(usage.input_tokens) is int


def test_the_total_is_the_sum_unless_given():
    assert a_call(input_tokens=3, output_tokens=4).total_tokens == 7
    assert a_call(input_tokens=3, output_tokens=4, total_tokens=9).total_tokens == 9


def test_subsets_may_be_all_of_what_includes_them():
    usage = a_call(
        input_tokens=9,
        cache_read_input_tokens=4,
        cache_write_input_tokens=5,
        output_tokens=3,
        reasoning_output_tokens=3,
    )
    assert usage.total_tokens == 12


@pytest.mark.parametrize(
    ("given", "cost"),
    [
        (0.1, Decimal("0.1")),
        (1e-7, Decimal("0.0000001")),
        (np.float64(0.3), Decimal("0.3")),
        ("0.000125", Decimal("0.000125")),
        (Decimal("1.10"), Decimal("1.10")),
        (3, Decimal(3)),
        (0, Decimal(0)),
        (None, None),
    ],
)
def test_cost_is_a_decimal_and_a_float_is_read_by_its_shortest_form(given, cost):
    assert a_call(cost=given).cost == cost


def test_a_price_divided_to_the_last_digit_of_decimal_is_a_cost():
    assert a_call(cost=Decimal("0.30") * 7 / 1_000_000 / 3).cost > 0


def test_a_given_cost_has_the_source_provided():
    assert a_call(cost=1).cost_source == "provided"
    assert a_call(cost=1, cost_source="genai-prices 0.1").cost_source == "genai-prices 0.1"
    assert a_call().cost_source is None


def test_created_at_becomes_utc():
    seoul = timezone(timedelta(hours=9))
    usage = a_call(created_at=datetime(2026, 1, 1, 9, tzinfo=seoul))
    assert usage.created_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert usage.created_at.tzinfo is UTC


def test_created_at_is_now_unless_given():
    before = datetime.now(UTC)
    assert before <= a_call().created_at <= datetime.now(UTC)


@pytest.mark.parametrize("name", ["model", "user_id", "operation", "session_id", "provider", "error_message"])
def test_nul_and_lone_surrogates_in_text_are_replaced(name):
    assert getattr(a_call(**{name: "a\x00b\ud800c\udfffd"}), name) == "a\ufffdb\ufffdc\ufffdd"


def test_nul_and_lone_surrogates_in_metadata_are_replaced_keys_included():
    usage = a_call(metadata={"k\x00": ["\ud800", {"\udc00": "v\x00"}]})
    assert usage.metadata == {"k\ufffd": ["\ufffd", {"\ufffd": "v\ufffd"}]}


def test_metadata_is_a_copy():
    given = {"tags": ["a"]}
    usage = a_call(metadata=given)
    given["tags"].append("b")
    assert usage.metadata == {"tags": ["a"]}


def test_an_id_may_be_given_as_text():
    assert a_call(id="01890a5d-ac96-774b-bcce-b302099a8057").id == UUID("01890a5d-ac96-774b-bcce-b302099a8057")


# --- the record as an object --------------------------------------------------------------------------------------


def test_a_record_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        a_call().model = "other"


def test_dataclass_functions_accept_a_record():
    usage = a_call(metadata={"a": 1})
    assert dataclasses.is_dataclass(TokenUsage)
    assert dataclasses.is_dataclass(usage)
    assert tuple(field.name for field in dataclasses.fields(usage)) == FIELDS
    assert dataclasses.asdict(usage) == usage.as_row()
    other = dataclasses.replace(usage, model="other")
    assert (other.model, other.id, other.metadata) == ("other", usage.id, usage.metadata)
    with pytest.raises(ValueError, match="input_tokens"):
        dataclasses.replace(usage, input_tokens=-1)


def test_a_record_can_be_copied_pickled_compared_and_shown():
    usage = a_call(metadata={"a": [1]})
    for other in (copy.copy(usage), copy.deepcopy(usage), pickle.loads(pickle.dumps(usage))):
        assert other == usage
        assert hash(other) == hash(usage)
    assert usage != a_call()
    assert usage != 1
    assert repr(usage).startswith("TokenUsage(model='gemini-2.5-flash', input_tokens=812, ")


@pytest.mark.parametrize("name", ["created_at", "metadata", "id"])
def test_generated_fields_may_be_omitted_but_not_none(name):
    with pytest.raises(TypeError, match=name):
        a_call(**{name: None})


def test_neither_too_much_nor_too_little_makes_a_record():
    with pytest.raises(TypeError, match="colour"):
        a_call(colour="red")
    with pytest.raises(TypeError, match="model"):
        TokenUsage()
    with pytest.raises(dataclasses.FrozenInstanceError):
        del a_call().model


def test_a_record_has_slots():
    assert not hasattr(a_call(), "__dict__")


def test_a_records_row_has_its_fields():
    usage = a_call(metadata={"a": 1})
    assert tuple(usage.as_row()) == FIELDS
    assert usage.as_row()["metadata"] == {"a": 1}


def test_a_record_can_be_in_a_set():
    usage = a_call()
    assert len({usage, dataclasses.replace(usage), a_call()}) == 2


# --- ids ----------------------------------------------------------------------------------------------------------


def test_an_id_is_a_uuid_of_version_7_and_the_rfcs_variant():
    for _ in range(100):
        made = new_id()
        assert (made.version, made.variant) == (7, "specified in RFC 4122")


def test_an_ids_first_48_bits_are_the_milliseconds_of_its_making():
    before = time.time_ns() // 1_000_000
    made = new_id().int >> 80
    assert before <= made <= time.time_ns() // 1_000_000


def test_ids_never_go_back_in_time():
    ids = [new_id() for _ in range(5000)]
    prefixes = [made.int >> 64 for made in ids]
    assert prefixes == sorted(prefixes)


def test_ids_are_unique():
    assert len({new_id() for _ in range(20_000)}) == 20_000


def test_each_record_has_an_id_of_its_own():
    assert a_call().id != a_call().id


# --- what is accepted can be stored -------------------------------------------------------------------------------

_text = st.text(st.characters(), max_size=40)  # lone surrogates and NUL too
_name = _text.filter(lambda text: text.strip())
_count = st.integers(0, MAX_INTEGER // 2)
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=True)
    | _text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4),
    max_leaves=12,
)
_offsets = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
_costs = st.one_of(
    st.none(),
    st.decimals(0, 10**9 - 1, allow_nan=False, allow_infinity=False),
    st.floats(0, 1e8, allow_subnormal=False),
    st.integers(0, 10**9 - 1),
)


_records = st.fixed_dictionaries(
    {
        "model": _name,
        "user_id": _name,
        "operation": _name,
        "input_tokens": _count,
        "output_tokens": _count,
        "cost": _costs,
        "processing_time": st.none() | st.integers(0, MAX_INTEGER),
        "success": st.booleans(),
        "is_test": st.booleans(),
        "session_id": st.none() | _text,
        "error_message": st.none() | _text,
        "created_at": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=_offsets),  # noqa: DTZ001
        "metadata": st.dictionaries(_text, _json, max_size=4),
        "id": st.uuids(),
    }
)


def _stored(connection: psycopg2.extensions.connection, usage: TokenUsage) -> dict:
    with connection.cursor() as cursor:
        # By names of our own zone: psycopg2 reads a timestamptz in the session's.
        cursor.execute("SET timezone = 'UTC'")
        cursor.execute(f"SELECT {', '.join(FIELDS)} FROM token_usage WHERE id = %s", (str(usage.id),))
        row = dict(zip(FIELDS, cursor.fetchone(), strict=True))
    return row | {"id": UUID(row["id"])}


def _with_decimals(given):
    """Numbers by their decimal digits, as JSON means them: 1e22 comes back as a whole number."""
    if isinstance(given, dict):
        return {key: _with_decimals(inner) for key, inner in given.items()}
    if isinstance(given, list):
        return [_with_decimals(inner) for inner in given]
    if isinstance(given, int | float) and not isinstance(given, bool):
        return Decimal(str(given))
    return given


def test_postgres_returns_accepted_records_unchanged(recorder, connection):
    @given(_records)
    @examples(max_examples=150)
    @example({"model": "m", "cost": Decimal("0E+9999999999")})
    @example({"model": "m", "cost": "0." + "1" * 17_000})
    @example({"model": "m", "cost": 1e-30})
    @example({"model": "m", "metadata": {"a": -0.0, "b": 5e-324, "c": 1.7976931348623157e308, "d": 10**300}})
    @example({"model": "m", "metadata": {"%s": "%(x)s", "\\": "\\u0000", "'": '"'}})
    @example({"model": "%s \\' $1 \u2028", "user_id": "😀" * 200})
    def round_trip(fields):
        try:
            usage = TokenUsage(**fields)
        except UsageError:
            return
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM token_usage")  # ids repeat from example to example
        outcome = recorder.record(usage)
        assert outcome.status == "recorded", outcome.error
        assert _with_decimals(_stored(connection, usage)) == _with_decimals(usage.as_row())

    round_trip()


@pytest.mark.parametrize("name", ["model", "user_id", "session_id", "operation", "error_message"])
def test_a_very_long_text_is_refused_or_stored_but_not_lost(name, recorder, connection):
    """An index entry holds 2,704 bytes: what is too long for one must be found out at construction."""
    try:
        usage = a_call(**{name: secrets.token_hex(4_000)})
    except UsageError:
        return
    assert recorder.record(usage).error is None
    assert _stored(connection, usage)[name] == getattr(usage, name)


def test_a_pandas_timestamp_comes_back_to_the_microsecond(recorder, connection):
    usage = a_call(created_at=pd.Timestamp("2026-03-01T12:00:00.123456789+09:00"))
    assert recorder.record(usage).error is None
    written = datetime(2026, 3, 1, 3, 0, 0, 123456, UTC)
    assert abs(_stored(connection, usage)["created_at"] - written) <= timedelta(microseconds=1)


def test_the_log_line_of_a_lost_record_is_json(caplog, tmp_path):
    from tracker import Tracker

    usage = a_call(model="a\x00\n\u2028b", cost=1e-9, metadata={"k": ["\ud800"]})
    recorder = Tracker(database_url="nothing of the kind", mode="direct", outbox=tmp_path)  # a directory is no file
    assert recorder.record(usage).status == "failed"
    (line,) = [line for line in caplog.messages if "token_usage.failed" in line]
    assert json.loads(line)["record"]["model"] == "a\ufffd\n\u2028b"
