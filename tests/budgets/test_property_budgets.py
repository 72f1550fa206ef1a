"""Budgets by property: sums equal to the rows, the command, the form of the page, and tables of earlier versions."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from rollups_support import NOON, Store
from support import ROOT, rows, run

from tracker.budgets import budget_store, evaluate
from tracker.budgets.budget import Budget
from tracker.budgets.evaluate import build_alert, evaluate_budgets
from tracker.budgets.property_pairs import Pairs, describe_pairs, parse_pair, to_subject
from tracker.cli import main
from tracker.errors import SettingError
from tracker.platforms import Runtime

SET = ["budget", "set", "growth", "--usd", "10", "--per", "month"]


@pytest.fixture
def pages_on_path() -> Iterator[None]:
    sys.path.insert(0, str(ROOT / "pages"))
    yield
    sys.path.remove(str(ROOT / "pages"))


def put(store: Store, name: str, pairs: Pairs, **fields: object) -> None:
    values = {"period": "day", "measure": "tokens", "amount": Decimal(1000), "scope": "property", **fields}
    budget = Budget(name=name, subject=to_subject(pairs), **values)
    budget_store.save(store.connection, budget_store.read_access(store.connection, None), budget)


def test_a_budget_counts_exactly_the_calls_with_its_properties(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [{"team": "growth", "tags": ["a", "b"]}, {"team": "growth"}, {"team": "x"}, {"tags": ["a"]}, {}]
    store.add(
        {"metadata": json.dumps(document), "created_at": NOON, "total_tokens": 10**number, "cost": Decimal(number)}
        for number, document in enumerate(documents)
    )
    growth = json.dumps({"team": "growth"})
    store.call(metadata=growth, created_at=NOON, total_tokens=70_000, is_test=True)
    store.call(metadata=growth, created_at=NOON - timedelta(days=2), total_tokens=80_000)
    store.call(metadata=growth, created_at=NOON, total_tokens=5, cost=None)
    store.catch_up()
    put(store, "growth", (("team", "growth"),))
    put(store, "usd", (("team", "growth"),), measure="usd")
    put(store, "month", (("team", "growth"),), period="month")
    put(store, "tag", (("tags", "a"),))
    put(store, "both tags", (("tags", "a"), ("tags", "b")))
    put(store, "no team", (("team", None),))
    put(store, "none", (("team", "grow"), ("%s", "'; --")))
    checked = evaluate_budgets(store.connection, None, NOON)
    assert {state.budget.name: state.used for state in checked.states} == {
        "growth": 16,
        "usd": 1,
        "month": 80_016,
        "tag": 1_001,
        "both tags": 1,
        "no team": 11_000,
        "none": 0,
    }
    unpriced = {state.budget.name: state.spent.unpriced_calls for state in checked.states}
    assert (unpriced["usd"], unpriced["tag"]) == (1, 0)
    alert = build_alert(checked.states[0], 80, Runtime(platform="local", environment="test"))
    assert (alert["scope"], alert["subject"]) == ("property", "team = growth")
    monkeypatch.setattr(evaluate, "_PROPERTY_TIMEOUT_S", 0.001)
    store.add({"metadata": growth, "created_at": NOON} for _ in range(3_000))
    late = evaluate_budgets(store.connection, None, NOON)
    assert len(late.states) + len(late.remarks) == 7
    assert "could not be read within 0.001 s" in late.remarks[0]


def test_the_command_sets_a_budget_of_properties(
    at: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([*SET, "--property", "team=growth", "--property", "metadata.feature = a=b"]) == 0
    assert main(["budget", "list", "--json"]) == 0
    (document,) = json.loads(capsys.readouterr().out.partition("\n")[2])["budgets"]
    pairs = [{"key": "feature", "value": "a=b"}, {"key": "team", "value": "growth"}]
    assert (document["scope"], document["subject"], document["properties"]) == ("property", None, pairs)
    assert main(["budget", "list"]) == 0
    assert "(feature = a=b, team = growth): $0.00 of $10.00 this month" in capsys.readouterr().out
    assert main([*SET, "--property", "team"]) != 0
    assert "write KEY=VALUE, such as team=growth" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*SET, "--property", "team=growth", "--model", "gpt"])
    capsys.readouterr()
    run(
        at.url,
        "DELETE FROM token_tracker_budgets",
        "ALTER TABLE token_tracker_budgets DROP CONSTRAINT token_tracker_budgets_scope_check",
        "ALTER TABLE token_tracker_budgets ADD CHECK (scope IN ('everybody', 'user', 'model', 'operation'))",
    )
    assert main([*SET, "--property", "team=growth"]) != 0
    assert "does not accept properties yet" in capsys.readouterr().err
    run(at.url, "DELETE FROM token_tracker_migrations WHERE version = 16")
    assert main(["migrate"]) == 0
    assert main([*SET, "--property", "team=(not set)"]) == 0
    assert rows(at.url, "SELECT subject FROM token_tracker_budgets") == [('[["team", null]]',)]


@pytest.mark.parametrize(
    "pair", [("team", "growth"), ("a=b", "c=d"), ("", ""), ("team", None), ("k", "(not set)"), ("🙂.%s", "'\" ")]
)
def test_a_pair_is_read_from_its_text(pair: tuple[str, str | None]) -> None:
    text = describe_pairs((pair,))
    assert parse_pair(text) == (pair[0], pair[1] and pair[1].strip())


@pytest.mark.parametrize("subject", ["", "x", "{}", "[]", '[["a"]]', '[["a", 1]]', "[1]", "[" * 5000])
def test_a_subject_that_is_no_list_of_pairs_is_refused(subject: str) -> None:
    with pytest.raises(SettingError):
        Budget(name="b", scope="property", subject=subject, period="day", measure="tokens", amount=Decimal(1))


@pytest.mark.usefixtures("pages_on_path")
def test_the_form_keeps_the_pairs_of_a_budget() -> None:
    from pages.sections.pricing.budget_form import _properties_text, read_form

    values = {"name": "b", "subject": "", "amount": "5", "measure": "usd", "period": "day", "scope": "property"}
    values |= {"alert_percent": 80, "timezone": "UTC"}  # type: ignore[dict-item]
    for pairs in ((("team", "growth"), ("x", None)), (("line\nbreak", "a\u2028b"),), (("a=b", " spaces "),)):
        budget, problems = read_form({**values, "properties": _properties_text(pairs)}, None)
        assert problems == []
        assert budget is not None
        assert set(budget.properties) == set(pairs)
    for text in ("", "team", "[[1, 2]]"):
        budget, problems = read_form({**values, "properties": text}, None)
        assert budget is None
        assert len(problems) == 1
    budget, problems = read_form({**values, "properties": "team = growth", "subject": "u_1"}, None)
    assert budget is None
