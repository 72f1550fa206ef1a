"""The pages' words in other languages: all of them, and compiled."""

from __future__ import annotations

import io
from gettext import GNUTranslations
from pathlib import Path

import pytest
from catalogues import WORDS, compiled, files, read, untranslated


@pytest.mark.parametrize("file", files(), ids=lambda file: f"{file.parent.parent.name}-{file.stem}")
def test_every_word_is_translated_and_compiled(file: Path) -> None:
    catalog = read(file)
    assert {message.id for message in WORDS[file.stem]()} == {message.id for message in catalog}
    assert untranslated(catalog) == []
    with file.with_suffix(".mo").open("rb") as committed:
        assert without_header(GNUTranslations(committed)) == without_header(
            GNUTranslations(io.BytesIO(compiled(catalog)))
        )


def without_header(translations: GNUTranslations) -> dict[object, str]:
    """The words; the header holds the day."""
    return {word: text for word, text in vars(translations)["_catalog"].items() if word}
