"""The library's sentences in the reader's words: failures, remedies, what a report found.

The library says them in English, whole, in reports of other deployments too. Here the template that a sentence was
made of is found among those of the catalogue `library`, and said again with its names and numbers in their places.
"""

from __future__ import annotations

import gettext as catalogues
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import NamedTuple

from pages.support.i18n import DIRECTORY, language

LONGEST = 2000
# Parts of a text between which it may be cut, how many make a sentence, and how deep one stands in another.
_MOST_PARTS, _LONGEST_PARTS, _DEEPEST = 59, 9, 3
_NAMES = re.compile(r"\{(\w+)\}")
_NUMBER = re.compile(r"[\d.,]+")
_SENTENCES = {"error", "reason", "sentence"}
_AFTER = re.compile(r"[.:] [A-Z]|; ")
_ENDS = re.compile(r"((?<=[.:;?]) |(?<!^); )")


class _Template(NamedTuple):
    """A sentence's fixed parts, the names of what stands between them, and how to say it."""

    fixed: tuple[str, ...]
    names: tuple[str, ...]
    translation: str

    def read(self, text: str) -> dict[str, str] | None:
        """What stands in the place of each name; None if it is another sentence. Never looks back, so never hangs."""
        at, values = len(self.fixed[0]), []
        if not text.startswith(self.fixed[0]) or len(text) < sum(map(len, self.fixed)):
            return None
        for part in self.fixed[1:-1]:
            begins = text.find(part, at)
            if begins < 0:
                return None
            values.append(text[at:begins])
            at = begins + len(part)
        end = len(text) - len(self.fixed[-1])
        if end < at or not text.endswith(self.fixed[-1]):
            return None
        found = dict(zip(self.names, [*values, text[at:end]], strict=True))
        return found if all(_fits(name, value) for name, value in found.items()) else None


def _fits(name: str, value: str) -> bool:
    """Whether a value can stand under a name: a number, a sentence, or what is none."""
    if name == "n":
        return _NUMBER.fullmatch(value) is not None
    return name in _SENTENCES or not _AFTER.search(value)


def told(text: str) -> str:
    """A text of the library in the language that is spoken; what isn't known in it stays as it is."""
    return _told(text, language()) if len(text) <= LONGEST else text


@lru_cache(maxsize=2000)
def _told(text: str, spoken: str, depth: int = 0) -> str:
    whole, _templates = _catalogue(spoken)
    if not whole or not text or depth > _DEEPEST:
        return text
    if text in whole:
        return whole[text]
    parts, said = _ENDS.split(text), ""
    if len(parts) > _MOST_PARTS:
        return text
    while parts:
        length, piece = _beginning(parts, spoken, depth)
        said += piece + "".join(parts[length : length + 1])
        parts = parts[length + 1 :]
    return said


def _beginning(parts: list[str], spoken: str, depth: int) -> tuple[int, str]:
    """The longest beginning that is known, since reports put several sentences one after another; and how to say it."""
    for length in range(min(len(parts), _LONGEST_PARTS), 0, -2):
        if (piece := _said("".join(parts[:length]), spoken, depth)) is not None:
            return length, piece
    listed = [_said(one, spoken, depth) for one in parts[0].split(", ")]
    return 1, ", ".join(filter(None, listed)) if all(listed) else parts[0]


def _said(text: str, spoken: str, depth: int) -> str | None:
    whole, templates = _catalogue(spoken)
    if text in whole:
        return whole[text]
    for template in templates:
        if (values := template.read(text)) is not None:
            return _filled(template, {name: _told(value, spoken, depth + 1) for name, value in values.items()})
    return None


def _filled(template: _Template, values: dict[str, str]) -> str:
    return _NAMES.sub(lambda found: values[found[1]], template.translation)


@cache
def _catalogue(spoken: str) -> tuple[dict[str, str], tuple[_Template, ...]]:
    """The sentences without a name in them, and the others, those with most fixed letters first."""
    found = dict(_entries(spoken))
    whole = {text: said for text, said in found.items() if not _NAMES.search(text)}
    templates = [_template(text, said) for text, said in found.items() if text not in whole]
    return whole, tuple(sorted(templates, key=lambda template: -sum(map(len, template.fixed))))


def _entries(spoken: str) -> Iterator[tuple[str, str]]:
    catalogue = catalogues.translation("library", DIRECTORY, [spoken], fallback=spoken == "en")
    for text, said in getattr(catalogue, "_catalog", {}).items():
        if isinstance(text, str) and text:
            yield text, said


def _template(text: str, said: str) -> _Template:
    parts = _NAMES.split(text)
    return _Template(tuple(parts[::2]), tuple(parts[1::2]), said)
