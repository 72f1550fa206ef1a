"""Which reports the matching rule takes for one call, without a database."""

from __future__ import annotations

import pytest

from tracker.otlp.storing.call_report import CallReport, match_score


def observed(scope, **fields):
    usual = {"record_id": "", "model": "gpt-4.1", "started_s": 10.0, "ended_s": 12.0, "call_id": ""}
    return CallReport(**{**usual, "scope": scope, "counts": (100, 20, 0, 0, 0), **fields})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929", True),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5", True),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5", True),
        ("models/gemini-2.5-flash", "gemini-2.5-flash", True),
        ("gemini-2.0-flash", "gemini-2.0-flash-001", True),
        ("gemini-2.5-flash-preview-05-20", "gemini-2.5-flash", True),
        ("openai/gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-11-20", False),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4.1", "gpt-4", False),
        ("text-embedding-3-small", "text-embedding-3-large", False),
    ],
)
def test_which_names_are_one_model(one, other, same):
    assert (match_score(observed("a", model=one), observed("b", model=other)) is not None) is same


def test_the_requested_name_of_one_side_is_the_model_of_the_other():
    named = observed("a", model="prod-deployment")
    assert match_score(named, observed("b", model="gpt-4o", request_model="prod-deployment"))
    assert not match_score(named, observed("b", model="gpt-4o", request_model="other"))


def test_a_part_that_one_side_lacks_separates_nothing_and_one_that_differs_does():
    cached = observed("a", counts=(100, 20, 60, 0, 0))
    assert match_score(cached, observed("b"))
    assert not match_score(cached, observed("b", counts=(100, 20, 50, 0, 0)))


def test_reports_that_only_have_zeros_in_common_are_two_calls():
    assert not match_score(observed("a", counts=(100, 0, 0, 0, 0)), observed("b", counts=(0, 20, 0, 0, 0)))
