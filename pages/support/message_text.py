"""Translations of the library's English messages: errors, remedies, and report results.

The library and the debug reports of other deployments contain complete English sentences. This module matches a
sentence with the templates of the catalog `library` and fills the translated template with the matched values.
"""

from __future__ import annotations

import gettext
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import NamedTuple

from pages.support.i18n import LOCALE_DIRECTORY, language
from tracker.messages import Message, english_template

MAX_LENGTH = 2000
_VERBATIM = {"words"}
"""Parameters that contain a server's own message, which is not translated."""
# Limits of the search: separators in a text, parts of one sentence, and sentences nested in a sentence.
_MAX_PARTS, _MAX_PARTS_OF_SENTENCE, _MAX_DEPTH = 59, 9, 3
_PLACEHOLDERS = re.compile(r"\{(\w+)\}")
_NUMBER = re.compile(r"[\d.,]+")
_SENTENCE_PLACEHOLDERS = {"error", "reason", "sentence"}
_SENTENCE_BREAK = re.compile(r"[.:] [A-Z]|; ")
_SEPARATOR = re.compile(r"((?<=[.:;?]) |(?<!^); )")


class _Template(NamedTuple):
    """A message template: its literal parts, the placeholders between them, and the translation."""

    literals: tuple[str, ...]
    placeholders: tuple[str, ...]
    translation: str

    def match(self, text: str) -> dict[str, str] | None:
        """The value of each placeholder; None if the text doesn't match. Without backtracking, so it is linear."""
        position, values = len(self.literals[0]), []
        if not text.startswith(self.literals[0]) or len(text) < sum(map(len, self.literals)):
            return None
        for literal in self.literals[1:-1]:
            start = text.find(literal, position)
            if start < 0:
                return None
            values.append(text[position:start])
            position = start + len(literal)
        end = len(text) - len(self.literals[-1])
        if end < position or not text.endswith(self.literals[-1]):
            return None
        value_by_name = dict(zip(self.placeholders, [*values, text[position:end]], strict=True))
        return value_by_name if all(_is_valid(name, value) for name, value in value_by_name.items()) else None


def _is_valid(placeholder: str, value: str) -> bool:
    """Whether a placeholder may have this value: `n` is a number, and only some placeholders contain a sentence."""
    if placeholder == "n":
        return _NUMBER.fullmatch(value) is not None
    return placeholder in _SENTENCE_PLACEHOLDERS or not _SENTENCE_BREAK.search(value)


def translate(text: str) -> str:
    """A library message in the user's language. Parts without a translation stay English."""
    if isinstance(text, Message):
        template = _library(language()).gettext(english_template(text.code))
        values = {n: translate(v) if isinstance(v, str) and n not in _VERBATIM else v for n, v in text.params.items()}
        return template.format_map(values)
    return _translate(text, language()) if len(text) <= MAX_LENGTH else text


@lru_cache(maxsize=2000)
def _translate(text: str, language: str, depth: int = 0) -> str:
    sentences, _templates = _catalog(language)
    if not sentences or not text or depth > _MAX_DEPTH:
        return text
    if text in sentences:
        return sentences[text]
    parts, translated = _SEPARATOR.split(text), ""
    if len(parts) > _MAX_PARTS:
        return text
    while parts:
        length, sentence = _translate_first_sentence(parts, language, depth)
        translated += sentence + "".join(parts[length : length + 1])
        parts = parts[length + 1 :]
    return translated


def _translate_first_sentence(parts: list[str], language: str, depth: int) -> tuple[int, str]:
    """The longest prefix of `parts` that has a translation, as its number of parts and its translation."""
    for length in range(min(len(parts), _MAX_PARTS_OF_SENTENCE), 0, -2):
        if (sentence := _translate_sentence("".join(parts[:length]), language, depth)) is not None:
            return length, sentence
    items = [_translate_sentence(item, language, depth) for item in parts[0].split(", ")]
    return 1, ", ".join(filter(None, items)) if all(items) else parts[0]


def _translate_sentence(text: str, language: str, depth: int) -> str | None:
    sentences, templates = _catalog(language)
    if text in sentences:
        return sentences[text]
    for template in templates:
        if (values := template.match(text)) is not None:
            return _fill(template, {name: _translate(value, language, depth + 1) for name, value in values.items()})
    return None


def _fill(template: _Template, values: dict[str, str]) -> str:
    return _PLACEHOLDERS.sub(lambda match: values[match[1]], template.translation)


@cache
def _catalog(language: str) -> tuple[dict[str, str], tuple[_Template, ...]]:
    """The sentences without placeholders, and the templates, the one with the most literal text first."""
    entries = dict(_entries(language))
    sentences = {text: translation for text, translation in entries.items() if not _PLACEHOLDERS.search(text)}
    templates = [_template(text, translation) for text, translation in entries.items() if _is_template(text)]
    return sentences, tuple(sorted(templates, key=lambda template: -sum(map(len, template.literals))))


@cache
def _library(language: str) -> gettext.NullTranslations:
    return gettext.translation("library", LOCALE_DIRECTORY, [language], fallback=language == "en")


def _is_template(text: str) -> bool:
    """Whether a text with placeholders contains more than spaces and periods, so that it does not match everything."""
    return bool(_PLACEHOLDERS.search(text) and re.search(r"[^\s.]", _PLACEHOLDERS.sub("", text)))


def _entries(language: str) -> Iterator[tuple[str, str]]:
    catalog = _library(language)
    for text, translation in getattr(catalog, "_catalog", {}).items():
        if isinstance(text, str) and text:
            yield text, translation


def _template(text: str, translation: str) -> _Template:
    parts = _PLACEHOLDERS.split(text)
    return _Template(tuple(parts[::2]), tuple(parts[1::2]), translation)
