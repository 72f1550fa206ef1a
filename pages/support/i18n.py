"""The reader's language: words from gettext catalogues, and which language a run speaks."""

from __future__ import annotations

import gettext as catalogues
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

LANGUAGES = {"en": "English", "ko": "한국어"}
DIRECTORY = Path(__file__).parents[1] / "locale"
_spoken: ContextVar[str] = ContextVar("spoken", default="en")


def speak(language: str) -> None:
    """From now on this run speaks `language`, one of `LANGUAGES`; every run and every fragment says so first."""
    _spoken.set(language)


def language() -> str:
    """The language that is spoken."""
    return _spoken.get()


def spoken(draw: Callable[P, T]) -> Callable[P, T]:
    """The function as it speaks the language of this moment: for fragments and dialogs, which run by themselves."""
    chosen = language()

    @wraps(draw)
    def speaking(*args: P.args, **kwargs: P.kwargs) -> T:
        speak(chosen)
        return draw(*args, **kwargs)

    return speaking


def preferred(locale: str | None) -> str:
    """The language for a browser's locale, such as ko-KR; English for one that we don't speak."""
    found = (locale or "").replace("_", "-").split("-")[0].lower()
    return found if found in LANGUAGES else "en"


def _(text: str) -> str:
    """The text in the language that is spoken; English is what stands in the code."""
    return _catalogue(_spoken.get()).gettext(text)


def plural(one: str, many: str, number: float) -> str:
    """The form for a number: `one` for 1, else `many`; a language may know one form only."""
    return _catalogue(_spoken.get()).ngettext(one, many, 1 if number == 1 else 2)


@cache
def _catalogue(language: str) -> catalogues.NullTranslations:
    return catalogues.translation("pages", DIRECTORY, [language], fallback=language == "en")
