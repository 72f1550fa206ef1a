"""The texts of a debug report are messages: each has a code and parameters in JSON, a translation, and a remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from pages.support.i18n import set_language
from pages.support.message_text import translate
from tracker.database.url import clean
from tracker.diagnostics.environment_variables import find_url_problems, find_variable_problems
from tracker.diagnostics.report import build_report
from tracker.messages import Message, has_message, restore_message

HANGUL = re.compile("[가-힣]")
REFUSED_PORT_URL = "'postgresql://app:secret@127.0.0.1:1/db?sslaccept=accept_invalid_certs'"


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """Returns the report of an environment with many problems, as another program reads it."""
    env = {"DATABASE_URL": REFUSED_PORT_URL, "TRACKER_POOL_SIZE": "many", "TRACKER_MODE": "direct"}
    content: dict[str, Any] = json.loads(json.dumps(build_report(env).as_dict()))
    return content


@pytest.fixture
def korean() -> Iterator[None]:
    set_language("ko")
    yield
    set_language("en")


@pytest.mark.usefixtures("korean")
def test_texts_of_a_report_are_translated_by_their_codes(report: dict[str, Any]) -> None:
    texts = [(problem, "sentence") for problem in report["variables"]]
    texts += [(report["database"]["error"], name) for name in ("sentence", "remedy")]
    texts += [(rule, name) for rule in report["policy"] for name in ("name", "reason")]
    texts += [(item, name) for item in report["recommendations"] for name in ("cause", "remedy")]
    assert len(report["variables"]) >= 2 and len(texts) >= 18
    wrong = {}
    for entry, name in texts:
        message = restore_message(entry, name)
        if not isinstance(message, Message) or message != entry[name] or not HANGUL.search(translate(message)):
            wrong[entry[name]] = translate(message)
    assert wrong == {}


def test_a_failed_step_has_the_code_of_its_cause(report: dict[str, Any]) -> None:
    error = report["database"]["error"]
    assert {name: message["code"] for name, message in error["messages"].items()} == {
        "sentence": "login.refused",
        "remedy": "login.refused.remedy",
    }
    failed = next(step for step in report["database"]["steps"] if step["ok"] is False)
    assert failed["messages"]["detail"] == error["messages"]["sentence"]


def test_a_list_of_texts_has_the_code_of_each(report: dict[str, Any]) -> None:
    target = report["database"]["target"]
    assert [note["text"] for note in target["messages"]["notes"]] == target["notes"]
    assert {note["code"] for note in target["messages"]["notes"]} == {
        "database.url_quotes_removed",
        "database.sslaccept_dropped",
    }


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("aws-0-eu.pooler.supabase.com", "session_pooler"),
        ("db.abcdef.supabase.co", "direct_host"),
        ("ep-a-1.eu.aws.neon.tech", "direct_host"),
    ],
)
def test_every_problem_with_an_address_has_a_remedy(host: str, code: str) -> None:
    (problem,) = find_url_problems(clean(f"postgresql://u:p@{host}:5432/db"), serverless=True)
    assert problem.code == code
    assert has_message(f"diagnostics.variable.{code}.remedy")


def test_every_problem_with_a_variable_has_a_remedy() -> None:
    env = {
        "DATABASE_URL": "postgresql://u@h/a",
        "POSTGRES_URL": "postgresql://u@h/b",
        "TRACKER_DEBUG_TOKEN": "short",
        "PGOPTIONS": "-c search_path=x",
    }
    codes = {problem.code for problem in find_variable_problems(env)}
    assert codes == {"two_databases", "token_short", "pgoptions"}
    assert [code for code in codes if not has_message(f"diagnostics.variable.{code}.remedy")] == []
