"""The library's results and errors contain messages of the catalog, which the pages translate by their code."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pages.support.i18n import set_language
from pages.support.message_text import translate
from tracker.database.failures import explain_connect
from tracker.database.url import clean
from tracker.diagnostics.compare_reports import recommendations_of
from tracker.diagnostics.environment_flags import connection_policy, read_flags
from tracker.diagnostics.report import build_report
from tracker.settings import load

TRACKER = Path(__file__).parent.parent / "tracker"
HANGUL = re.compile("[가-힣]")
# The packages whose texts pages show. Other texts are printed by the command line only.
DISPLAYED = (
    "auth",
    "budgets",
    "database",
    "diagnostics",
    "platforms.py",
    "prices",
    "recording",
    "reports",
    "rollups",
    "settings.py",
    "small_files.py",
)
COMMAND_LINE = {"auth/password_hash.py", "database/migrate.py", "recording/outbox/file_check.py"}
RESULTS = re.compile(
    r"(Database|Transient|Setup|Record|Table|Setting|Outbox|Fetch|ReportUrl)Error"
    r"|Recommendation|SelfTestCheck|ChecklistItem|ComparisonLine|Outcome|ReportRule|PolicyRule|ConnectionStep"
)
SENTENCE = re.compile(r"[A-Za-z'’]+( [\w'’,]+){2,}")
COMMANDS = re.compile(r"(ALTER|GRANT|SET|SELECT) ")


@pytest.fixture
def korean() -> Iterator[None]:
    set_language("ko")
    yield
    set_language("en")


def literal(node: ast.expr) -> str:
    """Returns the text of a string literal or f-string, without its values; empty for any other expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return " ".join(literal(part) for part in node.values) if isinstance(node, ast.JoinedStr) else ""


def sentences_in_results(code: str) -> list[str]:
    """Returns the sentences that the code passes as a literal to a result or to an error that a page may show."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    results = [call for call in calls if RESULTS.fullmatch(ast.unparse(call.func).rpartition(".")[2])]
    arguments = [argument for call in results for argument in (*call.args, *(word.value for word in call.keywords))]
    texts = [literal(node) for argument in arguments for node in ast.walk(argument) if isinstance(node, ast.expr)]
    return [text for text in texts if SENTENCE.search(text) and not COMMANDS.match(text)]


def test_a_sentence_in_a_result_is_detected() -> None:
    code = 'x = Outcome("failed", id, error=f"The file {path} can\'t be read: " + reason)'
    assert sentences_in_results(code)
    assert not sentences_in_results('raise SetupError("refused", Message("login.refused", server=server), "")')


def test_results_and_errors_get_their_sentences_from_the_catalog() -> None:
    sources = {file.relative_to(TRACKER).as_posix(): file for file in TRACKER.rglob("*.py")}
    displayed = {
        name: file for name, file in sources.items() if name.startswith(DISPLAYED) and name not in COMMAND_LINE
    }
    violations = {
        name: sentences
        for name, file in displayed.items()
        if (sentences := sentences_in_results(file.read_text(encoding="utf-8")))
    }
    assert len(displayed) > 100
    assert violations == {}


@pytest.mark.usefixtures("korean")
def test_flags_and_connection_policy_are_translated() -> None:
    texts = [flag.problem or flag.meaning for flag in read_flags({"DATABASE_URL": "mysql://db"})]
    texts += [text for rule in connection_policy(load({}, strict=False)) for text in (rule.name, rule.reason)]
    assert [text for text in texts if not HANGUL.search(translate(text))] == []


@pytest.mark.usefixtures("korean")
def test_cause_and_remedy_of_an_error_are_translated() -> None:
    error = explain_connect("connection refused", clean("postgresql://app:secret@db.example:5432/app"))
    assert translate(str(error)) == (
        "db.example:5432에서 응답이 없습니다. DATABASE_URL의 호스트와 포트, 그리고 데이터베이스가 실행 중인지"
        " 확인하십시오."
    )


@pytest.mark.usefixtures("korean")
def test_the_recommendations_of_another_deployment_are_translated(empty_database_url: str) -> None:
    report = json.loads(json.dumps(build_report({"DATABASE_URL": empty_database_url}).as_dict(), default=str))
    items = recommendations_of(report)
    assert items
    assert [item for item in items if not HANGUL.search(translate(item["cause"]))] == []
    assert [item for item in items if not HANGUL.search(translate(item["evidence"]))] == []


@pytest.mark.usefixtures("korean")
@pytest.mark.parametrize(
    "messages",
    [
        {},
        {"messages": {"cause": {"code": "diagnostics.of_a_newer_version", "params": {}}}},
        {"messages": {"cause": {"code": "login.refused", "params": {"other": "x"}}}},
    ],
)
def test_a_recommendation_without_a_known_message_is_its_english_text(messages: dict[str, object]) -> None:
    item = {"code": "refused", "severity": "error", "cause": "Nothing answers at db:5432.", **messages}
    assert translate(recommendations_of({"recommendations": [item]})[0]["cause"]) == "Nothing answers at db:5432."


@pytest.mark.usefixtures("korean")
def test_a_text_without_a_code_stays_unchanged() -> None:
    assert translate("Nothing answers at db:5432.") == "Nothing answers at db:5432."
    assert translate("") == ""
