"""Translations of the library's messages: errors, remedies, and report results."""

from __future__ import annotations

import gettext
from functools import cache

from pages.support.i18n import LOCALE_DIRECTORY, language
from pages.support.korean_particles import WithParticles
from tracker.messages import Message, english_template


def translate(text: str) -> str:
    """A message in the user's language. Any other text, such as a command or a name, stays unchanged."""
    if not isinstance(text, Message):
        return text
    template = _library(language()).gettext(english_template(text.code))
    return template.format_map(WithParticles({name: translate(value) for name, value in text.params.items()}))


@cache
def _library(language: str) -> gettext.NullTranslations:
    return gettext.translation("library", LOCALE_DIRECTORY, [language], fallback=language == "en")
