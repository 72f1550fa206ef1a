"""Korean particles follow the last sound of a word: of Hangul, of digits, of letters, and of English words."""

from __future__ import annotations

import sys

import pytest
from support import ROOT

sys.path.insert(0, str(ROOT / "pages"))

from pages.support.i18n import set_language
from pages.support.message_text import translate
from tracker.messages import Message
from tracker.messages.korean_particles import with_particle

WORDS = {
    "이/가": "서버가 이름이 테이블이 host가 app이 localhost:5432가 10.0.0.1이 db.example.com이 gpt-4o가 schema가"
    " DATABASE_URL이 TLS가 ORM이 bucket이 token이 note가 client가 user_01이 20%가 DB가",
    "은/는": "값은 경로는 (가려짐)은 `name`은 /tmp/outbox.db는",
    "을/를": "파일을 메모를 file을 role을 database를 3을 2를 90을",
    "과/와": "이름과 서버와 model과 cache와",
    "으로/로": "서울로 부산으로 대구로 200으로 404로 7로 verify-full로 require로 disable로 https://로 XML로 JSON으로",
    "이라는/라는": "이름이라는 서버라는 Seoul이라는",
    "이어야/여야": "숫자여야 값이어야",
}


def test_a_particle_follows_the_last_sound_of_the_word() -> None:
    for particle, expected in WORDS.items():
        forms = particle.split("/")
        for text in expected.split():
            form = max((form for form in forms if text.endswith(form)), key=len)
            word = text[: -len(form)]
            assert with_particle(word, particle) == text


@pytest.mark.parametrize(("server", "text"), [("db.example.com:5432", "5432가"), ("10.0.0.3", "3이")])
def test_a_message_has_the_particle_of_its_parameter(server: str, text: str) -> None:
    set_language("ko")
    try:
        assert text in translate(Message("login.connect_refused", server=server))
    finally:
        set_language("en")
