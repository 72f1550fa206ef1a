"""The translation catalogs contain every text of the code, and are compiled."""

from __future__ import annotations

import io
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
