"""The user's language: translations from the gettext catalogs, and the language of the current script run."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

from tracker.messages.translation import LANGUAGES, load_catalog

P = ParamSpec("P")
T = TypeVar("T")

_language: ContextVar[str] = ContextVar("language", default="en")


def set_language(language: str) -> None:
    """Set the language of this script run, one of `LANGUAGES`. Each run and each fragment calls this first."""
    _language.set(language)


def language() -> str:
    """The language of this script run."""
    return _language.get()


def keep_language(draw: Callable[P, T]) -> Callable[P, T]:
    """The function with the current language, for fragments and dialogs, which run in a context of their own."""
    current = language()

    @wraps(draw)
    def draw_in_language(*args: P.args, **kwargs: P.kwargs) -> T:
        set_language(current)
        return draw(*args, **kwargs)

    return draw_in_language


def language_for_locale(locale: str | None) -> str:
    """The language for a browser locale such as ko-KR; English if the locale isn't supported."""
    code = (locale or "").replace("_", "-").split("-")[0].lower()
    return code if code in LANGUAGES else "en"


def _(text: str) -> str:
    """The translation of an English text."""
    return load_catalog("pages", _language.get()).gettext(text)


def plural(one: str, many: str, number: float) -> str:
    """The translation of `one` for the number 1, else of `many`."""
    return load_catalog("pages", _language.get()).ngettext(one, many, 1 if number == 1 else 2)
