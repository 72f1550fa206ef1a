"""The pages' catalogues: `python -m tests.catalogues` brings them up to date with the words in the code.

It collects the words of the pages and the library's sentences, keeps what is translated, and compiles; a word without
a translation is named and stays English.
"""

from __future__ import annotations

import ast
import io
import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

if __package__:
    from tests.library_words import library_words
else:
    from library_words import library_words

# Nothing that changes with the day or the person.
_HEADER = """msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\\n"
"Plural-Forms: nplurals=1; plural=0;\\n"

"""
PAGES = Path(__file__).parent.parent / "pages"


def words() -> Catalog:
    """Every word of the pages, with the files it stands in; those inside of f-strings too."""
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


WORDS = {"pages": words, "library": library_words}


def read(file: Path) -> Catalog:
    """A catalogue as it is written."""
    with file.open("rb") as source:
        return read_po(source, locale=file.parent.parent.name)


def compiled(catalog: Catalog) -> bytes:
    """What gettext reads."""
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def files() -> list[Path]:
    """The catalogues there are."""
    return sorted((PAGES / "locale").glob("*/LC_MESSAGES/*.po"))


def untranslated(catalog: Catalog) -> list[str]:
    """The words that still are English."""
    return [str(message.id) for message in catalog if message.id and not _all_strings(message.string)]


def _all_strings(string: object) -> bool:
    return all(string) if isinstance(string, tuple) else bool(string)


def main() -> None:
    left = 0
    for file in files():
        catalog = read(file)
        catalog.update(WORDS[file.stem](), no_fuzzy_matching=True)
        catalog.obsolete.clear()
        for message in catalog:
            message.flags.discard("fuzzy")
        buffer = io.BytesIO()
        write_po(buffer, catalog, width=110, omit_header=True, sort_output=True, include_lineno=False)
        file.write_bytes(_HEADER.encode() + buffer.getvalue())
        file.with_suffix(".mo").write_bytes(compiled(read(file)))
        missing = untranslated(read(file))
        left += len(missing)
        name = f"{file.parent.parent.name}, {file.stem}"
        print(f"{name}: {len(missing)} words without a translation", *missing, sep="\n  ")
    sys.exit(1 if left else 0)


if __name__ == "__main__":
    main()
