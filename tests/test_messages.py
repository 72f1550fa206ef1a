"""The message catalog: codes, placeholders, translations, and the JSON form of a message."""

from __future__ import annotations

import copy
import json
import pickle
import re
import string
from pathlib import Path

import pytest
from catalogues import catalog_files, read_catalog

from pages.support.i18n import set_language
from pages.support.message_text import translate
from tracker.database.failures import ErrorObject, explain_missing_privilege, explain_refused_kind, explain_statement
from tracker.diagnostics.recommendations import Recommendation
from tracker.diagnostics.rules import RULES
from tracker.errors import RecordError, SetupError
from tracker.messages import (
    Message,
    catalog,
    english_template,
    has_message,
    join_messages,
    restore_message,
    with_messages,
)

ROOT = Path(__file__).parent.parent
TEXTS = dict(catalog())
HANGUL = re.compile("[가-힣]")


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def test_every_code_in_the_source_is_in_the_catalog() -> None:
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / "tracker").rglob("*.py")]
    codes = {code for source in sources for code in re.findall(r"\bMessage\(\s*\"([\w.]+)\"", source)}
    assert len(codes) > 250
    assert [code for code in codes if not has_message(code)] == []


def test_every_rule_has_a_cause_and_a_remedy() -> None:
    codes = {f"{rule.area}.{rule.code}" for rule in RULES}
    codes |= {f"{rule.area}.{rule.code}.remedy" for rule in RULES if rule.command is None}
    assert codes - TEXTS.keys() == set()
    assert {code for code in TEXTS if code.startswith("diagnostics.rule.")} - codes == set()


def test_every_code_has_a_translation_with_the_same_placeholders() -> None:
    for file in catalog_files():
        if file.stem == "library":
            translations = {str(message.id): str(message.string) for message in read_catalog(file)}
            wrong = {
                code: translations.get(text)
                for code, text in TEXTS.items()
                if placeholders(translations.get(text) or "") != placeholders(text) or not translations.get(text)
            }
            assert wrong == {}


def test_a_message_is_its_english_text_with_a_code_and_parameters() -> None:
    message = Message("login.host_unknown", host="db.example")
    assert message == str(message) == "There is no server named db.example."
    assert (message.code, dict(message.params)) == ("login.host_unknown", {"host": "db.example"})
    with pytest.raises(TypeError):
        message.params["host"] = "other"  # type: ignore[index]
    with pytest.raises(KeyError):
        Message("login.no_such_code")


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda message: pickle.loads(pickle.dumps(message))])
def test_a_copy_is_still_a_message(duplicate) -> None:  # type: ignore[no-untyped-def]
    message = join_messages([Message("database.deadlock"), Message("database.temporary.remedy")])
    copied = duplicate(message)
    assert isinstance(copied, Message) and isinstance(message, Message)
    assert copied.as_dict() == message.as_dict()


def test_a_nested_message_is_translated_by_its_code() -> None:
    set_language("ko")
    try:
        refusal = explain_statement("23514", ErrorObject(constraint="positive"))
        assert isinstance(refusal, RecordError)
        text = translate(str_of(explain_refused_kind(refusal)))
        privilege = translate(str_of(explain_missing_privilege("INSERT INTO token_usage")))
    finally:
        set_language("en")
    for translated in (text, privilege):
        assert HANGUL.search(translated)
        assert "refused" not in translated and "As an owner" not in translated
    assert "positive" in text and "23514" in text


def str_of(error: SetupError | RecordError) -> Message:
    """Returns the text of an error, which is a message."""
    message = error.args[0]
    assert isinstance(message, Message)
    return message


def test_a_servers_message_is_a_parameter_and_not_translated() -> None:
    words = "There is no server named db."
    error = SetupError("login_refused", Message("database.login_refused"), "", server_words=words)
    set_language("ko")
    try:
        assert words in translate(error.cause)
    finally:
        set_language("en")


def test_a_recommendation_as_json_contains_code_parameters_and_text() -> None:
    cause = Message("login.refused", server="db.example:5432")
    item = Recommendation("refused", "error", cause, "tcp FAILED", Message("login.refused.remedy"))
    data = json.loads(json.dumps(item.as_dict()))
    assert data["cause"] == "Nothing answers at db.example:5432."
    assert data["messages"]["cause"] == {
        "code": "login.refused",
        "params": {"server": "db.example:5432"},
        "text": data["cause"],
    }
    assert set(data["messages"]) == {"cause", "remedy"}


def test_a_remedy_belongs_to_a_cause() -> None:
    shared = {"database.temporary", "database.record_refused", "database.statement_refused"}
    assert english_template("database.temporary.remedy")
    login = [code for code in TEXTS if code.startswith("login.") and not code.endswith(".remedy")]
    assert [code for code in login if not has_message(f"{code}.remedy") and code not in shared] == []


def test_the_text_of_an_error_keeps_the_code_of_its_message() -> None:
    cause, remedy = Message("database.deadlock"), Message("database.temporary.remedy")
    text = str(SetupError("deadlock", cause, remedy))
    assert isinstance(text, Message)
    assert text.params["first"] is cause


def test_messages_are_joined_into_one_message() -> None:
    first, second = Message("database.deadlock"), Message("database.conflict")
    joined = join_messages([first, "", second], "general.list")
    assert isinstance(joined, Message)
    assert joined == f"{first}, {second}"
    assert join_messages([first]) is first
    assert join_messages([]) == ""


def entry_of(message: Message) -> dict[str, object]:
    """Returns an entry of a report with this message as its cause, as another program reads it."""
    entry: dict[str, object] = json.loads(json.dumps(with_messages({"cause": message})))
    return entry


def test_a_message_of_a_report_is_restored() -> None:
    message = join_messages([Message("login.refused", server="db.example:5432"), Message("login.refused.remedy")])
    assert isinstance(message, Message)
    restored = restore_message(entry_of(message), "cause")
    assert isinstance(restored, Message)
    assert restored.as_dict() == message.as_dict()


@pytest.mark.parametrize(
    "messages",
    [
        None,
        [],
        {"cause": "text"},
        {"cause": {"code": 1, "params": {}}},
        {"cause": {"code": "login.no_such_code", "params": {}}},
        {"cause": {"code": "os.path", "params": {}}},
        {"cause": {"code": "login.refused", "params": {}}},
        {"cause": {"code": "login.refused", "params": {"server": {"code": "general.list", "params": None}}}},
        {"cause": {"code": "login.refused", "params": {"server": "x" * 5000}}},
    ],
)
def test_an_invalid_message_of_a_report_is_its_text(messages: object) -> None:
    assert restore_message({"cause": "The text.", "messages": messages}, "cause") == "The text."
    assert restore_message({"messages": messages}, "cause") == ""
