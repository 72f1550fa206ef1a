"""Edge cases of the report: timestamps that Python can't represent, blank variables, tables that can't be adopted."""

from __future__ import annotations

import json

import pytest
from support import python, run, with_role

from tracker.diagnostics.report import build_report


def doctor(url: str, **env: str) -> dict:
    done = python("-m", "tracker", "doctor", "--json", env={"DATABASE_URL": url, **env})
    assert "Traceback" not in done.stderr
    return {**json.loads(done.stdout), "exit": done.returncode}


@pytest.mark.parametrize("timestamp", ["12026-01-01 00:00+00", "0044-03-15 00:00+00 BC"])
def test_a_call_in_a_year_that_python_cannot_represent_is_no_failure(database_url, timestamp):
    columns = "created_at, model, input_tokens, output_tokens, total_tokens"
    run(database_url, f"INSERT INTO token_usage ({columns}) VALUES ('{timestamp}', 'm', 1, 1, 2)")
    assert doctor(database_url)["healthy"]


def test_an_unknown_platform_is_named(database_url):
    report = doctor(database_url, TRACKER_PLATFORM="mars")
    assert report["exit"] == 2
    assert any("TRACKER_PLATFORM" in r["cause"] for r in report["recommendations"])


def test_a_table_that_cannot_be_adopted_is_named_before_what_it_lacks(empty_database_url):
    run(empty_database_url, "CREATE TABLE token_usage (id text PRIMARY KEY, model text NOT NULL)")
    codes = [one["code"] for one in doctor(empty_database_url)["recommendations"]]
    assert codes[0] == "not_adoptable"
    assert "column_missing" not in codes


def test_a_cost_that_is_never_unknown_is_named_with_its_remedy(database_url):
    run(database_url, "ALTER TABLE token_usage ALTER cost SET DEFAULT 0, ALTER cost SET NOT NULL")
    report = doctor(database_url)
    (recommendation,) = [one for one in report["recommendations"] if one["code"] == "cost_never_unknown"]
    assert (recommendation["severity"], report["healthy"]) == ("warning", True)
    run(database_url, recommendation["remedy"].partition("owner: ")[2])
    assert "cost_never_unknown" not in [one["code"] for one in doctor(database_url)["recommendations"]]


@pytest.mark.parametrize(
    "arguments", [["import", "/nope.csv"], ["import", "/"], ["doctor", "--against", "notaurl"]], ids=" ".join
)
def test_invalid_arguments_exit_2(database_url, arguments):
    done = python("-m", "tracker", *arguments, env={"DATABASE_URL": database_url})
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr


def test_a_blank_database_url_is_malformed():
    done = python(
        "-m", "tracker", "record", "--model", "m", "--input-tokens", "1", "--output-tokens", "1",
        env={"DATABASE_URL": "   "},
    )  # fmt: skip
    assert done.returncode == 2
    assert "DATABASE_URL" in done.stderr


def test_a_missing_home_directory_is_an_error_of_one_setting():
    done = python(
        "-m", "tracker", "record", "--model", "m", "--input-tokens", "1", "--output-tokens", "1",
        env={"TRACKER_EMBEDDED_DIR": "~nosuchuser/db"},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("token-tracker: TRACKER_EMBEDDED_DIR")


def test_an_unencrypted_connection_of_a_deployment_is_named(setup):
    def encryption(url: str) -> tuple[bool | None, bool]:
        report = build_report({"VERCEL": "1", "VERCEL_REGION": "icn1", "DATABASE_URL": url})
        return report.database["encrypted"], any(item.code == "not_encrypted" for item in report.recommendations)

    tls_port, _ = setup.fixture("tls_pooler")("localhost")
    assert encryption(setup.on_port(setup.proxy().port, query="?sslmode=disable")) == (False, True)
    assert encryption(with_role(setup.on_port(tls_port, query="?sslmode=require"), "postgres")) == (True, False)
