"""The library's sentences in the reader's words."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from library_words import library_words, template

from pages.support.i18n import set_language
from pages.support.message_text import translate
from tracker.database.failures import ErrorObject, explain_connect, explain_statement
from tracker.database.url import clean
from tracker.diagnostics.environment_flags import connection_policy, read_flags
from tracker.settings import load

TEMPLATES = [str(message.id) for message in library_words() if message.id]
HANGUL = re.compile("[가-힣]")


@pytest.fixture(autouse=True)
def korean() -> Iterator[None]:
    set_language("ko")
    yield
    set_language("en")


def test_english_readers_get_the_sentence_itself() -> None:
    set_language("en")
    assert translate("Nothing answers at db:5432.") == "Nothing answers at db:5432."


def test_every_sentence_is_recognised_with_its_values_and_translated() -> None:
    sentences = [
        text
        for text in TEMPLATES
        if " " in text and not text.startswith(("GRANT", "ALTER TABLE", "{outcome}", "{steps}", "{first}"))
    ]
    assert len(sentences) > 100
    assert {sentence: text for sentence in sentences if (text := _wrong_translation(sentence))} == {}


def _wrong_translation(sentence: str) -> str | None:
    """Returns the translation of a template if it is not Korean, or has lost one of the template's values."""
    names = re.findall(r"\{(\w+)\}", sentence)
    values = {name: "7" if name == "n" else "connected" if name == "ok" else f"«{name}»" for name in names}
    text = translate(re.sub(r"\{(\w+)\}", lambda match: values[match[1]], sentence))
    has_values = all(translate(value) in text for value in values.values())
    return None if HANGUL.search(text) and has_values and not re.search(r"\{\w+\}", text) else text


def test_consecutive_sentences_are_translated_separately() -> None:
    url = clean("postgresql://app:secret@db.example:5432/app")
    error = explain_connect("connection refused", url)
    assert translate(str(error)) == (
        "db.example:5432에서 응답이 없습니다. DATABASE_URL의 호스트와 포트, 그리고 데이터베이스가 실행 중인지"
        " 확인하십시오."
    )
    assert translate("dns ok after 3 ms; tcp FAILED after 2500 ms; tls not needed") == (
        "dns 정상, 3 ms; tcp 실패, 2500 ms; tls 필요 없음"
    )
    assert HANGUL.search(translate(str(explain_statement("23514", ErrorObject(constraint="positive")))))


def test_flags_and_policy_are_translated() -> None:
    assert all(HANGUL.search(translate(flag.meaning)) for flag in read_flags({}))
    for rule in connection_policy(load({}, strict=False)):
        assert HANGUL.search(translate(rule.name))
        assert HANGUL.search(translate(rule.reason))


def test_what_isnt_known_stays_as_it_is() -> None:
    assert translate("A sentence that some other program said.") == "A sentence that some other program said."
    assert translate("") == ""


@given(st.text(alphabet="ab .;:{}", max_size=300))
def test_any_text_is_translated_without_an_error(text: str) -> None:
    set_language("ko")
    assert isinstance(translate(text), str)


def test_a_text_made_to_keep_it_busy_does_not() -> None:
    began = time.process_time()
    for piece in ("{} is {}; ", "can't be written. ", "a. ", "The server ; ", " "):
        translate(piece * (2000 // len(piece)))
        translate("There is no server named " + piece * 70)
    assert time.process_time() - began < 2


def test_a_template_names_each_value_once() -> None:
    import ast

    node = ast.parse("f'{a.host} and {b[0]} and {a.host!r} or {c(1):.1f}'", mode="eval").body
    assert isinstance(node, ast.JoinedStr)
    assert template(node) == "{host} and {b} and {host2} or {value}"
