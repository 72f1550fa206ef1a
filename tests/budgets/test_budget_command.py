"""token-tracker budget, and the budget checks of rollup and of a recorder."""

from __future__ import annotations

import json

import pytest
from support import a_call, eventually, run, value, with_role

from tracker.cli import main

SET = ["budget", "set", "everybody's day", "--tokens", "1,000", "--per", "day"]


def test_a_budget_is_set_listed_changed_and_removed(at, capsys):
    assert main(SET) == 0
    assert main(["budget", "list", "--json"]) == 0
    said = capsys.readouterr().out
    document = json.loads(said.partition("\n")[2])
    (found,) = document["budgets"]
    assert (found["limit"], found["used"], found["period"], found["scope"]) == ("1000", "0", "day", "everybody")
    assert main([*SET[:3], "--usd", "12.50", "--per", "month", "--user", "u_1", "--timezone", "Asia/Seoul"]) == 0
    assert "Changed" in capsys.readouterr().out
    assert main(["budget", "list"]) == 0
    assert "(user u_1): $0.00 of $12.50 this month, 0%" in capsys.readouterr().out
    assert main(["budget", "remove", SET[2]]) == 0
    assert main(["budget", "remove", SET[2]]) == 1
    assert "no budget" in capsys.readouterr().err


def test_check_sends_what_is_due_once_and_is_exit_1_while_a_limit_is_reached(at, capsys, listener, monkeypatch):
    monkeypatch.setenv("TRACKER_ALERT_URLS", listener.url)
    assert main(SET) == 0
    assert main(["budget", "check"]) == 0
    at.call(total_tokens=900)
    assert main(["budget", "check"]) == 0
    at.call(total_tokens=200)
    assert main(["budget", "check"]) == 1
    assert main(["budget", "check", "--json"]) == 1
    assert [(alert["type"], alert["percent"]) for alert in listener.heard] == [
        ("token_budget_reached", 80),
        ("token_budget_reached", 100),
    ]
    assert "1,100 tokens of 1,000 tokens today, 110%" in capsys.readouterr().out


def test_without_an_alert_url_no_alert_counts_as_sent(at, capsys, listener, monkeypatch):
    monkeypatch.delenv("TRACKER_ALERT_URLS", raising=False)
    main(SET)
    at.call(total_tokens=1000)
    capsys.readouterr()
    assert main(["budget", "check"]) == 1
    printed = capsys.readouterr()
    assert "Alerts sent" not in printed.out
    assert "TRACKER_ALERT_URLS is not set" in printed.err
    monkeypatch.setenv("TRACKER_ALERT_URLS", listener.url)
    assert main(["budget", "check"]) == 1
    assert [alert["percent"] for alert in listener.heard] == [100]


def test_a_refresh_of_the_rollups_evaluates_budgets(at, listener, monkeypatch):
    monkeypatch.setenv("TRACKER_ALERT_URLS", listener.url)
    main(SET)
    at.call(total_tokens=1000)
    assert main(["rollup"]) == 0
    assert [alert["percent"] for alert in listener.heard] == [100]


def test_a_background_recorder_evaluates_budgets_and_sends_one_alert(at, new_tracker, listener):
    main(SET)
    recorder = new_tracker(mode="background", alert_urls=listener.url)
    recorder.record(a_call(input_tokens=5000))
    (alert,) = eventually(lambda: listener.heard)
    assert (alert["budget"], alert["percent"]) == (SET[2], 100)
    assert "1,000 tokens today" in alert["error"]


def test_a_closing_recorder_evaluates_budgets(at, new_tracker, listener):
    main(SET)
    recorder = new_tracker(mode="background", alert_urls=listener.url)
    recorder.record(a_call(input_tokens=1, output_tokens=1))
    eventually(lambda: value(at.url, "SELECT count(*) FROM token_usage") == 1)
    recorder.record(a_call(input_tokens=5000))
    eventually(lambda: value(at.url, "SELECT count(*) FROM token_usage") == 2)
    recorder.close()
    assert [alert["percent"] for alert in listener.heard] == [100]


def test_a_recorder_without_privileges_for_budgets_records(at, new_tracker, limited_url, caplog):
    main(SET)
    recorder = new_tracker(mode="background", database_url=limited_url)
    recorder.record(a_call(input_tokens=5000))
    recorder.close()
    assert value(at.url, "SELECT count(*) FROM token_usage") == 1
    assert value(at.url, "SELECT count(*) FROM token_tracker_budget_alerts") == 0
    assert [record for record in caplog.records if record.levelname in {"ERROR", "WARNING"}] == []


@pytest.mark.parametrize(
    "arguments",
    [
        [*SET[:3], "--tokens", "many", "--per", "day"],
        [*SET[:3], "--tokens", "1.5", "--per", "day"],
        [*SET[:3], "--tokens", "0", "--per", "day"],
        [*SET[:3], "--usd", "nan", "--per", "day"],
        [*SET[:3], "--usd", "1e999999", "--per", "day"],
        [*SET, "--alert-at", "0"],
        [*SET, "--timezone", "Asia/Soul"],
        [*SET, "--user", ""],
        ["budget", "set", "a\nb", "--tokens", "1", "--per", "day"],
    ],
)
def test_a_budget_that_cannot_be_right_is_exit_2_and_one_line(at, capsys, arguments):
    assert main(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert value(at.url, "SELECT count(*) FROM token_tracker_budgets") == 0


@pytest.mark.parametrize("action", [["list"], ["check"], ["remove", "x"], SET[1:]])
def test_a_missing_table_and_a_missing_right_are_one_sentence(at, capsys, monkeypatch, new_role, action):
    monkeypatch.setenv("DATABASE_URL", with_role(at.url, new_role()))
    assert main(["budget", *action]) == 1
    assert "GRANT" in capsys.readouterr().err
    run(at.url, "DROP TABLE token_tracker_budgets")
    monkeypatch.setenv("DATABASE_URL", at.url)
    assert main(["budget", *action]) == 1
    said = capsys.readouterr().err
    assert "token-tracker migrate" in said
    assert len(said.splitlines()) == 1
