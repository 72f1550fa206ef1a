"""What stood in a report's way in the wild: times that Python hasn't, blank variables, tables that can't be adopted."""

from __future__ import annotations

import json

import pytest
from support import python, run


def doctor(url: str, **env: str) -> dict:
    done = python("-m", "tracker", "doctor", "--json", env={"DATABASE_URL": url, **env})
    assert "Traceback" not in done.stderr
    return {**json.loads(done.stdout), "exit": done.returncode}


@pytest.mark.parametrize("moment", ["12026-01-01 00:00+00", "0044-03-15 00:00+00 BC"])
def test_a_call_in_a_year_that_python_does_not_know_stops_no_report(database_url, moment):
    columns = "created_at, model, input_tokens, output_tokens, total_tokens"
    run(database_url, f"INSERT INTO token_usage ({columns}) VALUES ('{moment}', 'm', 1, 1, 2)")
    assert doctor(database_url)["healthy"]


def test_a_platform_that_is_none_is_named(database_url):
    found = doctor(database_url, TRACKER_PLATFORM="mars")
    assert found["exit"] == 2
    assert any("TRACKER_PLATFORM" in one["cause"] for one in found["recommendations"])


def test_a_table_that_cannot_be_adopted_is_named_before_what_it_lacks(empty_database_url):
    run(empty_database_url, "CREATE TABLE token_usage (id text PRIMARY KEY, model text NOT NULL)")
    codes = [one["code"] for one in doctor(empty_database_url)["recommendations"]]
    assert codes[0] == "not_adoptable"
    assert "column_missing" not in codes


def test_a_cost_that_is_never_unknown_is_named_with_what_ends_it(database_url):
    run(database_url, "ALTER TABLE token_usage ALTER cost SET DEFAULT 0, ALTER cost SET NOT NULL")
    found = doctor(database_url)
    (named,) = [one for one in found["recommendations"] if one["code"] == "cost_never_unknown"]
    assert (named["severity"], found["healthy"]) == ("warning", True)
    run(database_url, named["remedy"].partition("owner: ")[2])
    assert "cost_never_unknown" not in [one["code"] for one in doctor(database_url)["recommendations"]]


@pytest.mark.parametrize(
    "arguments", [["import", "/nope.csv"], ["import", "/"], ["doctor", "--against", "notaurl"]], ids=" ".join
)
def test_what_was_wrong_before_anything_was_tried_is_exit_2(database_url, arguments):
    done = python("-m", "tracker", *arguments, env={"DATABASE_URL": database_url})
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr


def test_a_blank_database_url_is_malformed():
    done = python(
        "-m", "tracker", "record", "--model", "m", "--input-tokens", "1", "--output-tokens", "1",
        env={"DATABASE_URL": "   "},
    )  # fmt: skip
    assert done.returncode == 2
    assert "DATABASE_URL" in done.stderr


def test_without_a_home_there_is_a_sentence():
    done = python(
        "-m", "tracker", "record", "--model", "m", "--input-tokens", "1", "--output-tokens", "1",
        env={"TRACKER_EMBEDDED_DIR": "~nosuchuser/db"},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("token-tracker: TRACKER_EMBEDDED_DIR")
