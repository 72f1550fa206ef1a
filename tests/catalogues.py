"""Translation catalogs: `python -m tests.catalogues` updates them from the code.

It collects the texts of the pages and of the library's messages, keeps existing translations, and compiles the
catalogs. It lists texts without a translation, which pages show in English, and exits with 1 if there are any.
"""

from __future__ import annotations

import ast
import io
import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from tracker import messages

# Contains no date and no author, so that a run without changes leaves the file unchanged.
_HEADER = """msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\\n"
"Plural-Forms: nplurals=1; plural=0;\\n"

"""
ROOT = Path(__file__).parent.parent
PAGES = ROOT / "pages"


def collect_page_texts() -> Catalog:
    """Returns each text of the pages with the files that contain it, also texts inside f-strings."""
    catalog = Catalog(fuzzy=False)
    for file in sorted(PAGES.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                texts = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
                if node.func.id == "_" and texts:
                    catalog.add(str(texts[0]), locations=[(file.name, None)])  # type: ignore[list-item]
                elif node.func.id == "plural" and len(texts) == 2:
                    catalog.add((str(texts[0]), str(texts[1])), locations=[(file.name, None)])  # type: ignore[list-item]
    return catalog


def collect_messages() -> Catalog:
    """Returns each text of the library's message catalog with the codes that have it."""
    catalog = Catalog(fuzzy=False)
    for code, text in messages.catalog():
        catalog.add(text, locations=[(code, None)])  # type: ignore[list-item]
    return catalog


COLLECTORS = {"pages": collect_page_texts, "library": collect_messages}


def read_catalog(file: Path) -> Catalog:
    """Returns the catalog of a .po file."""
    with file.open("rb") as source:
        return read_po(source, locale=file.parent.parent.name)


def compile_catalog(catalog: Catalog) -> bytes:
    """Returns the content of the .mo file, which gettext reads."""
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def catalog_files() -> list[Path]:
    """Returns the .po files of all languages."""
    return sorted((ROOT / "tracker" / "locale").glob("*/LC_MESSAGES/*.po"))


def untranslated(catalog: Catalog) -> list[str]:
    """Returns the texts without a translation."""
    return [str(message.id) for message in catalog if message.id and not _all_strings(message.string)]


def _all_strings(string: object) -> bool:
    return all(string) if isinstance(string, tuple) else bool(string)


def main() -> None:
    missing_count = 0
    for file in catalog_files():
        catalog = read_catalog(file)
        catalog.update(COLLECTORS[file.stem](), no_fuzzy_matching=True)
        catalog.obsolete.clear()
        for message in catalog:
            message.flags.discard("fuzzy")
        buffer = io.BytesIO()
        write_po(buffer, catalog, width=110, omit_header=True, sort_output=True, include_lineno=False)
        file.write_bytes(_HEADER.encode() + buffer.getvalue())
        file.with_suffix(".mo").write_bytes(compile_catalog(read_catalog(file)))
        missing = untranslated(read_catalog(file))
        missing_count += len(missing)
        name = f"{file.parent.parent.name}, {file.stem}"
        print(f"{name}: {len(missing)} words without a translation", *missing, sep="\n  ")
    sys.exit(1 if missing_count else 0)


if __name__ == "__main__":
    main()
