"""Translates messages by their code, from the gettext catalogs that `python -m tests.catalogues` compiles."""

from __future__ import annotations

import gettext
from functools import cache
from pathlib import Path

from tracker.messages import Message, english_template
from tracker.messages.korean_particles import WithParticles

LOCALE_DIRECTORY = Path(__file__).parents[1] / "locale"
LANGUAGES = {"en": "English", "ko": "한국어"}


def translate(text: str, language: str) -> str:
    """A message in one of `LANGUAGES`. Any other text, such as a command or a name, stays unchanged."""
    if not isinstance(text, Message):
        return text
    template = load_catalog("library", language).gettext(english_template(text.code))
    return template.format_map(WithParticles({name: translate(v, language) for name, v in text.params.items()}))


@cache
def load_catalog(name: str, language: str) -> gettext.NullTranslations:
    """The catalog `pages` or `library` of a language; English needs none."""
    return gettext.translation(name, LOCALE_DIRECTORY, [language], fallback=language == "en")
