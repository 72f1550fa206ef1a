"""The translation catalogs contain every text of the code, and are compiled."""

from __future__ import annotations

import io
import re
from gettext import GNUTranslations
from pathlib import Path

from catalogues import COLLECTORS, catalog_files, compile_catalog, read_catalog, untranslated


def test_every_text_is_translated_and_compiled() -> None:
    violations = [violation for file in catalog_files() for violation in catalog_violations(file)]
    assert catalog_files()
    assert violations == []


def catalog_violations(file: Path) -> list[str]:
    """Compares a catalog with the texts of the code and with its compiled file."""
    name = f"{file.parent.parent.name}/{file.stem}"
    catalog = read_catalog(file)
    code_ids = {message.id for message in COLLECTORS[file.stem]()}
    catalog_ids = {message.id for message in catalog}
    violations = [f"{name} lacks {text!r}" for text in code_ids - catalog_ids]
    violations += [f"{name} contains {text!r}, which the code does not" for text in catalog_ids - code_ids]
    violations += [f"{name} does not translate {text!r}" for text in untranslated(catalog)]
    expected = translations(compile_catalog(catalog))
    if translations(file.with_suffix(".mo").read_bytes()) != expected:
        violations.append(f"{name}.mo differs from {name}.po: run python -m tests.catalogues")
    return violations


def translations(content: bytes) -> dict[object, str]:
    """Returns the texts of a compiled catalog without its header, which contains the date."""
    catalog = GNUTranslations(io.BytesIO(content))
    return {text: translation for text, translation in vars(catalog)["_catalog"].items() if text}


# 이(가) shows that the text does not know its last word; korean_particles.py does.
_UNDECIDED_PARTICLE = re.compile(r"\((?:이|가|을|를|은|는|으|와|과|나|이나)\)")
# 로 after a parameter is right for the names and numbers that end in a vowel or in ㄹ only.
_BARE_PARTICLE = re.compile(
    r"\{(?!calls|records|share|today|key|holder)\w+\}(?:이|가|을|를|은|는|와|과|로|으로)(?= |$|[.,])"
)


def test_korean_texts_have_the_particle_of_their_last_word() -> None:
    texts = [
        str(text)
        for file in catalog_files()
        for message in read_catalog(file)
        for text in (message.string if isinstance(message.string, tuple) else (message.string,))
    ]
    assert len(texts) > 1000
    assert [text for text in texts if _UNDECIDED_PARTICLE.search(text) or _BARE_PARTICLE.search(text)] == []


def test_one_korean_term_is_used_for_each_concept() -> None:
    others = re.compile("레코드|공급자|프로바이더|추적기|문장 취소|원장|영속|저희")
    found = [message.string for file in catalog_files() for message in read_catalog(file)]
    assert [text for text in found if others.search(str(text))] == []
