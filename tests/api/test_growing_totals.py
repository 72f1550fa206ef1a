"""The totals of /metrics never fall, whatever happens to the calls, and the number of their label sets is bounded."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tracker.metrics.growing_totals import MAX_LABEL_SETS, MEASURES, REMAINDER, LabelSet, Sums, Totals, count_sums


def label_set(number: int) -> LabelSet:
    return LabelSet("openai", f"model-{number}", "chat", "production")


def sums(value: int) -> Sums:
    return dict.fromkeys(MEASURES, Decimal(value))


def exported(totals: Totals, key: LabelSet) -> int:
    return int(totals[key].exported["cost_usd"])


@given(st.lists(st.dictionaries(st.integers(0, 3), st.integers(0, 100)), max_size=12))
def test_each_total_grows_by_the_increases_of_its_sum(history: list[dict[int, int]]) -> None:
    totals: Totals = {}
    expected: dict[int, int] = {}
    before: dict[int, int] = {}
    for values in history:
        totals = count_sums(totals, {label_set(number): sums(value) for number, value in values.items()})
        for number in {*values, *before}:
            increase = max(0, values.get(number, 0) - before.get(number, 0))
            expected[number] = expected.get(number, 0) + increase
            before[number] = values.get(number, 0)
    assert {key: exported(totals, key) for key in totals} == {label_set(n): value for n, value in expected.items()}


def test_the_first_label_sets_keep_their_series_and_later_ones_share_one() -> None:
    first = {label_set(number): sums(1) for number in range(MAX_LABEL_SETS + 5)}
    totals = count_sums({}, first)
    assert (len(totals), exported(totals, REMAINDER)) == (MAX_LABEL_SETS + 1, 5)
    # A label set that had no series gets none when it has the most calls, or when an older one has no calls any more.
    later = {label_set(MAX_LABEL_SETS + 2): sums(90), label_set(5000): sums(10), label_set(0): sums(3)}
    totals = count_sums(totals, later)
    assert (len(totals), exported(totals, REMAINDER), exported(totals, label_set(0))) == (MAX_LABEL_SETS + 1, 100, 3)
    assert exported(totals, label_set(1)) == 1
